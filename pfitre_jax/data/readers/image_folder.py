"""Base class of the readers of folders with one image for each view."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles
from pfitre_jax.data.readers.file_checks import check_memory, format_names
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import FolderReader
from pfitre_jax.data.readers.scan_folder import ScanFolder


@dataclasses.dataclass(frozen=True, eq=False)
class ImageHeader:
    """What the header of an image states.

    Attributes:
        shape: Numbers of rows and columns.
        dtype: Type of the stored numbers.
        angle: Angle of the view, or None.
        pixel_size: Width of a bin, micrometres, or None.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    angle: float | None = None
    pixel_size: float | None = None


class ImageFolderReader(FolderReader, Protocol):
    """Reader of a folder of images. A format implements the methods about one file.

    The rows of an image are read alone where the format allows it, and else the whole image.
    """

    #: Kind of the data if the caller states none; None for counts if there are flat frames, else absorption.
    default_kind: str | None = None

    def files(self, folder: ScanFolder) -> list[Path]:
        """The images of the folder, in natural order."""
        ...

    def flat_files(self, folder: ScanFolder) -> list[Path]:
        """Images of the beam without the sample, in natural order; by default none."""
        return []

    def header(self, path: Path, options: ReadOptions) -> ImageHeader:
        """Header of an image.

        Raises:
            ValueError: If it is damaged.
        """
        ...

    def read_rows(self, path: Path, rows: slice) -> np.ndarray:
        """Rows (n, columns) of an image.

        Raises:
            ValueError: If it is damaged.
        """
        ...

    def angle_place(self, options: ReadOptions) -> str:
        """Place in the files where the angle is or should be, for messages."""
        return "the images"

    def matches(self, folder: ScanFolder) -> bool:
        """Whether the folder holds images of this format."""
        return bool(self.files(folder))

    def read(self, folder: ScanFolder, options: ReadOptions) -> RawScan:
        """Contents of the folder, see :meth:`pfitre_jax.data.readers.reader.FolderReader.read`.

        Raises:
            ValueError: If an image is damaged, they differ in shape, or there are no angles.
        """
        paths = self.files(folder)
        headers = [self.header(path, options) for path in paths]
        shape = _one_shape(paths, headers, folder.path)
        angles = [header.angle for header in headers]
        known = [angle for angle in angles if angle is not None]
        if known and len(known) < len(paths) and options.angles is None:
            missing = [path.name for path, angle in zip(paths, angles, strict=True) if angle is None]
            raise ValueError(
                f"{folder.path}: {len(missing)} of {len(paths)} images state no angle in "
                f"{self.angle_place(options)} ({format_names(missing)}); expected one in each image, or a "
                "CSV file (angles='angles.csv')"
            )
        stored = StoredAngles(self.angle_place(options), known or None)
        read, origin = choose_angles(options, stored, folder.path, self.name)
        flat_paths = self.flat_files(folder)
        others = len(folder.members) - len(paths) - len(flat_paths)
        warnings = [f"{others} other files of the folder were ignored"] if others else []
        flat = None
        if flat_paths:
            flat_headers = [self.header(path, options) for path in flat_paths]
            _one_shape([paths[0], *flat_paths], [headers[0], *flat_headers], folder.path)
            flat = np.stack([self.read_rows(path, slice(None)) for path in flat_paths])
            warnings.append("the folder holds no dark frame; 0 was taken")
        return RawScan.create(
            self._stack(folder.path, paths, (len(paths), *shape), headers),
            read.theta_rad,
            kind=options.kind or self.default_kind,
            flat=flat,
            dark=None if flat is None else np.zeros(shape),
            provenance={"file": str(folder.path), "format": self.name, "angles": origin},
            warnings=(*read.warnings, *warnings),
            pixel_size=headers[0].pixel_size,
            order_stated=True,
        )

    def _stack(
        self, folder: Path, paths: Sequence[Path], shape: tuple[int, ...], headers: Sequence[ImageHeader]
    ) -> LazyStack:
        dtype = np.result_type(*{header.dtype for header in headers})

        def read(rows: slice) -> np.ndarray:
            count = len(range(*rows.indices(shape[1])))
            check_memory(folder, len(paths) * count * shape[2] * dtype.itemsize, "images")
            return np.stack([self.read_rows(path, rows) for path in paths])

        return LazyStack(shape, dtype, read)


def _one_shape(paths: Sequence[Path], headers: Sequence[ImageHeader], folder: Path) -> tuple[int, ...]:
    """The shape of all images.

    Raises:
        ValueError: If they differ, or are no grey images.
    """
    shapes = Counter(header.shape for header in headers)
    [(shape, _)] = shapes.most_common(1)
    if len(shape) != 2:
        raise ValueError(
            f"{folder}: {paths[0].name} has the shape {shape}; expected a grey image (rows, columns) for "
            "each view"
        )
    other = [path.name for path, header in zip(paths, headers, strict=True) if header.shape != shape]
    if other:
        raise ValueError(
            f"{folder}: {len(other)} of {len(paths)} images have another shape than {shape} "
            f"({format_names(other)}); expected views of one shape: move other images to another folder"
        )
    return shape
