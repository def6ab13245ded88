"""Pictures from files (PNG, JPEG, TIFF and what else Pillow, which matplotlib brings, can read) as scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pfitre_jax.twin.scenes.bank import FLAT, SIDE, Bank
from pfitre_jax.twin.scenes.raster import resample

#: Pictures with more pixels are refused.
MAX_PIXELS = 64_000_000
#: Larger ones are averaged down to this on their longer side.
MAX_SIDE = 2048
# How often a tile is tried before a picture is given up as flat.
_TRIALS = 40
#: Luminance of linear red, green and blue (ITU-R BT.709).
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def read_image(path) -> Float[np.ndarray, "ny nx"]:
    """A picture as grey ``(ny, nx)`` float32, its darkest and brightest 0.2% at 0 and 1.

    Colours by their luminance; what is transparent is dark; 8 and 16 bit, and float in TIFF.

    Raises ``FileNotFoundError``; ``ValueError`` for what is no picture, has more than :data:`MAX_PIXELS`
    pixels, or the same value everywhere.
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
        raise ValueError(f"{path} has values that are no numbers; expected finite ones")
    factor = -(-max(array.shape) // MAX_SIDE)
    if factor > 1:
        ny, nx = (size // factor * factor for size in array.shape)
        array = array[:ny, :nx].reshape(ny // factor, factor, nx // factor, factor).mean(axis=(1, 3))
    return normalised(array, str(path))


def normalised(array, where: str):
    """The values with their darkest and brightest 0.2% at 0 and 1; ``ValueError`` where there is one value."""
    low, high = np.quantile(array, [0.002, 0.998])
    if high <= low:
        low, high = float(array.min()), float(array.max())
    if high <= low:
        raise ValueError(f"{where} has the value {low:g} everywhere; expected something to see on it")
    return np.clip((array - low) / (high - low), 0.0, 1.0).astype(np.float32)


def tile(image: Float[np.ndarray, "ny nx"], rng: np.random.Generator, side: int = SIDE):
    """A random square of a picture, ``(side, side)`` float32: all that fits, or a part of at least ``side``.

    Raises ``ValueError`` where the picture is flat next to everywhere.
    """
    shorter = min(image.shape)
    for _ in range(_TRIALS):
        extent = np.exp(rng.uniform(np.log(min(side, shorter)), np.log(shorter)))
        top, left = (rng.uniform(0, size - extent) for size in image.shape)
        cut = resample(image, top, left, extent, side).astype(np.float32)
        if cut.std() > FLAT:
            return np.clip(cut, 0.0, 1.0)
    raise ValueError(
        f"{_TRIALS} squares of a picture {image.shape} are flat; expected something to see on it"
    )


def bank(paths: Sequence, count: int, side: int = SIDE, seed: int = 0) -> Bank:
    """``count`` tiles of the pictures at ``paths``, as many of each; the same seed, the same tiles."""
    rng = np.random.default_rng([seed, 3])
    shares = [count // len(paths) + (i < count % len(paths)) for i in range(len(paths))]
    tiles = []
    for path, share in zip(paths, shares, strict=True):
        image = read_image(path) if share else None
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
            # Palettes hold colours; "I;16" and "L" are grey as they are.
            plain = {"P": "RGBA", "1": "L", "CMYK": "RGB", "YCbCr": "RGB", "PA": "RGBA"}
            return np.asarray(image.convert(plain[image.mode]) if image.mode in plain else image)
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
            page = file.pages[0]
            _check_size(path, page.imagelength * page.imagewidth)
            return page.asarray()
    except (tifffile.TiffFileError, OSError, ValueError, IndexError) as error:
        if isinstance(error, ValueError) and "million pixels" in str(error):
            raise
        raise ValueError(f"{path} cannot be read as TIFF ({error}); expected a picture") from error
