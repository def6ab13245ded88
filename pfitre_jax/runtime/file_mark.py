"""Mark of the files that this package writes, so that only these are replaced."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import h5py

#: The mark: ``creator`` of HDF5, JSON and Zarr files, ``Software`` of TIFF and PNG files, label of MRC files.
MARK = "pfitre_jax"
#: First columns of the tables that this package writes as CSV, which has no place for a mark.
_TABLES = (b"view,theta_deg,shift_columns,", b"center,residual", b"roll,residual")
#: Suffix of the files of transforms, which have no place for a mark.
_TRANSFORMS = ".xf"
#: A line of such a file as this package writes it; that of IMOD has fewer decimals.
_TRANSFORM = re.compile(r" *-?\d+\.\d{7}(?: *-?\d+\.\d{7}){3}(?: *-?\d+\.\d{5}){2}")
#: Bytes at the start of a file that are searched for the mark.
_HEAD = 2**16
#: Description of a folder in the format Zarr.
_ZARR = "zarr.json"
_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


def has_mark(path: Path) -> bool:
    """Whether a file, or a folder in the format Zarr, was written by this package.

    False if it cannot be read.
    """
    path = path / _ZARR if path.is_dir() else path
    try:
        if path.suffix == _TRANSFORMS:
            return _are_our_transforms(path)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(_HDF5):
            with h5py.File(path, "r") as content:
                # Versions before 0.3 record only the versions of the packages.
                data = content.get("exchange/data", content)
                return MARK in f"{content.attrs.get('creator')} {data.attrs.get('versions')}"
        if head.startswith(_ZIP):
            # A weights file; its model card is not stored as plain text.
            with zipfile.ZipFile(path) as archive:
                return "card.npy" in archive.namelist()
    except (OSError, RuntimeError, UnicodeDecodeError, zipfile.BadZipFile):
        return False
    return MARK.encode() in head or head.startswith(_TABLES)


def _are_our_transforms(path: Path) -> bool:
    """Whether transforms have our decimals, and a line for each line of the table beside them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    table = path.with_suffix(".csv")
    if not has_mark(table) or not all(map(_TRANSFORM.fullmatch, lines)):
        return False
    return len(lines) == len(table.read_text(encoding="utf-8").splitlines()) - 1
