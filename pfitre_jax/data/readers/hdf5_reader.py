"""Base class of the readers of HDF5 layouts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angle_units import choose_unit, convert_angles
from pfitre_jax.data.readers.angles import check_numbers, read_angle_file
from pfitre_jax.data.readers.hdf5_file import MAGIC, SUFFIXES, Hdf5File, damage_as_value_error
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile


@dataclasses.dataclass(frozen=True, eq=False)
class Hdf5Contents:
    """Contents of an HDF5 scan, in the terms that all layouts share.

    Attributes:
        projections: (views, rows, columns), to be read later.
        flat: (n, rows, columns), flat frames, or None.
        dark: (n, rows, columns), dark frames, or None.
        theta: (views,), stored angles, or None if there are none.
        unit: Unit of the angles as the file states it, or None.
        theta_name: Dataset of the angles, for messages.
        order_stated: Whether the file states which axes are views, rows and columns.
        center: Detector index of the rotation axis, or None.
        monitor: (views,), intensity of the beam in each view over that of the flat frames, or None.
        warnings: What was assumed or left out, one sentence each.
    """

    projections: LazyStack
    flat: np.ndarray | None
    dark: np.ndarray | None
    theta: np.ndarray | None
    unit: str | None
    theta_name: str
    order_stated: bool = False
    center: float | None = None
    monitor: np.ndarray | None = None
    warnings: tuple[str, ...] = ()


class Hdf5Reader(Reader, Protocol):
    """Reader of an HDF5 layout. A layout implements :meth:`has_layout` and :meth:`contents`."""

    magic: tuple[bytes, ...] = (MAGIC,)
    suffixes: tuple[str, ...] = SUFFIXES

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file has the layout."""
        ...

    def contents(self, hdf5: Hdf5File) -> Hdf5Contents:
        """Contents of a file that has the layout.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        ...

    def matches(self, file: ScanFile) -> bool:
        """Whether the file has the layout.

        Raises:
            ValueError: If the file is not HDF5 or is damaged.
        """
        with damage_as_value_error(file.path):
            return self.has_layout(file.hdf5)

    def read(self, file: ScanFile, angles: Path | None, unit: str | None, kind: str | None) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If the file is damaged; is compressed with a filter that is not installed; states
                units that contradict ``unit``; or has no angles (0 to 180 degrees is never assumed).
        """
        path = file.path
        with damage_as_value_error(path):
            contents = self.contents(file.hdf5)
        origin = contents.theta_name
        if angles is not None:
            read, origin = read_angle_file(angles, unit), str(angles)
        elif contents.theta is None:
            raise ValueError(
                f"{path} ({self.name}) holds no angles in {origin}; "
                "give them as a CSV file with one angle for each view (angles='angles.csv')"
            )
        else:
            theta = check_numbers(contents.theta, f"{path}: {origin}")
            chosen = choose_unit(unit, contents.unit, f"{path}: {origin}")
            try:
                read = convert_angles(theta, chosen)
            except ValueError as error:
                raise ValueError(f"{path}: {origin}: {error}") from error
        provenance = {"file": str(path), "format": self.name, "angles": origin}
        return RawScan.create(
            contents.projections,
            read.theta_rad,
            kind=kind,
            flat=contents.flat,
            dark=contents.dark,
            provenance=provenance,
            warnings=(*read.warnings, *contents.warnings),
            center=contents.center,
            monitor=contents.monitor,
            order_stated=contents.order_stated,
        )
