"""The file ``recon.h5`` of a result: its layout, written and read."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pfitre_jax.data.json_values import jsonable
from pfitre_jax.reconstruction.file_names import ELEMENTS, LIMITS, MEASURED, RECON, VOLUME
from pfitre_jax.reconstruction.row_block import LazyVolume, read_blocks
from pfitre_jax.runtime.file_mark import MARK
from pfitre_jax.runtime.file_version import FileVersion
from pfitre_jax.runtime.versions import package_versions

#: Group of ``recon.h5`` that holds everything else.
GROUP = "/result"
#: Dataset of ``recon.h5`` with the sample support.
SUPPORT = f"{GROUP}/support"

_EXPECTED = "expected the recon.h5 of pfitre recon"
_ARRAYS = (
    "status",
    "iterations",
    "residual",
    "supplied",
    "residual_history",
    "change_history",
    "gains",
    "stripes",
    "view_weights",
    "sinogram",
    "residual_sinogram",
    "support",
)
_VALUES = (
    "support_text",
    "selection",
    "scale",
    "domain_score",
    "residual_statistics",
    "resolution",
    "validation",
    "intervals",
    "chunk",
    "warnings",
    "timings",
    "provenance",
    "device",
    "prior_card",
)
_GEOMETRY = ("center", "roll_deg", "columns", "row0", "raw_rows", "method")


def write_recon_file(path: Path, result: Mapping[str, Any], command: str) -> None:
    """Writes the ``recon.h5`` of a result.

    Args:
        path: The file.
        result: Attributes of the :class:`pfitre_jax.reconstruction.Result`, with ``row0`` and ``units``.
        command: Command line to record.
    """
    # The newer file layout allows attributes above 64 kB, which long lists of angles need.
    with h5py.File(path, "w", libver=("v108", "latest")) as file:
        file.attrs["creator"] = MARK
        data = _write_volume(file, VOLUME, result["volume"], result["units"])
        data.attrs["theta_rad"] = np.asarray(result["theta_rad"], np.float64)
        for name in _GEOMETRY:
            data.attrs[name] = result[name]
        if result["pixel_size"] is not None:
            data.attrs["pixel_size"] = result["pixel_size"]
        data.attrs["parameters"] = json.dumps(jsonable(result["parameters"]))
        data.attrs["versions"] = json.dumps(result["versions"] or package_versions())
        data.attrs["command"] = command
        if result["measured"] is not None:
            _write_volume(file, MEASURED, result["measured"], result["units"])
        for limit, name in ((result["lower"], LIMITS["lower"]), (result["upper"], LIMITS["upper"])):
            if limit is not None:
                _write_volume(file, name, limit, result["units"])
        group = file.create_group(GROUP)
        for name in _ARRAYS:
            group[name] = result[name]
        for name in _VALUES:
            group.attrs[name] = json.dumps(jsonable(result[name]))


def recon_path(path: Path) -> Path:
    """The ``recon.h5`` in a folder; any other path unchanged."""
    return path / RECON if path.is_dir() else path


def read_recon_file(path: Path, *, lazy: bool) -> dict[str, Any]:
    """Arguments of :meth:`pfitre_jax.reconstruction.Result.of_volume` that a ``recon.h5`` records.

    Args:
        path: The file, or the folder that it is in.
        lazy: Whether the volumes stay in the file.

    Raises:
        FileNotFoundError: There is no such file or folder, or no ``recon.h5`` in the folder.
        ValueError: The file is not a ``recon.h5``, or lacks a required property.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {_EXPECTED}, or its folder")
    if not recon_path(path).exists():
        raise FileNotFoundError(
            f"{path} contains no {RECON}; expected the output folder of a finished pfitre recon: check the "
            "path, or repeat the command of an interrupted run to resume it"
        )
    path = recon_path(path)
    recorded: dict[str, Any] = {}
    version = FileVersion.of(path) if lazy else None
    try:
        with h5py.File(path, "r") as file:
            if ELEMENTS in file.attrs:
                places = [link.filename for link in (file.get(name, getlink=True) for name in file)]
                raise ValueError(
                    f"{path} leads to the results of several elements; expected one of "
                    f"{', '.join(str(path.parent / place) for place in places)}"
                )
            if VOLUME not in file:
                raise ValueError(f"{path} does not contain {VOLUME}; {_EXPECTED}")
            volume, attributes = _read_volume(file, VOLUME, version), dict(file[VOLUME].attrs)
            measured = _read_volume(file, MEASURED, version) if MEASURED in file else None
            recorded |= {
                name: _read_volume(file, dataset, version)
                for name, dataset in LIMITS.items()
                if dataset in file
            }
            if GROUP in file:
                group = file[GROUP]
                recorded |= {name: group[name][()] for name in _ARRAYS if name in group}
                recorded |= {
                    name: _parsed(path, name, group.attrs[name]) for name in _VALUES if name in group.attrs
                }
    except OSError as error:
        raise ValueError(f"{path} is not HDF5, or is truncated; {_EXPECTED}") from error
    missing = [name for name in ("theta_rad", *_GEOMETRY, "parameters") if name not in attributes]
    if missing or len(volume.shape) != 3:
        raise ValueError(f"{path} lacks {', '.join(missing) or 'a volume (rows, ny, nx)'}; {_EXPECTED}")
    if "versions" in attributes:
        recorded["versions"] = _parsed(path, "versions", attributes["versions"])
    pixel_size = attributes.get("pixel_size")
    return {
        "volume": volume,
        "theta_rad": attributes["theta_rad"],
        "center": float(attributes["center"]),
        "columns": int(attributes["columns"]),
        "roll_deg": float(attributes["roll_deg"]),
        "row0": int(attributes["row0"]),
        "raw_rows": int(attributes["raw_rows"]),
        "pixel_size": None if pixel_size is None else float(pixel_size),
        "method": str(attributes["method"]),
        "parameters": _parsed(path, "parameters", attributes["parameters"]),
        "measured": measured,
        **recorded,
    }


def _write_volume(file: h5py.File, name: str, volume: np.ndarray | LazyVolume, units: str) -> h5py.Dataset:
    data = file.create_dataset(name, shape=volume.shape, dtype=np.float32, chunks=True)
    for rows, block in read_blocks(volume):
        data[rows] = block
    data.attrs["axes"] = "rows:y:x"
    data.attrs["units"] = units
    return data


def _read_volume(file: h5py.File, name: str, version: FileVersion | None) -> np.ndarray | LazyVolume:
    data = file[name]
    if version is None or data.ndim != 3:
        return data[()].astype(np.float32)
    return _lazy_dataset(version, name, data.shape)


def _lazy_dataset(version: FileVersion, name: str, shape: tuple[int, int, int]) -> LazyVolume:
    """A volume (rows, ny, nx) in an HDF5 file, which is read slice by slice.

    Args:
        version: The file.
        name: Path of the dataset in it.
        shape: (rows, ny, nx).
    """
    readers = [
        (slice(k, k + 1), functools.partial(_read_slice, version, name, k)) for k in range(int(shape[0]))
    ]
    return LazyVolume((int(shape[0]), int(shape[1]), int(shape[2])), readers)


def _read_slice(version: FileVersion, name: str, row: int) -> np.ndarray:
    with version.open() as file:
        return file[name][row : row + 1].astype(np.float32)


def _parsed(path: Path, name: str, text) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {name} is not valid JSON; {_EXPECTED}") from error
    return float("nan") if name == "scale" and value is None else value
