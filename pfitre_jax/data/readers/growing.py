"""An HDF5 scan that is still being written (SWMR: single writer, multiple readers)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.angles import to_radians
from pfitre_jax.data.readers.hdf5 import angle_unit

_DATA, _THETA = "exchange/data", "exchange/theta"


@dataclasses.dataclass(frozen=True)
class GrowingScan:
    """DXchange file that grows along the views; every call looks anew at what there is.

    path: of the file; kind: "counts", "transmission" or "absorption", default as for a whole file
    """

    path: Path
    kind: str | None = None

    def views(self) -> int:
        """Number of views that are there with their angle; 0 while there is no file to read yet."""
        try:
            with self._open() as file:
                if _DATA not in file or _THETA not in file:
                    return 0
                return min(file[_DATA].shape[0], file[_THETA].shape[0])
        except OSError:
            return 0

    def read(self, rows: slice, views: int) -> RawScan:
        """These rows of the first ``views`` views; ``rows`` as of a file that is whole.

        Raises ``ValueError`` for rows that are not there, or what :meth:`RawScan.create` refuses.
        """
        with self._open() as file:
            data, theta = file[_DATA], file[_THETA]
            if data.ndim != 3 or not 0 <= rows.start < rows.stop <= data.shape[1]:
                raise ValueError(
                    f"the rows {rows.start}:{rows.stop} are not in {self.path}, {data.shape}; expected rows "
                    "of a stack (views, rows, columns)"
                )
            projections = data[:views, rows]
            fields = [
                None if name not in file else np.mean(file[name][:, rows], axis=0)
                for name in ("exchange/data_white", "exchange/data_dark")
            ]
            unit = angle_unit(theta) or "deg"
            angles = np.asarray(theta[:views], float)
        theta_rad = to_radians(angles, unit)
        provenance = {"file": str(self.path), "format": "DXchange, growing", "angles": f"/{_THETA}"}
        return RawScan.create(
            projections, theta_rad, kind=self.kind, flat=fields[0], dark=fields[1], provenance=provenance
        )

    def rows(self) -> int:
        """Rows of the detector."""
        with self._open() as file:
            return file[_DATA].shape[1]

    def _open(self) -> h5py.File:
        try:
            # Never locked: the writer may want to open it at any time.
            return h5py.File(self.path, "r", libver="latest", swmr=True, locking=False)
        except (OSError, ValueError):
            # A file whose writer has closed it, or that was never opened for several readers.
            return h5py.File(self.path, "r", locking=False)
