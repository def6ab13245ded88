"""Mark of the files that this package writes, so that only these are replaced."""

from __future__ import annotations

import zipfile
from pathlib import Path

import h5py

#: The mark: ``creator`` of HDF5, JSON and Zarr files, ``Software`` of TIFF and PNG files, label of MRC files.
MARK = "pfitre_jax"
#: First columns of the tables that this package writes as CSV, which has no place for a mark.
_TABLES = (b"view,theta_deg,shift_columns,", b"center,residual", b"roll,residual")
#: Suffix of files without a place for a mark, which belong to the table of the same name beside them.
_BESIDE_TABLE = ".xf"
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
    if path.suffix == _BESIDE_TABLE:
        path = path.with_suffix(".csv")
    try:
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
    except (OSError, RuntimeError, zipfile.BadZipFile):
        return False
    return MARK.encode() in head or head.startswith(_TABLES)
