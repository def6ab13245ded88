"""A DXchange file that is still being written (SWMR: single writer, multiple readers)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.angle_units import choose_unit, convert_angles
from pfitre_jax.data.readers.axis_order import DEFAULT_ORDER, axis_order
from pfitre_jax.data.readers.dxchange import DARK, DATA, FLAT, THETA
from pfitre_jax.data.readers.hdf5_file import stated_unit


@dataclasses.dataclass(frozen=True)
class GrowingScan:
    """A DXchange file that grows along the views; every method call opens it again.

    Attributes:
        path: Path of the file.
        kind: One of :data:`pfitre_jax.data.raw.KINDS`; None for counts if the file holds flats, else
            absorption.
    """

    path: Path
    kind: str | None = None

    def views(self) -> int:
        """Number of views that have been written with their angle; 0 while there is no readable file."""
        try:
            with self._open() as file:
                if DATA not in file or THETA not in file:
                    return 0
                return min(file[DATA].shape[0], file[THETA].shape[0])
        except OSError:
            return 0

    def rows(self) -> int:
        """Number of detector rows."""
        with self._open() as file:
            return file[DATA].shape[1]

    def read(self, rows: slice, views: int) -> RawScan:
        """Reads rows of the first views.

        Args:
            rows: Neighbouring rows; start and stop are set.
            views: Number of views.

        Raises:
            ValueError: If the rows are not in the file, or for the reasons of
                :meth:`pfitre_jax.data.raw.RawScan.create`.
        """
        with self._open() as file:
            data, theta = file[DATA], file[THETA]
            if data.ndim != 3 or not 0 <= rows.start < rows.stop <= data.shape[1]:
                raise ValueError(
                    f"the rows {rows.start}:{rows.stop} are not in {self.path}, whose data have the shape "
                    f"{data.shape}; expected rows of a stack (views, rows, columns)"
                )
            order = axis_order(file, DATA, {DATA: data})
            if order not in (None, DEFAULT_ORDER):
                raise ValueError(
                    f"{self.path}: /{DATA} states another order of its axes than (views, rows, columns); "
                    "expected a file that grows along the views"
                )
            projections = data[:views, rows]
            flat, dark = (None if name not in file else file[name][..., rows, :] for name in (FLAT, DARK))
            unit = choose_unit(None, stated_unit(theta), f"{self.path}: /{THETA}")
            angles = theta[:views]
        provenance = {"file": str(self.path), "format": "DXchange, growing", "angles": f"/{THETA}"}
        read = convert_angles(angles, unit, complete=False)
        return RawScan.create(
            projections,
            read.theta_rad,
            kind=self.kind,
            flat=flat,
            dark=dark,
            provenance=provenance,
            warnings=read.warnings,
            order_stated=order is not None,
        )

    def _open(self) -> h5py.File:
        """The file, opened without a lock, because the writer may want to open it at any time."""
        try:
            return h5py.File(self.path, "r", libver="latest", swmr=True, locking=False)
        except (OSError, ValueError):
            # The writer has closed the file, or does not write it in SWMR mode.
            return h5py.File(self.path, "r", locking=False)
