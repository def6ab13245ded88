"""TIFF stacks: one page for each view, the angles in a CSV file beside it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import read_angles
from pfitre_jax.data.readers.file_checks import check_declared, check_memory


def read_tiff(path, angles, unit: str | None = None, kind: str | None = None) -> RawScan:
    """TIFF stack ``path`` (views, rows, columns) with the angles of the CSV file ``angles``.

    unit: "deg" or "rad"; default what the CSV's header says, else degrees
    kind: "transmission" or "absorption" (default); a stack has no flat frames, so "counts" is refused

    Raises ``FileNotFoundError``; ``ValueError`` for no angles, a file that is not TIFF, is truncated, empty,
    in colour or not a stack, or whose compression needs imagecodecs where that is not installed.
    """
    if angles is None:
        raise ValueError(
            f"{path}: a TIFF stack holds no angles; give them as a CSV file, one for each view (--angles CSV)"
        )
    stack = open_stack(path)
    theta_rad = read_angles(angles, unit)
    provenance = {"file": str(path), "format": "TIFF", "angles": str(angles)}
    return RawScan.create(stack, theta_rad, kind=kind, provenance=provenance)


def read_stack(path) -> np.ndarray:
    """TIFF stack ``(views, rows, columns)`` in memory; ``ValueError`` where it is none."""
    return open_stack(path).read(slice(None))


def open_stack(path) -> LazyStack:
    """TIFF stack ``(views, rows, columns)``, to be read later; ``ValueError`` where it is none."""
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected a TIFF stack (views, rows, columns)")
    with _opened(path) as tiff:
        shapes = [series.shape for series in tiff.series]
        colour = any(map(_is_colour, tiff.series))
        dtype = tiff.series[0].dtype if tiff.series else None
        pages = len(tiff.series) if len(shapes) > 1 else len(tiff.series[0].pages) if shapes else 0
        missing = sum(page is None for series in tiff.series for page in series.pages)
        nbytes = sum(series.size * series.dtype.itemsize for series in tiff.series)
        plain = len(shapes) == 1 and tiff.series[0].dataoffset is not None
    if missing:
        raise ValueError(
            f"{path} names {missing} pages of files that are missing; expected them beside it: copy them, too"
        )
    check_declared(path, nbytes, "images")
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
    # Pages that are packed are unpacked whole, whatever part of them is asked for.
    whole = pages != shape[0]

    def read(rows: slice) -> np.ndarray:
        part = shape[1] if whole and not plain else len(range(*rows.indices(shape[1])))
        check_memory(path, nbytes * part // shape[1], "images")
        return _read_rows(path, plain, whole, rows)

    return LazyStack(shape, np.dtype(dtype), read, 1 if plain else shape[1])


def _read_rows(path: Path, plain: bool, whole: bool, rows: slice) -> np.ndarray:
    with _opened(path) as tiff:
        if plain:
            return np.array(tiff.series[0].asarray(out="memmap")[:, rows])
        if whole:
            return tiff.series[0].asarray()[:, rows]
        pages = tiff.series if len(tiff.series) > 1 else tiff.series[0].pages
        return np.stack([page.asarray()[rows] for page in pages])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The file; whatever tifffile and its codecs raise or log for a damaged one is a ``ValueError``."""
    compression = ""
    with _complaints() as complaints:
        try:
            with tifffile.TiffFile(path) as tiff:
                compression = ", ".join(sorted({_compression(series) for series in tiff.series}))
                yield tiff
        except Exception as error:
            # Without imagecodecs tifffile names it, or the module of a newer Python that could do instead.
            if compression and ("'imagecodecs' package" in str(error) or isinstance(error, ImportError)):
                raise ValueError(
                    f"{path} is compressed ({compression}): pip install imagecodecs, or save it uncompressed"
                ) from error
            raise ValueError(f"{path} is not a TIFF file or truncated ({error}); copy it again") from error
    if complaints:
        raise ValueError(f"{path} is damaged or truncated ({complaints[0]}); copy it again")


def _is_colour(series: tifffile.TiffPageSeries) -> bool:
    return "S" in series.axes or series.keyframe.photometric == tifffile.PHOTOMETRIC.RGB


def _compression(series: tifffile.TiffPageSeries) -> str:
    compression = series.keyframe.compression
    return getattr(compression, "name", str(compression))


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What tifffile logs as an error (a page chain that breaks off, for one) instead of raising it."""
    messages: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("tifffile")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
