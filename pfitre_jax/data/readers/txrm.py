"""Zeiss (Xradia) and SSRL: ``.txrm`` scans, and folders of ``.xrm`` images (OLE files).

Streams of a file::

    ImageInfo/NoOfImages, ImageWidth, ImageHeight, DataType  int32; 5 is uint16, 10 is float32
    ImageInfo/ImagesTaken                                    int32, of an interrupted scan (optional)
    ImageInfo/Angles                                         (views,) float32, degrees
    ImageInfo/PixelSize                                      float32, micrometres
    ImageData1/Image1, ... Image100; ImageData2/Image101     (y, x)
    ReferenceData/Image, ReferenceData/DataType              (y, x), the flat frame (optional)
    Alignment/X-Shifts, Y-Shifts                             (views,) float32, bins (optional)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles
from pfitre_jax.data.readers.file_checks import check_declared_size, check_memory
from pfitre_jax.data.readers.image_folder import ImageFolderReader, ImageHeader
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile
from pfitre_jax.data.readers.scan_folder import ScanFolder

#: First bytes of an OLE file.
_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DTYPES: dict[int, np.dtype] = {5: np.dtype("<u2"), 10: np.dtype("<f4")}
#: Number of images in one group of streams.
_GROUP = 100
_NO_DARK = "the file holds no dark frame; 0 was taken"


class TxrmReader(Reader):
    """Reads ``.txrm`` scans with the package olefile. With a reference, they hold counts without a dark."""

    name = "TXRM"
    description = "a scan of Zeiss, Xradia or SSRL in an OLE file"
    magic = (_MAGIC,)
    suffixes = (".txrm", ".xrm")

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If olefile is not installed; the file is damaged or incomplete; it holds no reference
                and the kind of its data is not stated; or there are no angles.
        """
        path = file.path
        with _opened(path) as ole:
            shape, dtype, notes = _layout(path, ole)
            angles = _numbers(path, ole, "ImageInfo/Angles", shape[0], required=False)
            flat = _reference(path, ole, shape[1:])
            shifts = [
                _numbers(path, ole, f"Alignment/{axis}-Shifts", shape[0], required=False) for axis in "XY"
            ]
            pixel_size = _pixel_size(path, ole)
        if flat is None and options.kind is None:
            raise ValueError(
                f"{path} holds no reference image (ReferenceData/Image), so that counts cannot be "
                "normalized; expected the kind of its data (data='absorption' or data='transmission')"
            )
        if flat is not None:
            notes.append(_NO_DARK)
        if any(shift is not None and np.any(shift) for shift in shifts):
            notes.append(
                "the shifts Alignment/X-Shifts and Y-Shifts were not applied; align the views "
                "(pf.align(scan))"
            )
        read, origin = choose_angles(
            options, StoredAngles("ImageInfo/Angles", angles, "deg"), path, self.name
        )
        return RawScan.create(
            _stack(path, shape, dtype),
            read.theta_rad,
            kind=options.kind,
            flat=flat,
            dark=None if flat is None else np.zeros(shape[1:]),
            provenance={"file": str(path), "format": self.name, "angles": origin},
            warnings=(*read.warnings, *notes),
            pixel_size=pixel_size,
            order_stated=True,
        )


