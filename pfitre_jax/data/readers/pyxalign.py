"""pyxalign (APS): aligned projections, one group for each channel.

Layout, as a task of X-ray fluorescence is saved::

    /projections/<channel>/data                (views, y, x)
    /projections/<channel>/angles              (views,)  degrees
    /projections/<channel>/center_of_rotation  (2,)      row and column (optional)
"""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

_GROUP = "projections/"


class PyxalignReader(Hdf5Reader):
    """Reads the files of pyxalign. Shifts that it has planned but not applied are ignored, with a warning."""

    name = "pyxalign"
    description = "HDF5 with /projections/<channel>/data and angles"
    takes = frozenset({"theta_path", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds the projections of a channel."""
        return bool(self.channels(hdf5))

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the channels."""
        parts = [name.split("/") for name in hdf5.datasets if name.startswith(_GROUP)]
        return tuple(part[1] for part in parts if len(part) == 3 and part[2] == "data")

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Projections of one channel.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        names = self.channels(hdf5)
        channel = names[choose_channel(names, options.element, hdf5.path)]
        group = f"{_GROUP}{channel}/"
        hdf5.check_shape(f"{group}data", 3, {}, "(views, y, x)")
        return Hdf5Contents(
            projections=hdf5.stack(f"{group}data"),
            angles=StoredAngles.of_dataset(hdf5, f"{group}angles"),
            center=_center(hdf5, f"{group}center_of_rotation"),
            element=channel,
            order_stated=True,
            warnings=_warnings(hdf5, f"{group}staged_shift"),
        )


def _center(hdf5: Hdf5File, name: str) -> float | None:
    """Column of the centre of rotation (row, column), or None."""
    if name not in hdf5.datasets or hdf5.datasets[name].shape != (2,):
        return None
    value = hdf5.values(name)
    return float(value[1]) if value.dtype.kind in "fiu" and np.isfinite(value).all() else None


def _warnings(hdf5: Hdf5File, name: str) -> tuple[str, ...]:
    if name not in hdf5.datasets:
        return ()
    shift = hdf5.values(name)
    if shift.dtype.kind not in "fiu" or not np.any(shift):
        return ()
    return (
        f"/{name} holds shifts that pyxalign has not applied; they were ignored; align the "
        "views (pf.align(scan))",
    )
