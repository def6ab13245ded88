"""Files of a reconstruction: ``recon.h5``, ``recon.tif`` and ``summary.json``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

from pfitre_jax.data.jsonable import jsonable
from pfitre_jax.runtime.versions import package_versions

#: Dataset of the volume in ``recon.h5``.
DATASET = "/exchange/data"
#: Dataset of the measured part of the volume in ``recon.h5``.
MEASURED = "/trust/measured"
#: Names of the files that :func:`result_writers` writes.
RESULT_FILES = ("recon.h5", "recon.tif", "summary.json")

_EXPECTED = "expected the recon.h5 of pfitre recon"


@dataclasses.dataclass(frozen=True, eq=False)
class StoredVolume:
    """A volume (rows, ny, nx) float32 in files, read a few rows at a time.

    Attributes:
        shape: Numbers of rows and pixels, (rows, ny, nx).
        pieces: Slices of neighbouring rows, in their order, and a function that reads each.
    """

    shape: tuple[int, int, int]
    pieces: Sequence[tuple[slice, Callable[[], np.ndarray]]]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """One slice (ny, nx)."""
        for rows, read in self.pieces:
            if rows.start <= row < rows.stop:
                return read()[row - rows.start]
        raise IndexError(f"row {row} is outside the volume of {len(self)} rows")

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of neighbouring rows (n, ny, nx) with their rows."""
        for rows, read in self.pieces:
            yield rows, read()


@dataclasses.dataclass(frozen=True, eq=False)
class StoredResult:
    """A reconstruction as ``recon.h5`` holds it.

    Attributes:
        volume: (rows, ny, nx) float32, per pixel, or per micrometre if there is a pixel size.
        theta_rad: (views,) float64, radians.
        center: Detector index of the rotation axis.
        roll_deg: In-plane roll that was corrected in the projections, degrees.
        columns: Number of detector bins.
        row0: Row of the raw stack that is row 0 of the volume.
        raw_rows: Number of rows of the raw stack.
        pixel_size: Length of a detector bin, micrometres, or None.
        method: Name of the reconstruction method.
        parameters: Settings of the method.
        measured: (rows, ny, nx), the measured component of the volume, in its units, or None if unknown.
    """

    volume: np.ndarray | StoredVolume
    theta_rad: np.ndarray
    center: float
    roll_deg: float
    columns: int
    row0: int
    raw_rows: int
    pixel_size: float | None
    method: str
    parameters: dict[str, Any]
    measured: np.ndarray | StoredVolume | None = None

    @property
    def units(self) -> str:
        """Unit of the volume: "1/pixel" or "1/um"."""
        return "1/pixel" if self.pixel_size is None else "1/um"


def result_writers(
    stored: StoredResult, summary: Mapping[str, Any], command: str = ""
) -> dict[str, Callable[[Path], None]]:
    """Writers of ``recon.h5``, ``recon.tif`` and ``summary.json``.

    Args:
        stored: The reconstruction.
        summary: Content of ``summary.json``.
        command: Command line that made the result, recorded in ``recon.h5``.

    Returns:
        The argument ``writers`` of :func:`pfitre_jax.data.atomic_write.write_files`.
    """
    return {
        "recon.h5": lambda path: _write_hdf5(path, stored, command),
        "recon.tif": lambda path: write_tiff(path, stored.volume),
        "summary.json": lambda path: path.write_text(json.dumps(jsonable(summary), indent=2) + "\n"),
    }


def _write_hdf5(path: Path, stored: StoredResult, command: str) -> None:
    # The newer file layout allows attributes of more than 64 kB, such as long lists of angles.
    with h5py.File(path, "w", libver=("v108", "latest")) as file:
        data = _write_volume(file, DATASET, stored.volume, stored.units)
        data.attrs["theta_rad"] = np.asarray(stored.theta_rad, np.float64)
        for name in ("center", "roll_deg", "columns", "row0", "raw_rows", "method"):
            data.attrs[name] = getattr(stored, name)
        if stored.pixel_size is not None:
            data.attrs["pixel_size"] = stored.pixel_size
        data.attrs["parameters"] = json.dumps(jsonable(stored.parameters))
        data.attrs["versions"] = json.dumps(package_versions())
        data.attrs["command"] = command
        if stored.measured is not None:
            _write_volume(file, MEASURED, stored.measured, stored.units)


def _write_volume(file: h5py.File, name: str, volume: np.ndarray | StoredVolume, units: str) -> h5py.Dataset:
    data = file.create_dataset(name, shape=volume.shape, dtype=np.float32, chunks=True)
    for rows, block in volume.blocks() if isinstance(volume, StoredVolume) else [(slice(None), volume)]:
        data[rows] = block
    data.attrs["axes"] = "rows:y:x"
    data.attrs["units"] = units
    return data


def read_result(path: str | os.PathLike) -> StoredResult:
    """Reads the reconstruction in a ``recon.h5``.

    Raises:
        FileNotFoundError: If there is no file at ``path``.
        IsADirectoryError: If ``path`` is a folder.
        ValueError: If the file was not written by :func:`result_writers`.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {_EXPECTED}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; {_EXPECTED} in it")
    try:
        with h5py.File(path, "r") as file:
            if DATASET not in file:
                raise ValueError(f"{path} does not contain {DATASET}; {_EXPECTED}")
            volume, attributes = file[DATASET][()], dict(file[DATASET].attrs)
            measured = file[MEASURED][()] if MEASURED in file else None
    except OSError as error:
        raise ValueError(f"{path} is not HDF5, or is truncated; {_EXPECTED}") from error
    needed = ("theta_rad", "center", "roll_deg", "columns", "row0", "raw_rows", "method", "parameters")
    missing = [name for name in needed if name not in attributes]
    if missing or volume.ndim != 3:
        raise ValueError(f"{path} lacks {', '.join(missing) or 'a volume (rows, ny, nx)'}; {_EXPECTED}")
    pixel_size = attributes.get("pixel_size")
    return StoredResult(
        volume.astype(np.float32),
        np.asarray(attributes["theta_rad"], float),
        float(attributes["center"]),
        float(attributes["roll_deg"]),
        int(attributes["columns"]),
        int(attributes["row0"]),
        int(attributes["raw_rows"]),
        None if pixel_size is None else float(pixel_size),
        str(attributes["method"]),
        _parse_parameters(path, attributes["parameters"]),
        measured,
    )


def _parse_parameters(path: Path, text) -> dict[str, Any]:
    try:
        return json.loads(text)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the parameters in {path} are not JSON; {_EXPECTED}") from error


def write_tiff(path: str | os.PathLike, stack: np.ndarray | StoredVolume) -> None:
    """Writes a stack (pages, height, width) as a float32 TIFF that image viewers open page by page."""
    if isinstance(stack, StoredVolume):
        pages = (page for _, block in stack.blocks() for page in block)
        tifffile.imwrite(path, pages, shape=stack.shape, dtype=np.float32, photometric="minisblack")
    else:
        tifffile.imwrite(path, np.asarray(stack, np.float32), photometric="minisblack")