class XrmFolderReader(ImageFolderReader):
    """Reads folders of ``.xrm`` images. Images with ``ref`` in their name are flat frames, without a dark."""

    name = "XRM folder"
    description = "an .xrm image of Zeiss, Xradia or SSRL for each view"
    # Without flat frames, counts are refused and not taken for line integrals.
    default_kind = "counts"

    def files(self, folder: ScanFolder) -> list[Path]:
        """The views."""
        return [path for path in folder.select((), (".xrm",)) if "ref" not in path.stem.lower()]

    def flat_files(self, folder: ScanFolder) -> list[Path]:
        """The images of the beam without the sample."""
        return [path for path in folder.select((), (".xrm",)) if "ref" in path.stem.lower()]

    def angle_place(self, options: ReadOptions) -> str:
        """Stream of the angle."""
        return "ImageInfo/Angles"

    def header(self, path: Path, options: ReadOptions) -> ImageHeader:
        """Shape, type, angle and pixel size of an image.

        Raises:
            ValueError: If it is damaged, or holds several images.
        """
        with _opened(path) as ole:
            shape, dtype, _ = _layout(path, ole)
            if shape[0] != 1:
                raise ValueError(f"{path} holds {shape[0]} images; expected one, the view")
            angles = _numbers(path, ole, "ImageInfo/Angles", 1, required=False)
            return ImageHeader(
                shape[1:], dtype, None if angles is None else float(angles[0]), _pixel_size(path, ole)
            )

    def read_rows(self, path: Path, rows: slice) -> np.ndarray:
        """Rows of an image, which is read as a whole.

        Raises:
            ValueError: If it is damaged.
        """
        with _opened(path) as ole:
            shape, dtype, _ = _layout(path, ole)
            return _image(path, ole, "ImageData1/Image1", shape[1:], dtype)[rows]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open file; whatever olefile raises for a damaged one is a ``ValueError``."""
    olefile = import_optional("olefile", f"{path} is a TXRM file, which")
    try:
        with olefile.OleFileIO(str(path)) as ole:
            yield ole
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is a damaged or truncated OLE file ({error}); copy it again") from error


def _layout(path: Path, ole: Any) -> tuple[tuple[int, ...], np.dtype, list[str]]:
    """Shape (views, y, x) and type of the images, and warnings.

    Raises:
        ValueError: If the streams are missing or implausible.
    """
    names = ("NoOfImages", "ImageHeight", "ImageWidth", "DataType")
    views, rows, columns, code = (int(_integer(path, ole, f"ImageInfo/{name}")) for name in names)
    if code not in _DTYPES:
        raise ValueError(f"{path}: ImageInfo/DataType is {code}; expected 5 (uint16) or 10 (float32)")
    if min(views, rows, columns) < 1:
        raise ValueError(f"{path} states {views} images of {rows} x {columns}; expected at least one bin")
    check_declared_size(path, views * rows * columns * _DTYPES[code].itemsize, "images")
    notes = []
    if ole.exists("ImageInfo/ImagesTaken"):
        taken = int(_integer(path, ole, "ImageInfo/ImagesTaken"))
        if 0 < taken < views:
            notes.append(f"the scan was interrupted: {taken} of {views} views were taken")
            views = taken
    return (views, rows, columns), _DTYPES[code], notes


def _integer(path: Path, ole: Any, name: str) -> int:
    return int(np.frombuffer(_stream(path, ole, name, 4), "<i4", 1)[0])


def _stream(path: Path, ole: Any, name: str, nbytes: int) -> bytes:
    """The first bytes of a stream.

    Raises:
        ValueError: If it is missing or shorter.
    """
    if not ole.exists(name):
        raise ValueError(f"{path} has no stream {name}; expected a .txrm or .xrm file")
    content = ole.openstream(name).read(nbytes)
    if len(content) < nbytes:
        raise ValueError(
            f"{path}: the stream {name} has {len(content)} bytes; expected {nbytes}: copy the file again"
        )
    return content


def _numbers(path: Path, ole: Any, name: str, count: int, required: bool = True) -> np.ndarray | None:
    """Float32 numbers of a stream, or None if it is missing and not required."""
    if not required and not ole.exists(name):
        return None
    return np.frombuffer(_stream(path, ole, name, 4 * count), "<f4", count)


def _image(path: Path, ole: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    size = shape[0] * shape[1]
    return np.frombuffer(_stream(path, ole, name, size * dtype.itemsize), dtype, size).reshape(shape)


def _reference(path: Path, ole: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The reference image, or None if there is none."""
    if not ole.exists("ReferenceData/Image"):
        return None
    code = _integer(path, ole, "ReferenceData/DataType") if ole.exists("ReferenceData/DataType") else 10
    if code not in _DTYPES:
        raise ValueError(f"{path}: ReferenceData/DataType is {code}; expected 5 (uint16) or 10 (float32)")
    return _image(path, ole, "ReferenceData/Image", shape, _DTYPES[code])


def _pixel_size(path: Path, ole: Any) -> float | None:
    values = _numbers(path, ole, "ImageInfo/PixelSize", 1, required=False)
    size = None if values is None else float(values[0])
    return size if size is not None and np.isfinite(size) and size > 0 else None


def _stack(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> LazyStack:
    def read(rows: slice) -> np.ndarray:
        count = len(range(*rows.indices(shape[1])))
        check_memory(path, shape[0] * count * shape[2] * dtype.itemsize, "images")
        with _opened(path) as ole:
            return np.stack(
                [
                    _image(path, ole, f"ImageData{k // _GROUP + 1}/Image{k + 1}", shape[1:], dtype)[rows]
                    for k in range(shape[0])
                ]
            )

    return LazyStack(shape, dtype, read)
