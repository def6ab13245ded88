"""DXchange (APS): ``/exchange/data``, ``data_white``, ``data_dark`` and ``theta`` (degrees)."""

from __future__ import annotations

import os
from collections.abc import Mapping

import h5py
import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.readers.axis_order import DEFAULT_ORDER, arrange_frames
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.runtime.file_mark import MARK

#: Datasets of the projections and of the angles.
DATA, THETA = "exchange/data", "exchange/theta"
#: Datasets of the flat and of the dark frames.
FLAT, DARK = "exchange/data_white", "exchange/data_dark"


class DXchangeReader(Hdf5Reader):
    """Reads DXchange files."""

    name = "DXchange"
    description = "HDF5 with /exchange/data"

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds ``/exchange/data``."""
        return DATA in hdf5.datasets

    def contents(self, hdf5: Hdf5File) -> Hdf5Contents:
        """Contents of the group ``/exchange``.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        order = hdf5.axis_order(DATA)
        projections = hdf5.stack(DATA, order=order or DEFAULT_ORDER)
        shape = projections.shape[1:]

        def frames(name: str) -> np.ndarray | None:
            values = _optional(hdf5, name)
            own = hdf5.axis_order(name) if values is not None and values.ndim == 3 else None
            place = f"{hdf5.path}: /{name}"
            return None if values is None else arrange_frames(values, own, order, shape, place)

        return Hdf5Contents(
            projections=projections,
            flat=frames(FLAT),
            dark=frames(DARK),
            order_stated=order is not None,
            theta=_optional(hdf5, THETA),
            unit=hdf5.unit(THETA) if THETA in hdf5.datasets else None,
            theta_name="/" + THETA,
        )


def _optional(hdf5: Hdf5File, name: str) -> np.ndarray | None:
    """Values of a dataset of ``/exchange``, or None if there is none."""
    if name in hdf5.datasets:
        return hdf5.values(name)
    if name.removeprefix("exchange/") in list(hdf5.file["exchange"]):
        raise ValueError(
            f"{hdf5.path}: /{name} is a group, or a link whose target is missing; expected a dataset: copy "
            "the file that it links to, too"
        )
    return None


def write_dxchange(
    path: str | os.PathLike,
    projections: ArrayLike,
    theta_rad: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    attributes: Mapping[str, object] = {},
) -> None:
    """Writes line integrals as DXchange, with the angles in degrees.

    Args:
        path: File to write.
        projections: (views, rows, columns), line integrals.
        theta_rad: (views,), radians.
        truth: (rows, ny, nx), volume of a simulated scan, written to ``/truth/data``, or None.
        attributes: Further attributes of ``/exchange/data``.
    """
    with h5py.File(path, "w") as file:
        file.attrs["creator"] = MARK
        data = file.create_dataset(DATA, data=np.asarray(projections, np.float32))
        data.attrs.update({"axes": "theta:y:x", **attributes})
        theta = file.create_dataset(THETA, data=np.rad2deg(np.asarray(theta_rad, float)))
        theta.attrs["units"] = "deg"
        if truth is not None:
            file.create_dataset("truth/data", data=np.asarray(truth, np.float32)).attrs["axes"] = "rows:y:x"
