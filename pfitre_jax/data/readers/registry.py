"""Registry of the readers. The content of a file decides its format, and its name only where that fails."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.dxchange import DXchangeReader
from pfitre_jax.data.readers.emd import EmdReader
from pfitre_jax.data.readers.fabio_folder import FabioFolderReader
from pfitre_jax.data.readers.file_checks import check_file, check_file_or_folder
from pfitre_jax.data.readers.fxi import FxiReader
from pfitre_jax.data.readers.hdf5_dataset import Hdf5DatasetFolderReader, Hdf5DatasetReader
from pfitre_jax.data.readers.maps import MapsReader
from pfitre_jax.data.readers.mrc import MrcReader
from pfitre_jax.data.readers.npz import NpzReader
from pfitre_jax.data.readers.nxtomo import NXtomoReader
from pfitre_jax.data.readers.ptycho_folder import PtychoFolderReader
from pfitre_jax.data.readers.pyxalign import PyxalignReader
from pfitre_jax.data.readers.pyxrf_folder import PyXRFFolderReader
from pfitre_jax.data.readers.pyxrf_volume import PyXRFVolumeReader
from pfitre_jax.data.readers.read_options import ReadOptions, parse_axis_order
from pfitre_jax.data.readers.reader import FolderReader, Reader
from pfitre_jax.data.readers.scan_file import ScanFile
from pfitre_jax.data.readers.scan_folder import ScanFolder
from pfitre_jax.data.readers.tiff import TiffReader
from pfitre_jax.data.readers.tiff_folder import TiffFolderReader
from pfitre_jax.data.readers.txrm import TxrmReader, XrmFolderReader
from pfitre_jax.data.readers.xrf_tomo import XrfTomoReader
from pfitre_jax.data.readers.xrftomo_export import XrftomoExportReader

#: Readers of files in the order in which they are tried.
READERS: list[Reader] = [
    XrfTomoReader(),
    PyXRFVolumeReader(),
    DXchangeReader(),
    NXtomoReader(),
    FxiReader(),
    PyxalignReader(),
    XrftomoExportReader(),
    EmdReader(),
    Hdf5DatasetReader(),
    TiffReader(),
    MrcReader(),
    TxrmReader(),
    NpzReader(),
]
#: Readers of folders with one file for each view, in the order in which they are tried.
FOLDER_READERS: list[FolderReader] = [
    PyXRFFolderReader(),
    MapsReader(),
    PtychoFolderReader(),
    Hdf5DatasetFolderReader(),
    TiffFolderReader(),
    FabioFolderReader(),
    XrmFolderReader(),
]

_NO_OPTIONS = ReadOptions()
_AnyReader = TypeVar("_AnyReader", Reader, FolderReader)


def read_raw(
    path: str | os.PathLike,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    kind: str | None = None,
    **selectors: str | None,
) -> RawScan:
    """Reads a scan into memory; the arguments and errors are those of :func:`open_raw`."""
    return open_raw(path, angles, angle_unit, kind, **selectors).load()


def open_raw(
    path: str | os.PathLike,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    kind: str | None = None,
    *,
    element: str | None = None,
    dataset: str | None = None,
    theta_path: str | None = None,
    axis_order: str | None = None,
) -> RawScan:
    """Opens a scan in one of the formats of :data:`READERS` and :data:`FOLDER_READERS`.

    Projections stay in the files until they are read, except those of an ``.npz`` archive.

    Args:
        path: The scan file, or a folder with one file for each view.
        angles: CSV file with one angle for each view, which replaces the angles of the scan file; a TIFF
            stack needs it.
        angle_unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
            "deg", "rad" or "mrad"; None for the one that the file states, else degrees.
        kind: "counts" (needs flat and dark), "transmission" or "absorption" (line integrals); None for counts
            if the file holds flats, else absorption.
        element: Name of the channel of a file with several elements.
        dataset: Dataset of the projections of an HDF5 file.
        theta_path: Dataset of the angles of an HDF5 file, or an attribute ("/group@name").
        axis_order: Names of the axes of the stored projections, such as "row,column,view", of the dataset.

    Raises:
        OSError: If a file does not exist or cannot be opened, with the class of the cause.
        ValueError: If the format is unknown; the file is damaged or incomplete; it declares more than it can
            hold or than there is memory; or the angles are missing or contradictory.
    """
    path = check_file_or_folder(path)
    if angles is not None:
        check_file(angles, "a CSV file of angles")
    options = ReadOptions(
        angles=None if angles is None else Path(angles),
        angle_unit=angle_unit,
        kind=kind,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=parse_axis_order(axis_order),
    )
    try:
        if path.is_dir():
            folder = ScanFolder(path)
            return find_folder_reader(folder, options).read(folder, options)
        with ScanFile(path) as file:
            return find_reader(file, options).read(file, options)
    except MemoryError as error:
        raise ValueError(
            f"{path} does not fit into memory ({error}); save fewer rows or views, or use a machine with "
            "more memory"
        ) from error


def list_elements(
    path: str | os.PathLike, *, dataset: str | None = None, axis_order: str | None = None
) -> tuple[str, ...]:
    """Names of the channels of a scan, such as its elements; empty if the format has a single channel.

    Args:
        path: The scan file, or a folder with one file for each view.
        dataset: Dataset of the projections of an HDF5 file, as in :func:`open_raw`.
        axis_order: Names of the axes of the stored projections; the channels of an element axis are numbers.

    Raises:
        OSError: If it does not exist or cannot be opened.
        ValueError: If the format is unknown or the file is damaged.
    """
    path = check_file_or_folder(path)
    options = ReadOptions(dataset=dataset, axis_order=parse_axis_order(axis_order))
    if path.is_dir():
        folder = ScanFolder(path)
        return find_folder_reader(folder, options).elements(folder, options)
    with ScanFile(path) as file:
        return find_reader(file, options).elements(file, options)


def list_files(path: Path) -> list[Path]:
    """All files of a scan: the scan file and those beside it that are read with it, or those of the folder.

    Raises:
        OSError: If it does not exist or cannot be opened.
    """
    path = check_file_or_folder(path)
    if path.is_dir():
        return ScanFolder(path).members
    readers = (reader for reader in READERS if path.suffix.lower() in reader.suffixes)
    return [path, *(companion for reader in readers for companion in reader.companions(path))]


def find_reader(file: ScanFile, options: ReadOptions = _NO_OPTIONS) -> Reader:
    """The reader of a file, by its first bytes or else its suffix, and then by its content.

    Raises:
        ValueError: If no reader matches, the file is damaged, or no matching reader takes the options.
    """
    if not file.head:
        raise ValueError(f"{file.path} is empty (0 bytes); expected a scan file: copy it again")
    candidates = [reader for reader in READERS if file.head.startswith(reader.magic)]
    if not candidates:
        candidates = [reader for reader in READERS if file.path.suffix.lower() in reader.suffixes]
    matching = (reader for reader in candidates if reader.matches(file))
    reader = _first_that_takes(matching, options, file.path)
    if reader is None:
        raise ValueError(
            f"{file.path} has none of the known formats; expected {_formats(candidates or READERS)}"
            f"{file.listing()}"
        )
    return reader


def find_folder_reader(folder: ScanFolder, options: ReadOptions = _NO_OPTIONS) -> FolderReader:
    """The reader of a folder, by the content of its files.

    Raises:
        ValueError: If no reader matches, a file is damaged, or no matching reader takes the options.
    """
    matching = (reader for reader in FOLDER_READERS if reader.matches(folder))
    reader = _first_that_takes(matching, options, folder.path)
    if reader is None:
        raise IsADirectoryError(
            f"{folder.path} is a folder without views in a known format; expected a scan file, or a folder "
            f"with one file for each view: {_formats(FOLDER_READERS)}"
        )
    return reader


def _first_that_takes(readers: Iterable[_AnyReader], options: ReadOptions, path: Path) -> _AnyReader | None:
    """The first reader that takes the selectors which are set; None if there is no reader.

    Raises:
        ValueError: If there are readers, but none takes them.
    """
    refused, incomplete = [], []
    for reader in readers:
        if not reader.requires <= options.selectors:
            incomplete.append(reader)
            continue
        if options.selectors <= reader.takes:
            return reader
        refused.append(reader)
    if not refused:
        return None
    unused = sorted(options.selectors - refused[0].takes)
    names = " and ".join(f"{name}={options.text(name)}" for name in unused)
    remedy = "leave it out"
    if any(options.selectors <= reader.takes for reader in incomplete):
        remedy += ", or name the dataset of the projections, too (dataset='/PATH')"
    raise ValueError(
        f"{path} ({refused[0].name}) has no use for {names}; expected no such option for this format: "
        f"{remedy}"
    )


def _formats(readers: Sequence[Reader] | Sequence[FolderReader]) -> str:
    return ", ".join(f"{reader.name} ({reader.description})" for reader in readers)
