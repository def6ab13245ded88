"""DXchange (APS): ``/exchange/data``, ``data_white``, ``data_dark`` and ``theta`` (degrees).

Processed data may be in ``/exchange1``, ``/exchange2`` or ``/exchange_1`` instead. Without ``theta``, the
angles are those of ``/process/acquisition/rotation/rotation_start`` and ``rotation_step``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import h5py
import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.axis_order import DEFAULT_ORDER, arrange_frames
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.runtime.file_mark import MARK

#: Datasets of the projections and of the angles.
DATA, THETA = "exchange/data", "exchange/theta"
#: Datasets of the flat and of the dark frames.
FLAT, DARK = "exchange/data_white", "exchange/data_dark"
#: Groups of projections.
_GROUP = re.compile(r"(exchange(?:_?\d+)?)/data")
#: Group of the motor of the rotation.
_ROTATION = "process/acquisition/rotation/"


class DXchangeReader(Hdf5Reader):
    """Reads DXchange files."""

    name = "DXchange"
    description = "HDF5 with /exchange/data"
    takes = frozenset({"theta_path", "dataset", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds ``/exchange/data``, or that of a numbered group."""
        return bool(_groups(hdf5))

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the groups with projections, if there are several."""
        groups = _groups(hdf5)
        return tuple(groups) if len(groups) > 1 else ()

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Contents of the group that the caller names, else of ``/exchange``, else of the first numbered one.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        groups = _groups(hdf5)
        group = groups[0]
        if options.element is not None:
            if len(groups) == 1 or options.dataset is not None:
                raise ValueError(
                    f"{hdf5.path} ({self.name}) has no use for element={options.element!r} with a single "
                    "group of projections: leave it out"
                )
            group = groups[choose_channel(groups, options.element, hdf5.path)]
        if options.dataset is not None:
            match = _GROUP.fullmatch(options.dataset.strip("/"))
            if match is None or match[1] not in groups:
                listed = ", ".join(f"/{name}/data" for name in groups)
                raise ValueError(
                    f"{hdf5.path} has no projections {options.dataset!r}; expected one of {listed}"
                )
            group = match[1]
        data = f"{group}/data"
        order = hdf5.axis_order(data)
        projections = hdf5.stack(data, order=order or DEFAULT_ORDER)
        shape = projections.shape[1:]

        def frames(name: str) -> np.ndarray | None:
            values = _optional(hdf5, group, name)
            own = hdf5.axis_order(f"{group}/{name}") if values is not None and values.ndim == 3 else None
            place = f"{hdf5.path}: /{group}/{name}"
            return None if values is None else arrange_frames(values, own, order, shape, place)

        return Hdf5Contents(
            projections=projections,
            flat=frames("data_white"),
            dark=frames("data_dark"),
            order_stated=order is not None,
            angles=_angles(hdf5, group, *projections.shape[:1]),
            dataset=None if group == "exchange" else f"/{data}",
            element=options.element and group,
        )


def _groups(hdf5: Hdf5File) -> list[str]:
    """Groups with projections, ``/exchange`` first."""
    matches = (_GROUP.fullmatch(name) for name in hdf5.datasets)
    return sorted(match[1] for match in matches if match)


def _angles(hdf5: Hdf5File, group: str, views: int = 0) -> StoredAngles:
    """Angles of the group, else of ``/exchange``, else of the motor of the rotation."""
    names = [name for name in (f"{group}/theta", THETA) if name in hdf5.datasets]
    if names or _optional(hdf5, group, "theta") is not None:
        return StoredAngles(f"/{names[0]}", hdf5.values(names[0]), hdf5.unit(names[0]))
    start, step = (hdf5.number(f"{_ROTATION}rotation_{word}") for word in ("start", "step"))
    if start is None or step is None:
        return StoredAngles(f"/{group}/theta")
    unit = hdf5.unit(f"{_ROTATION}rotation_step") or hdf5.unit(f"{_ROTATION}rotation_start")
    return StoredAngles(f"/{_ROTATION}rotation_step", start + step * np.arange(views), unit)


def _optional(hdf5: Hdf5File, group: str, name: str) -> np.ndarray | None:
    """Values of a dataset of the group, or None if there is none."""
    if f"{group}/{name}" in hdf5.datasets:
        return hdf5.values(f"{group}/{name}")
    if name in list(hdf5.file[group]):
        raise ValueError(
            f"{hdf5.path}: /{group}/{name} is a group, or a link whose target is missing; expected a "
            "dataset: copy the file that it links to, too"
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
