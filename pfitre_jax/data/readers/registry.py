"""One door to every scan format; the content decides which it is, not the name."""

from __future__ import annotations

from pathlib import Path

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.readers.hdf5 import read_hdf5
from pfitre_jax.data.readers.npz import read_npz
from pfitre_jax.data.readers.tiff import read_tiff

_MAGIC = {
    b"\x89HDF\r\n\x1a\n": read_hdf5,
    b"PK\x03\x04": read_npz,
    b"II*\x00": read_tiff,
    b"MM\x00*": read_tiff,
    b"II+\x00": read_tiff,
    b"MM\x00+": read_tiff,
}
_SUFFIX = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs", ".nx"), read_hdf5),
    ".npz": read_npz,
    **dict.fromkeys((".tif", ".tiff"), read_tiff),
}


def read(path, angles=None, angle_unit: str | None = None, data: str | None = None) -> RawScan:
    """Scan file ``path``, all of it in memory; see :func:`open_scan`."""
    return open_scan(path, angles, angle_unit, data).load()


def open_scan(path, angles=None, angle_unit: str | None = None, data: str | None = None) -> RawScan:
    """Scan file ``path``: TIFF stack, DXchange or NXtomo HDF5, or ``.npz``; its projections stay in the file
    until they are asked for, but for those of an ``.npz``.

    angles: CSV file with one angle for each view; a TIFF stack needs it, elsewhere it replaces the file's
    angle_unit: "deg" or "rad"; default what the file says, else degrees
    data: "counts" (needs flat and dark), "transmission" or "absorption" (line integrals); default counts
        where the file holds flats, else absorption

    Raises ``FileNotFoundError`` and ``OSError`` for files that cannot be opened, ``ValueError`` for what they
    hold, before memory is taken for it where they declare more than they can hold or than is free.
    """
    path = Path(path)
    for name in [path] if angles is None else [path, Path(angles)]:
        check_file(name, "a scan file and, beside it, its angles")
    with path.open("rb") as file:
        head = file.read(8)
    reader = next(
        (r for magic, r in _MAGIC.items() if head.startswith(magic)), _SUFFIX.get(path.suffix.lower())
    )
    if reader is None:
        raise ValueError(
            f"{path} is none of the formats known; expected a TIFF stack, DXchange or NXtomo HDF5, or .npz"
        )
    try:
        return reader(path, angles, angle_unit, data)
    except MemoryError as error:
        raise ValueError(
            f"{path} does not fit into memory ({error}); save fewer rows or views of it, or use a machine "
            "with more"
        ) from error
