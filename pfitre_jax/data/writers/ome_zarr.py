"""OME-Zarr images (OME-NGFF 0.5, Zarr 3) with coarser levels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.writer import Writer
from pfitre_jax.runtime.file_mark import MARK

#: Version of OME-NGFF.
VERSION = "0.5"
#: Largest side of a chunk in a slice, pixels.
CHUNK = 1024
#: Levels are added until the largest side has at most this many pixels.
COARSEST = 256


class OmeZarrWriter(Writer):
    """Writes an image with the axes z (rows), y and x, whose chunks hold one row each.

    Each level has half of the pixels of the one before along every axis, rounded up: the mean of 2 x 2 x 2
    pixels. The scale is in micrometres where the pixel size is known.
    """

    name = "ome-zarr"
    suffix = ".ome.zarr"
    package = "zarr"
    minimum = "3.0.8"
    # All coarser levels together have at most 1/7 of the pixels, and 1/3 of those of a single row.
    relative_size = 4 / 3

    def write(self, path: Path, stack: ImageStack) -> None:
        """Writes the folder, see :meth:`pfitre_jax.data.writers.writer.Writer.write`."""
        zarr = import_optional("zarr", "the format ome-zarr")
        shapes = level_shapes(stack.shape)
        attributes = {"creator": MARK, "ome": metadata(stack, shapes), MARK: _attributes(stack)}
        group = zarr.create_group(path, zarr_format=3, attributes=attributes)
        compressor = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")
        levels = [
            group.create_array(
                str(level),
                shape=shape,
                dtype="float32",
                chunks=(1, min(shape[1], CHUNK), min(shape[2], CHUNK)),
                compressors=compressor,
                dimension_names=("z", "y", "x"),
            )
            for level, shape in enumerate(shapes)
        ]
        counts = [0] * len(levels)
        for level, image in pyramid(stack.slices(), shapes):
            levels[level][counts[level]] = image
            counts[level] += 1


def level_shapes(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Shapes (rows, ny, nx) of all levels, the finest first."""
    shapes = [shape]
    while max(shapes[-1]) > COARSEST:
        rows, ny, nx = shapes[-1]
        shapes.append((-(-rows // 2), -(-ny // 2), -(-nx // 2)))
    return shapes


def metadata(stack: ImageStack, shapes: list[tuple[int, int, int]]) -> dict[str, Any]:
    """Content of the attribute ``ome``: axes, and scale and translation of each level.

    The translation is the centre of the first pixel of a level in the coordinates of the finest one.
    """
    unit = {} if stack.pixel_size is None else {"unit": "micrometer"}
    size = 1.0 if stack.pixel_size is None else stack.pixel_size
    datasets = []
    factors = [1, 1, 1]
    for level in range(len(shapes)):
        if level:
            # An axis of one pixel is not divided.
            factors = [
                f * (2 if length > 1 else 1) for f, length in zip(factors, shapes[level - 1], strict=True)
            ]
        scale, translation = ([size * f for f in factors], [size * (f - 1) / 2 for f in factors])
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": translation},
                ],
            }
        )
    image = {
        "name": stack.name,
        "axes": [{"name": name, "type": "space", **unit} for name in "zyx"],
        "datasets": datasets,
        "type": "mean",
    }
    return {"version": VERSION, "multiscales": [image]}


def pyramid(
    slices: Iterator[Float[np.ndarray, "ny nx"]], shapes: list[tuple[int, int, int]]
) -> Iterator[tuple[int, Float[np.ndarray, "_ _"]]]:
    """Level and image of the slices of all levels, each as soon as it is known.

    One slice of each level is kept in memory.
    """
    pending: list[np.ndarray | None] = [None] * len(shapes)
    ends = [shape[0] for shape in shapes]
    counts = [0] * len(shapes)
    for finest in slices:
        image: np.ndarray | None = finest
        for level in range(len(shapes)):
            assert image is not None
            yield level, image
            counts[level] += 1
            if level + 1 == len(shapes):
                break
            first = pending[level]
            if first is None and counts[level] < ends[level]:
                pending[level] = image
                break
            # The last one of an odd number stands for itself.
            image = halve(image if first is None else (first + image) / 2)
            pending[level] = None


def halve(image: Float[np.ndarray, "ny nx"]) -> Float[np.ndarray, "_ _"]:
    """Means of 2 x 2 pixels; the last ones of an odd number are means of those that there are."""
    for axis in (0, 1):
        length = image.shape[axis]
        if length > 1:
            even = np.take(image, range(0, length, 2), axis)
            odd = np.take(image, [*range(1, length, 2), *([length - 1] if length % 2 else [])], axis)
            image = (even + odd) / 2
    return image


def _attributes(stack: ImageStack) -> dict[str, Any]:
    return {"row0": stack.row0, "units": stack.units, **stack.attributes}
