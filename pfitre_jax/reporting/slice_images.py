"""Slices as small images inside a page: which rows, how large, and their encoding as PNG."""

from __future__ import annotations

import base64
import dataclasses
import io
import math

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.colors import to_rgb
from PIL import Image

#: Largest number of rows that a page shows.
MAX_ROWS = 96
#: Largest number of pixels in all images of a page: about 10 MB, and at most 16 MB for images of white noise.
PIXEL_BUDGET = 12e6
#: Images of many large slices are not made smaller than this before rows are skipped instead.
SIDE = 512
#: Fewest rows that a page shows, if there are as many.
MIN_ROWS = 24
#: Steps of the opacity of a shade, and its largest opacity.
SHADE_STEPS, SHADE_OPACITY = 16, 0.8


@dataclasses.dataclass(frozen=True, eq=False)
class Sampling:
    """Rows of a volume that a page shows, and the size of their images.

    Attributes:
        indices: (shown,), indices of the rows in the volume.
        factor: Number of pixels of a slice, along each axis, that one pixel of its image averages.
    """

    indices: np.ndarray
    factor: int


def choose_sampling(rows: int, shape: tuple[int, int], layers: float, middle: int) -> Sampling:
    """Rows and image size that stay within :data:`PIXEL_BUDGET`.

    Args:
        rows: Number of rows of the volume.
        shape: Shape (ny, nx) of a slice.
        layers: Number of images of each row; one that compresses well counts less.
        middle: Index of a row that is shown in any case.
    """
    pixels = min(shape[0], SIDE) * min(shape[1], SIDE)
    affordable = int(PIXEL_BUDGET / (layers * pixels))
    count = min(rows, MAX_ROWS, max(affordable, MIN_ROWS))
    factor = max(math.ceil(math.sqrt(count * layers * shape[0] * shape[1] / PIXEL_BUDGET)), 1)
    indices = np.unique(np.linspace(0, rows - 1, count).round().astype(int))
    indices[np.argmin(np.abs(indices - middle))] = middle
    return Sampling(indices, factor)


def bin_image(image: Float[np.ndarray, "ny nx"], factor: int) -> Float[np.ndarray, "rows columns"]:
    """Means over the finite pixels of squares; those at the end may be incomplete.

    Args:
        image: (ny, nx).
        factor: Side of the squares, pixels.
    """
    if factor == 1:
        return image
    padding = [(0, -n % factor) for n in image.shape]
    padded = np.pad(np.asarray(image, float), padding, constant_values=np.nan)
    ny, nx = (n // factor for n in padded.shape)
    squares = padded.reshape(ny, factor, nx, factor)
    count = np.isfinite(squares).sum(axis=(1, 3))
    return np.where(count > 0, np.nansum(squares, axis=(1, 3)) / np.maximum(count, 1), np.nan)


def gray_png(image: Float[np.ndarray, "ny nx"], low: float, high: float) -> str:
    """Data URI of an image in 256 grey levels; NaN is black.

    Args:
        image: (ny, nx).
        low: Value of black.
        high: Value of white.
    """
    levels = np.nan_to_num(np.clip((image - low) / (high - low), 0, 1)) * 255
    return _data_uri(Image.fromarray(levels.round().astype(np.uint8)))


def shade_png(strength: Float[np.ndarray, "ny nx"], color: str) -> str:
    """Data URI of a transparent image in one colour, to be laid over a slice.

    Args:
        strength: (ny, nx), opacity relative to :data:`SHADE_OPACITY`; clipped to 0 to 1.
        color: Colour as matplotlib names it.
    """
    steps = np.nan_to_num(np.clip(strength, 0, 1)) * (SHADE_STEPS - 1)
    image = Image.fromarray(steps.round().astype(np.uint8))
    image.putpalette([round(255 * part) for part in to_rgb(color)] * SHADE_STEPS)
    opacity = bytes(round(255 * SHADE_OPACITY * k / (SHADE_STEPS - 1)) for k in range(SHADE_STEPS))
    return _data_uri(image, transparency=opacity, bits=4)


def signed_png(image: Float[np.ndarray, "ny nx"], limit: float) -> str:
    """Data URI of an image in the colours of differences: blue below 0, white at 0, red above.

    Args:
        image: (ny, nx).
        limit: Absolute value of the most saturated colours.
    """
    levels = np.nan_to_num(np.clip(image / limit, -1, 1)) * 127 + 127
    encoded = Image.fromarray(levels.round().astype(np.uint8))
    palette = matplotlib.colormaps["RdBu_r"](np.arange(255) / 254, bytes=True)[:, :3]
    encoded.putpalette(palette.ravel().tolist())
    return _data_uri(encoded)


def _data_uri(image: Image.Image, **options) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
