"""Pictures from files as scenes: PNG, JPEG, TIFF and other formats that Pillow reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pfitre_jax.twin.scenes.bank import MIN_DEVIATION, SIDE, Bank
from pfitre_jax.twin.scenes.raster import resample

#: Pictures with more pixels are refused.
MAX_PIXELS = 64_000_000
#: Larger pictures are averaged down to this length of their longer side, pixels.
MAX_SIDE = 2048
# Number of cuts to try before a picture counts as flat.
_TRIALS = 40
#: Luminance of linear red, green and blue (ITU-R BT.709).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def read_image(path: str | os.PathLike) -> Float[np.ndarray, "ny nx"]:
    """Reads a picture as gray values, (ny, nx), float32, with the darkest and brightest 0.2% at 0 and 1.

    Colours become their luminance, and transparent pixels are dark.

    Args:
        path: A PNG, JPEG or TIFF file of 8 or 16 bits, or a TIFF file of floats.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a picture, has more than :data:`MAX_PIXELS` pixels, or one value everywhere.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no picture at {path}; expected a PNG, JPEG or TIFF file")
    array = _tiff(path) if path.suffix.lower() in (".tif", ".tiff") else _picture(path)
    if array.ndim == 3:
        if array.shape[2] in (2, 4):
            array = array[..., :-1] * (array[..., -1:] / _white(array))
        array = array @ _LUMINANCE if array.shape[2] == 3 else array[..., 0]
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{path} has values that are not finite; expected finite numbers")
    factor = -(-max(array.shape) // MAX_SIDE)
    if factor > 1:
        ny, nx = (size // factor * factor for size in array.shape)
        array = array[:ny, :nx].reshape(ny // factor, factor, nx // factor, factor).mean(axis=(1, 3))
    return normalise(array, str(path))


def normalise(array: np.ndarray, where: str) -> Float[np.ndarray, "*shape"]:
    """Rescales values so that the darkest and brightest 0.2% are at 0 and 1, and clips them.

    Args:
        array: The values.
        where: Their origin, for the message.

    Raises:
        ValueError: If all values are equal.
    """
    low, high = np.quantile(array, [0.002, 0.998])
    if high <= low:
        low, high = float(array.min()), float(array.max())
    if high <= low:
        raise ValueError(f"{where} has the value {low:g} everywhere; expected a picture with contrast")
    return np.clip((array - low) / (high - low), 0.0, 1.0).astype(np.float32)


def tile(
    image: Float[np.ndarray, "ny nx"], rng: np.random.Generator, side: int = SIDE
) -> Float[np.ndarray, "side side"]:
    """Cuts a random square from a picture: (side, side), float32, values in [0, 1].

    The square is at least ``side`` pixels wide where the picture is, and at most as wide as its shorter side.

    Args:
        image: (ny, nx), values in [0, 1].
        rng: Random generator.
        side: Side of the tile, pixels.

    Raises:
        ValueError: If the picture is flat almost everywhere.
    """
    shorter = min(image.shape)
    for _ in range(_TRIALS):
        extent = min(np.exp(rng.uniform(np.log(min(side, shorter)), np.log(shorter))), shorter)
        top, left = (rng.uniform(0, size - extent) for size in image.shape)
        cut = resample(image, top, left, extent, side).astype(np.float32)
        if cut.std() > MIN_DEVIATION:
            return np.clip(cut, 0.0, 1.0)
    raise ValueError(
        f"{_TRIALS} squares of a picture {image.shape} are flat; expected a picture with contrast"
    )


def bank(paths: Sequence, count: int, side: int = SIDE, seed: int = 0) -> Bank:
    """Returns a bank of ``count`` tiles, equally many from each picture; a seed gives the same tiles."""
    rng = np.random.default_rng([seed, 3])
    shares = [count // len(paths) + (i < count % len(paths)) for i in range(len(paths))]
    tiles = []
    for path, share in zip(paths, shares, strict=True):
        if share:
            image = read_image(path)
            tiles += [tile(image, rng, side) for _ in range(share)]
    return Bank.create(np.stack(tiles))


def _white(array) -> float:
    return float(np.iinfo(array.dtype).max) if np.issubdtype(array.dtype, np.integer) else 1.0


def _check_size(path, pixels: int) -> None:
    if pixels > MAX_PIXELS:
        raise ValueError(
            f"{path} has {pixels / 1e6:.0f} million pixels; expected at most {MAX_PIXELS / 1e6:.0f} million: "
            "cut or shrink it"
        )


def _picture(path: Path):
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            _check_size(path, image.width * image.height)
            # Palettes contain colours; "I;16" and "L" are gray values already.
            converted_mode = {"P": "RGBA", "1": "L", "CMYK": "RGB", "YCbCr": "RGB", "PA": "RGBA"}
            return np.asarray(
                image.convert(converted_mode[image.mode]) if image.mode in converted_mode else image
            )
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"{path} cannot be read as a picture ({error}); expected PNG, JPEG or TIFF"
        ) from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _tiff(path: Path):
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            _check_size(path, page.imagelength * page.imagewidth)
            return page.asarray()
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        if isinstance(error, ValueError) and "million pixels" in str(error):
            raise
        raise ValueError(f"{path} cannot be read as TIFF ({error}); expected a picture") from error
