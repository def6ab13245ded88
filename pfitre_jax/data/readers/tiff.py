"""TIFF stacks: one page for each view, with the angles in a CSV file."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import read_angle_file
from pfitre_jax.data.readers.file_checks import check_declared_size, check_memory
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile

#: First bytes and suffixes of TIFF files.
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
TIFF_SUFFIXES = (".tif", ".tiff")


class TiffReader(Reader):
    """Reads TIFF stacks (views, rows, columns). A stack has no flat frames, so "counts" are refused."""

    name = "TIFF"
    description = "a stack of grey images, one for each view"
    magic = TIFF_MAGIC
    suffixes = TIFF_SUFFIXES

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If there is no CSV file of angles; or the file is not TIFF, is truncated, is in
                colour, is not a stack, or is compressed and imagecodecs is not installed.
        """
        if options.angles is None:
            raise ValueError(
                f"{file.path}: a TIFF stack holds no angles; give them as a CSV file with one angle for each "
                "view (angles='angles.csv')"
            )
        stack = open_stack(file.path)
        provenance = {"file": str(file.path), "format": self.name, "angles": str(options.angles)}
        read = read_angle_file(options.angles, options.angle_unit)
        return RawScan.create(
            stack, read.theta_rad, kind=options.kind, provenance=provenance, warnings=read.warnings
        )


def open_stack(path: str | os.PathLike) -> LazyStack:
    """TIFF stack (views, rows, columns), to be read later.

    Raises:
        ValueError: If the file is not such a stack, or is damaged.
    """
    path = Path(path)
    with open_tiff(path) as tiff:
        shapes = [series.shape for series in tiff.series]
        colour = any(map(is_colour, tiff.series))
        dtype = tiff.series[0].dtype if tiff.series else None
        pages = len(tiff.series) if len(shapes) > 1 else len(tiff.series[0].pages) if shapes else 0
        missing = sum(page is None for series in tiff.series for page in series.pages)
        nbytes = sum(series.size * series.dtype.itemsize for series in tiff.series)
        contiguous = len(shapes) == 1 and tiff.series[0].dataoffset is not None
    if missing:
        raise ValueError(
            f"{path} refers to {missing} pages of files that are missing; expected them in its folder: "
            "copy them, too"
        )
    check_declared_size(path, nbytes, "images")
    if colour:
        raise ValueError(
            f"{path} is a colour picture; expected a stack (views, rows, columns) of grey values"
        )
    if len(shapes) > 1 and len(set(shapes)) == 1 and len(shapes[0]) == 2:
        shape = (len(shapes), *shapes[0])
    elif len(shapes) == 1 and len(shapes[0]) == 3 and 0 not in shapes[0]:
        shape = shapes[0]
    else:
        raise ValueError(
            f"{path} holds images of shape {', '.join(map(str, shapes)) or 'none'}; expected one stack "
            "(views, rows, columns): save the views as the pages of one TIFF file, in grey"
        )
    # A page that holds several views is unpacked whole, even for a few rows.
    one_block = pages != shape[0]

    def read(rows: slice) -> np.ndarray:
        part = shape[1] if one_block and not contiguous else len(range(*rows.indices(shape[1])))
        check_memory(path, nbytes * part // shape[1], "images")
        return _read_rows(path, contiguous, one_block, rows)

    return LazyStack(shape, np.dtype(dtype), read, 1 if contiguous else shape[1])


def _read_rows(path: Path, contiguous: bool, one_block: bool, rows: slice) -> np.ndarray:
    with open_tiff(path) as tiff:
        if contiguous:
            return np.array(tiff.series[0].asarray(out="memmap")[:, rows])
        if one_block:
            return tiff.series[0].asarray()[:, rows]
        pages = tiff.series if len(tiff.series) > 1 else tiff.series[0].pages
        return np.stack([page.asarray()[rows] for page in pages if page is not None])


@contextlib.contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """The open file. Whatever tifffile and its codecs raise or log for a damaged file is a ``ValueError``."""
    compression = ""
    with _logged_errors() as messages:
        try:
            with tifffile.TiffFile(path) as tiff:
                compression = ", ".join(sorted({_compression(series) for series in tiff.series}))
                yield tiff
        except Exception as error:
            # Without imagecodecs, tifffile names it, or the module of a newer Python that could replace it.
            if compression and ("'imagecodecs' package" in str(error) or isinstance(error, ImportError)):
                raise ValueError(
                    f"{path} is compressed ({compression}): pip install imagecodecs, or save it uncompressed"
                ) from error
            raise ValueError(f"{path} is not a TIFF file or truncated ({error}); copy it again") from error
    if messages:
        raise ValueError(f"{path} is damaged or truncated ({messages[0]}); copy it again")


def is_colour(series: tifffile.TiffPageSeries) -> bool:
    """Whether the pages are in colour."""
    return "S" in series.axes or series.keyframe.photometric == tifffile.PHOTOMETRIC.RGB


def _compression(series: tifffile.TiffPageSeries) -> str:
    compression = series.keyframe.compression
    return getattr(compression, "name", str(compression))


@contextlib.contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Errors that tifffile logs instead of raising them, such as a broken chain of pages."""
    messages: list[str] = []

    class Collect(logging.Handler):
        """Collects messages."""

        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler = Collect(logging.ERROR)
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
