"""Reader of ``recon.h5`` for napari."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py

from pfitre_jax.napari_plugin.layers import image_layers
from pfitre_jax.napari_plugin.stored_image import StoredImage
from pfitre_jax.reconstruction.file_names import ELEMENTS, LIMITS, MEASURED, VOLUME
from pfitre_jax.runtime.file_mark import has_mark
from pfitre_jax.runtime.file_version import FileVersion

#: Datasets of ``recon.h5`` by the name of their layer.
DATASETS = {"slices": VOLUME, "measured": MEASURED, **LIMITS}
_ATTRIBUTES = ("method", "parameters", "units", "row0", "center", "roll_deg", "command")

Layers = list[tuple[Any, dict[str, Any], str]]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], Layers] | None:
    """Function that reads a result; None for a file that is none.

    Args:
        path: The file, or several files, which are opened one by one.
    """
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(part) for part in path]
    if not all(_is_result(part) for part in paths):
        return None
    return functools.partial(_read_all, paths)


def read_layers(path: Path) -> Layers:
    """Layers of a result, or of each element of a result of several.

    Args:
        path: ``recon.h5``.

    Raises:
        FileNotFoundError: The result of an element is missing.
    """
    with h5py.File(path, "r") as file:
        if ELEMENTS not in file.attrs:
            return _result_layers(path)
        places = {name: path.parent / file.get(name, getlink=True).filename for name in file}
    missing = [str(place) for place in places.values() if not place.exists()]
    if missing:
        raise FileNotFoundError(
            f"{path} leads to the results of {', '.join(places)}, and {', '.join(missing)} does not exist; "
            "expected the folders of the elements beside it"
        )
    layers = [layer for name, place in places.items() for layer in _result_layers(place, name)]
    for _, properties, _ in layers[1:]:
        properties["visible"] = False
    return layers


def _result_layers(path: Path, element: str = "") -> Layers:
    """Layers of a result: slices, their measured and supplied component, and the interval if there is one."""
    version = FileVersion.of(path)
    with version.open() as file:
        data = file[DATASETS["slices"]]
        shape = data.shape
        stored = {name: StoredImage(version, key, shape) for name, key in DATASETS.items() if key in file}
        attributes = {name: _plain(data.attrs[name]) for name in _ATTRIBUTES if name in data.attrs}
        pixel_size = data.attrs.get("pixel_size")
    if "measured" in stored:
        stored["supplied"] = StoredImage(version, DATASETS["slices"], shape, DATASETS["measured"])
    return image_layers(
        stored,
        None if pixel_size is None else float(pixel_size),
        {"file": str(path), **attributes},
        element,
    )


def _read_all(paths: Sequence[Path], _: Any = None) -> Layers:
    return [layer for path in paths for layer in read_layers(path)]


def _is_result(path: Path) -> bool:
    """Whether a file is a result of this package; other HDF5 files are left to other readers."""
    if not has_mark(path):
        return False
    with h5py.File(path, "r") as file:
        if ELEMENTS in file.attrs:
            return True
        data = file.get(DATASETS["slices"])
        # Simulated scans carry the mark, too.
        return data is not None and data.ndim == 3 and "row0" in data.attrs


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if hasattr(value, "item") else value
