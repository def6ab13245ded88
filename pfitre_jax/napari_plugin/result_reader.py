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
from pfitre_jax.runtime.file_mark import has_mark
from pfitre_jax.runtime.file_version import FileVersion

#: Datasets of ``recon.h5`` by the name of their layer.
DATASETS = {
    "slices": "/exchange/data",
    "measured": "/trust/measured",
    "lower": "/trust/lower",
    "upper": "/trust/upper",
}
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
    """Layers of a result: slices, their measured and supplied component, and the interval if there is one.

    Args:
        path: ``recon.h5``.
    """
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
        stored, None if pixel_size is None else float(pixel_size), {"file": str(path), **attributes}
    )


def _read_all(paths: Sequence[Path], _: Any = None) -> Layers:
    return [layer for path in paths for layer in read_layers(path)]


def _is_result(path: Path) -> bool:
    """Whether a file is a result of this package; other HDF5 files are left to other readers."""
    if not has_mark(path):
        return False
    with h5py.File(path, "r") as file:
        data = file.get(DATASETS["slices"])
        # Simulated scans carry the mark, too.
        return data is not None and data.ndim == 3 and "row0" in data.attrs


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if hasattr(value, "item") else value
