"""What a reconstruction leaves on disk: ``recon.h5``, ``recon.tif``, ``summary.json``, and its pictures.

Everything is written under temporary names in the same folder and renamed at the end: a run that fails leaves
the folder as it was.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

#: Where the volume lies in ``recon.h5``.
DATASET = "/exchange/data"
#: The files of :func:`result_writers`.
NAMES = ("recon.h5", "recon.tif", "summary.json")
#: Where the part of it lies that the data determine.
MEASURED = "/trust/measured"

_PACKAGES = ("pfitre_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "h5py", "tifffile")


@dataclasses.dataclass(frozen=True, eq=False)
class StoredVolume:
    """A volume (rows, ny, nx) float32 that lies in files.

    shape: (rows, ny, nx)
    pieces: neighbouring rows, and what reads them, in their order
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
        raise IndexError(f"row {row} of {len(self)}")

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Its rows, some at a time."""
        for rows, read in self.pieces:
            yield rows, read()


@dataclasses.dataclass(frozen=True, eq=False)
class StoredResult:
    """A reconstruction as it lies in ``recon.h5``.

    volume: (rows, ny, nx) float32; per pixel, or per micrometre where there is a pixel size
    theta_rad: (views,) float64, radians; center: detector index of the rotation axis
    roll_deg: in-plane roll that the projections were corrected for, degrees
    columns: detector bins; row0: row of the raw stack that is row 0 here; raw_rows: rows of that stack
    pixel_size: micrometres, or None
    method: name of the method; parameters: its settings
    measured: (rows, ny, nx), the part of the volume that the data determine, in its units; None: not known
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
        return "1/pixel" if self.pixel_size is None else "1/um"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


def check_folder(folder, names: Sequence[str] = ()) -> Path:
    """``folder`` as a path that results called ``names`` can be written to; it is not made yet.

    For the time before a long computation. ``NotADirectoryError`` where it, or a part of it, is a file;
    ``IsADirectoryError`` where a name in it is a folder; ``PermissionError`` or ``OSError`` where nothing can
    be written.
    """
    folder = Path(folder)
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(
            f"the output folder {folder} cannot be made: {there} is a file; give another --out"
        )
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise type(error)(
            f"the output folder {folder} cannot be written ({error.strerror}); expected a folder that you "
            "may write to, give another --out"
        ) from error
    for name in names:
        if (folder / name).is_dir():
            raise IsADirectoryError(
                f"{folder / name} is a folder; expected to write a file there: move it, or give another --out"
            )
    return folder


def write_files(folder, writers: Mapping[str, Callable[[Path], None]]) -> list[Path]:
    """Call each writer with a temporary path in ``folder`` (made if need be), then name the files.

    writers: file name -> function that writes that file to the path it is given. All names appear, or none.
    """
    folder = check_folder(folder, list(writers))
    folder.mkdir(parents=True, exist_ok=True)
    partial = {name: folder / f".partial-{os.getpid()}-{name}" for name in writers}
    try:
        for name, write in writers.items():
            write(partial[name])
        for name, path in partial.items():
            path.replace(folder / name)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return [folder / name for name in writers]


def result_writers(
    stored: StoredResult, summary: Mapping[str, Any], command: str = ""
) -> dict[str, Callable[[Path], None]]:
    """Writers of ``recon.h5``, ``recon.tif`` and ``summary.json`` for :func:`write_files`.

    command: the command line that made the result
    """
    return {
        "recon.h5": lambda path: _write_hdf5(path, stored, command),
        "recon.tif": lambda path: write_tiff(path, stored.volume),
        "summary.json": lambda path: path.write_text(json.dumps(plain(summary), indent=2) + "\n"),
    }


def _write_hdf5(path: Path, stored: StoredResult, command: str) -> None:
    # The newer file layout holds attributes of any length: long lists of angles are more than 64 kB.
    with h5py.File(path, "w", libver=("v108", "latest")) as file:
        data = _write_volume(file, DATASET, stored.volume, stored.units)
        data.attrs["theta_rad"] = np.asarray(stored.theta_rad, np.float64)
        for name in ("center", "roll_deg", "columns", "row0", "raw_rows", "method"):
            data.attrs[name] = getattr(stored, name)
        if stored.pixel_size is not None:
            data.attrs["pixel_size"] = stored.pixel_size
        data.attrs["parameters"] = json.dumps(plain(stored.parameters))
        data.attrs["versions"] = json.dumps(versions())
        data.attrs["command"] = command
        if stored.measured is not None:
            _write_volume(file, MEASURED, stored.measured, stored.units)


def _write_volume(file: h5py.File, name: str, volume, units: str) -> h5py.Dataset:
    data = file.create_dataset(name, shape=volume.shape, dtype=np.float32, chunks=True)
    for rows, block in volume.blocks() if isinstance(volume, StoredVolume) else [(slice(None), volume)]:
        data[rows] = block
    data.attrs["axes"] = "rows:y:x"
    data.attrs["units"] = units
    return data


def read_result(path) -> StoredResult:
    """The reconstruction in ``recon.h5`` at ``path``.

    Raises ``FileNotFoundError``; ``ValueError`` for a file that is not one of :func:`result_writers`.
    """
    path = Path(path)
    expected = "expected the recon.h5 of pfitre recon"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {expected}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; {expected} in it")
    try:
        with h5py.File(path, "r") as file:
            if DATASET not in file:
                raise ValueError(f"{path} holds no {DATASET}; {expected}")
            volume, attributes = file[DATASET][()], dict(file[DATASET].attrs)
            measured = file[MEASURED][()] if MEASURED in file else None
    except OSError as error:
        raise ValueError(f"{path} is not HDF5, or is truncated; {expected}") from error
    needed = ("theta_rad", "center", "roll_deg", "columns", "row0", "raw_rows", "method", "parameters")
    missing = [name for name in needed if name not in attributes]
    if missing or volume.ndim != 3:
        raise ValueError(f"{path} lacks {', '.join(missing) or 'a volume (rows, ny, nx)'}; {expected}")
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
        _parameters(path, attributes["parameters"]),
        measured,
    )


def _parameters(path: Path, text) -> dict[str, Any]:
    try:
        return json.loads(text)
    except (ValueError, TypeError) as error:
        expected = "expected the recon.h5 of pfitre recon"
        raise ValueError(f"{path}: its parameters are no JSON; {expected}") from error


def write_tiff(path, stack) -> None:
    """A stack (pages, height, width) as a float32 TIFF that image viewers open page by page."""
    if isinstance(stack, StoredVolume):
        pages = (page for _, block in stack.blocks() for page in block)
        tifffile.imwrite(path, pages, shape=stack.shape, dtype=np.float32, photometric="minisblack")
    else:
        tifffile.imwrite(path, np.asarray(stack, np.float32), photometric="minisblack")


def plain(value):
    """``value`` as JSON can hold it: arrays as lists, NaN and infinity as null, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return str(value)
