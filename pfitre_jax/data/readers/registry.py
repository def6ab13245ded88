"""Registry of the readers. The content of a file decides its format, and its name only where that fails."""

from __future__ import annotations

import os
from pathlib import Path

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.dxchange import DXchangeReader
from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.readers.npz import NpzReader
from pfitre_jax.data.readers.nxtomo import NXtomoReader
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile
from pfitre_jax.data.readers.tiff import TiffReader

#: Readers in the order in which they are tried.
READERS: list[Reader] = [DXchangeReader(), NXtomoReader(), TiffReader(), NpzReader()]


def read_raw(
    path: str | os.PathLike,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    kind: str | None = None,
) -> RawScan:
    """Reads a scan file into memory; the arguments and errors are those of :func:`open_raw`."""
    return open_raw(path, angles, angle_unit, kind).load()


def open_raw(
    path: str | os.PathLike,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    kind: str | None = None,
) -> RawScan:
    """Opens a scan file in one of the formats of :data:`READERS`.

    Projections stay in the file until they are read, except those of an ``.npz`` archive.

    Args:
        path: The scan file.
        angles: CSV file with one angle for each view, which replaces the angles of the scan file; a TIFF
            stack needs it.
        angle_unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
            "deg", "rad" or "mrad"; None for the one that the file states, else degrees.
        kind: "counts" (needs flat and dark), "transmission" or "absorption" (line integrals); None for counts
            if the file holds flats, else absorption.

    Raises:
        OSError: If a file does not exist or cannot be opened, with the class of the cause.
        ValueError: If the format is unknown; the file is damaged or incomplete; it declares more than it can
            hold or than there is memory; or the angles are missing or contradictory.
    """
    path = Path(path)
    angles = None if angles is None else Path(angles)
    check_file(path, "a scan file")
    if angles is not None:
        check_file(angles, "a CSV file of angles")
    with ScanFile(path) as file:
        if not file.head:
            raise ValueError(f"{path} is empty (0 bytes); expected a scan file: copy it again")
        try:
            return find_reader(file).read(file, angles, angle_unit, kind)
        except MemoryError as error:
            raise ValueError(
                f"{path} does not fit into memory ({error}); save fewer rows or views, or use a machine with "
                "more memory"
            ) from error


def find_reader(file: ScanFile) -> Reader:
    """The reader of a file, by its first bytes or else its suffix, and then by its content.

    Raises:
        ValueError: If no reader matches, or the file is damaged.
    """
    candidates = [reader for reader in READERS if file.head.startswith(reader.magic)]
    if not candidates:
        candidates = [reader for reader in READERS if file.path.suffix.lower() in reader.suffixes]
    for reader in candidates:
        if reader.matches(file):
            return reader
    formats = ", ".join(f"{reader.name} ({reader.description})" for reader in READERS)
    raise ValueError(f"{file.path} has none of the known formats; expected {formats}{file.listing()}")
