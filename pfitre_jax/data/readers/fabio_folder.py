"""Folder of detector images (EDF, CBF, MarCCD and others) that the package fabio reads, one for each view."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.readers.csv_table import parse_value
from pfitre_jax.data.readers.file_checks import check_declared_size
from pfitre_jax.data.readers.image_folder import ImageFolderReader, ImageHeader
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.scan_folder import ScanFolder

#: Suffixes of images that fabio reads.
_SUFFIXES = (".edf", ".cbf", ".mccd", ".mar3450", ".img", ".spe", ".sfrm", ".fit2d", ".fits", ".dm3", ".xsd")
#: Names of the motor of the rotation in the headers, in order of preference.
_MOTORS = ("srot", "pmo", "somega", "theta", "omega", "rot")


class FabioFolderReader(ImageFolderReader):
    """Reads folders of detector images. The angle is a motor or key of the header, degrees."""

    name = "detector images"
    description = "an EDF or other detector image for each view"
    takes = frozenset({"theta_path"})

    def files(self, folder: ScanFolder) -> list[Path]:
        """The detector images of the folder."""
        return folder.select((), _SUFFIXES)

    def angle_place(self, options: ReadOptions) -> str:
        """Names of the motor or key."""
        return f"the header ({options.theta_path or ', '.join(_MOTORS)}; theta_path='NAME')"

    def header(self, path: Path, options: ReadOptions) -> ImageHeader:
        """Shape, type and angle of an image.

        Raises:
            ValueError: If fabio is not installed, or the image is damaged.
        """
        with _opened(path) as image:
            shape, dtype, header = tuple(image.shape), np.dtype(image.dtype), dict(image.header)
            frames = image.nframes
        if frames != 1:
            raise ValueError(f"{path} holds {frames} images; expected one, the view")
        check_declared_size(path, int(np.prod(shape)) * dtype.itemsize, "an image")
        names = _MOTORS if options.theta_path is None else (options.theta_path,)
        return ImageHeader(shape, dtype, _angle(header, names))

    def read_rows(self, path: Path, rows: slice) -> np.ndarray:
        """Rows of an image, which is read as a whole.

        Raises:
            ValueError: If it is damaged.
        """
        with _opened(path) as image:
            return np.array(image.data[rows])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open image; whatever fabio raises for a damaged one is a ``ValueError``."""
    fabio = import_optional("fabio", f"{path} is a detector image, which")
    try:
        with _no_padding(), fabio.open(str(path)) as image:
            if image.data is None:
                raise ValueError("no data")
            yield image
    except Exception as error:
        raise ValueError(f"{path} is a damaged detector image ({error}); copy it again") from error


@contextlib.contextmanager
def _no_padding() -> Iterator[None]:
    """Refuses an image that ends too early: fabio fills it with zeros, and only logs that."""
    messages: list[str] = []

    class Collect(logging.Handler):
        """Collects messages about missing bytes."""

        def emit(self, record: logging.LogRecord) -> None:
            if "incomplete" in record.getMessage() or "truncated" in record.getMessage():
                messages.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger("fabio")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    if messages:
        raise ValueError(messages[0])


def _angle(header: dict[str, Any], names: tuple[str, ...]) -> float | None:
    """Value of the first of these motors or keys; EDF lists motors in ``motor_mne`` and ``motor_pos``."""
    motors = dict(
        zip(str(header.get("motor_mne", "")).split(), str(header.get("motor_pos", "")).split(), strict=False)
    )
    for name in names:
        value = parse_value(str(motors.get(name, header.get(name, ""))))
        if value is not None:
            return value[0]
    return None
