"""EMD (electron microscopy datasets, HDF5): tilt series of tomviz and other programs.

Layout of version 0.2: a group with the attribute ``emd_group_type`` 1, a dataset ``data``, and one dataset
``dim1``, ``dim2``, ... for each axis, whose attributes ``name`` and ``units`` describe it. The axis of the
angles is called "angles" or "tilt", and its ``dim`` holds them. Of the other two, y is the row; in the files
of tomviz, which tilts about x, it is x.
"""

from __future__ import annotations

import re

import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import Hdf5File, attribute_text
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

_ANGLES = re.compile(r"(tilt[ _]?)?angles?|tilts?|theta", re.IGNORECASE)
#: Micrometres in units of length.
_MICROMETRES = {"m": 1e6, "um": 1.0, "µm": 1.0, "nm": 1e-3, "å": 1e-4, "angstrom": 1e-4, "a": 1e-4}
#: Group of the data of tomviz.
_TOMVIZ = "data/tomography"


class EmdReader(Hdf5Reader):
    """Reads tilt series in EMD files of version 0.2."""

    name = "EMD"
    description = "HDF5 with emd_group_type and an axis of angles"

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds a group of EMD."""
        return bool(_groups(hdf5))

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """The one tilt series of the file.

        Raises:
            ValueError: If it is damaged, or there are several or none.
        """
        groups = [group for group in _groups(hdf5) if _views_axis(hdf5, group) is not None]
        if not groups:
            listed = format_names(f"/{group}/dim1, dim2, dim3" for group in _groups(hdf5))
            raise ValueError(
                f"{hdf5.path} holds no tilt series: none of {listed} has the name 'angles'; expected one "
                "axis of angles"
            )
        if len(groups) > 1:
            raise ValueError(
                f"{hdf5.path} holds {len(groups)} tilt series ({format_names('/' + g for g in groups)}); "
                "expected one: name it (dataset='/GROUP/data', theta_path='/GROUP/dim1')"
            )
        group = groups[0]
        data = f"{group}/data"
        hdf5.check_shape(data, 3, {}, "three axes, one of them that of the angles")
        names = _axis_names(hdf5, group)
        views = _views_axis(hdf5, group) or 0
        others = [axis for axis in range(3) if axis != views]
        # The row runs along the tilt axis.
        row_name = "x" if group == _TOMVIZ else "y"
        rows = next((axis for axis in others if names[axis].lower() == row_name), others[0])
        columns = next(axis for axis in others if axis != rows)
        return Hdf5Contents(
            projections=hdf5.stack(data, order=(views, rows, columns)),
            angles=_angles(hdf5, f"{group}/dim{views + 1}"),
            pixel_size=_pixel_size(hdf5, f"{group}/dim{columns + 1}"),
            dataset=f"/{data}",
            order_stated=True,
        )


def _groups(hdf5: Hdf5File) -> list[str]:
    """Groups of EMD with data."""
    names = (name.rpartition("/") for name in hdf5.datasets)
    return [g for g, _, last in names if last == "data" and "emd_group_type" in hdf5.file[g or "/"].attrs]


def _axis_names(hdf5: Hdf5File, group: str) -> list[str]:
    """Name of each of three axes, empty where the file states none."""
    dims = [hdf5.datasets.get(f"{group}/dim{axis + 1}") for axis in range(3)]
    return ["" if dim is None else attribute_text(dim.attrs.get("name", "")) for dim in dims]


def _views_axis(hdf5: Hdf5File, group: str) -> int | None:
    """The axis of the angles, or None."""
    names = _axis_names(hdf5, group)
    return next((axis for axis, name in enumerate(names) if _ANGLES.fullmatch(name)), None)


def _angles(hdf5: Hdf5File, dim: str) -> StoredAngles:
    """Angles in the dataset of an axis; its unit is in brackets: "[deg]"."""
    unit = hdf5.unit(dim)
    return StoredAngles(f"/{dim}", hdf5.values(dim), unit.strip("[]") if unit else None)


def _pixel_size(hdf5: Hdf5File, dim: str) -> float | None:
    """Distance of neighbouring bins of an axis, micrometres; None if its unit is no known length."""
    if dim not in hdf5.datasets or hdf5.datasets[dim].size < 2:
        return None
    unit = (hdf5.unit(dim) or "").replace("_", "").strip("[]").lower()
    factor, values = _MICROMETRES.get(unit), hdf5.values(dim)
    if factor is None or values.dtype.kind not in "fiu" or values.ndim != 1:
        return None
    size = float(np.abs(values[1] - values[0])) * factor
    return size if np.isfinite(size) and size > 0 else None
