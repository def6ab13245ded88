"""Flat and dark frames: their mean without outlying frames and values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.selection import format_ranges

#: A frame is outlying if its level, 1 for the beam and 0 for no beam, differs from that of its group by more
#: than this; the current of a storage ring decays by less between two fillings.
FLAT_TOLERANCE, DARK_TOLERANCE = 0.25, 0.1
#: The same for the second one of two frames: it is then nearer to the other group.
PAIR_TOLERANCE = 0.5
#: Robust standard deviations of the levels, or of the values of a pixel, beyond which one is outlying.
OUTLYING = 6.0
#: Smallest standard deviation of the values of a pixel, relative to the beam: smaller outliers do not matter.
SMALLEST_DEVIATION = 0.002
#: Outlying values are reported if they change the plain mean of a pixel by more than this share of the beam.
REPORTED_CHANGE = 0.01
#: Largest number of pixels that the level of a frame is estimated from, and of values compared at once.
LEVEL_PIXELS, BLOCK_VALUES = 2**18, 2**24
#: Standard deviation of a normal distribution over its median absolute deviation.
_MAD = 1.4826
#: The same over the mean absolute deviation from the smaller one of two values; 1.25 for many values.
_MEAN_DEVIATION = 1.8


def combine_frames(
    flat: ArrayLike | None, dark: ArrayLike | None, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Mean flat and dark frame of counts, each (rows, columns) float64, and warnings.

    A frame whose level is not that of its group is left out: a dark frame among flat frames, a flat frame
    among dark frames, a frame during a beam dump. The level is the median over the bright pixels of
    ``(frame - dark) / (flat - dark)``, with the median frames of both groups. In the remaining frames, a
    value that differs by more than six robust standard deviations from the median of its pixel is replaced by
    this median at the level of its frame: a zinger in one of ten flat frames would change the plain mean.

    Args:
        flat: (rows, columns), or frames (n, rows, columns).
        dark: As ``flat``.
        shape: (rows, columns) of the projections.

    Raises:
        ValueError: A group is missing, is empty, has another shape or is not finite; or the flat frames are
            not brighter than the dark frames.
    """
    flats, darks = _frames(flat, shape, "flat"), _frames(dark, shape, "dark")
    # For an even number, the middle value that is farther from the other group.
    bright, dim = _rank(flats, len(flats) // 2), _rank(darks, (len(darks) - 1) // 2)
    beam = bright.astype(float) - dim
    if np.nansum(beam) <= 0:
        raise ValueError(
            f"the flat frames are not brighter than the dark frames (mean {np.nanmean(bright):.4g} and "
            f"{np.nanmean(dim):.4g}); expected the beam without sample in flat and no beam in dark: swap the "
            "two groups, or store counts above the range of their type (int16: 32767) in a wider one"
        )
    warnings: list[str] = []
    pixels = _bright_pixels(beam)
    means = []
    for frames, name, level, tolerance in (
        (flats, "flat", 1.0, FLAT_TOLERANCE),
        (darks, "dark", 0.0, DARK_TOLERANCE),
    ):
        levels = _levels(frames, dim, beam, pixels)
        deviation = np.abs(levels - level)
        usual = OUTLYING * _MAD * np.sort(deviation)[(len(frames) - 1) // 2]
        # A comparison with NaN is false: frames that are not finite are outlying.
        kept = deviation <= max(tolerance if len(frames) > 2 else PAIR_TOLERANCE, usual)
        outlying = np.flatnonzero(~kept)
        if outlying.size:
            percent = ", ".join(f"{100 * levels[k]:.0f}%" for k in outlying[:8])
            warnings.append(
                f"{name} frames {format_ranges(outlying)} of {len(frames)} have {percent} of the level of "
                f"the beam, unlike the other {name} frames; they were left out"
            )
        mean, changed = _robust_mean(frames[kept], levels[kept] if level else None, dim, beam)
        if changed.any():
            numbers = np.flatnonzero(kept)[changed > 0]
            warnings.append(
                f"{name} frames {format_ranges(numbers)} of {len(frames)} hold {int(changed.sum())} outlying "
                "values (zingers or dead regions); they were replaced by the median of the other frames"
            )
        means.append(mean)
    return means[0], means[1], warnings


def _frames(frames: ArrayLike | None, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Frames (n, rows, columns) of a group, as stored."""
    if frames is None:
        raise ValueError(
            f"the data are counts but there is no {name} frame; counts need flat and dark "
            "(a dark of zeros if the detector has none): add it, or give 'transmission' or 'absorption' as "
            "the data kind"
        )
    frames = np.asarray(frames)
    if frames.dtype.kind not in "fiub":
        raise ValueError(f"the {name} is of type {frames.dtype}; expected real numbers")
    if frames.size == 0:
        raise ValueError(
            f"the {name} frames are empty: their dataset has shape {frames.shape} and holds no frame; "
            "expected at least one (rows, columns): add it, or give 'transmission' or 'absorption' as the "
            "data kind"
        )
    stack = frames[None] if frames.ndim == 2 else frames
    if stack.ndim != 3 or stack.shape[1:] != tuple(shape):
        raise ValueError(
            f"the {name} has shape {frames.shape}; expected {shape} (rows, columns) as the "
            "projections, or a stack of such frames"
        )
    finite = np.isfinite(stack).all(axis=(1, 2)) if stack.dtype.kind == "f" else np.ones(len(stack), bool)
    if 2 * finite.sum() <= len(stack):
        raise ValueError(f"the {name} holds NaN or infinity; expected finite values: correct the file")
    return stack


def _rank(frames: np.ndarray, rank: int) -> np.ndarray:
    """(rows, columns), the value of each pixel with this rank among the frames."""
    return np.partition(frames, rank, axis=0)[rank]


def _bright_pixels(beam: np.ndarray) -> np.ndarray:
    """(pixels,), flat indices of pixels with half of the mean brightness of the beam or more, evenly spread.

    Pixels are weighted by their brightness in this mean, because the beam may cover a part of the detector.
    """
    positive = beam[beam > 0]
    pixels = np.flatnonzero(beam > 0.5 * np.sum(positive**2) / np.sum(positive))
    return pixels[:: -(-pixels.size // LEVEL_PIXELS)]


def _levels(frames: np.ndarray, dim: np.ndarray, beam: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(n,), level of each frame, 1 for the beam and 0 for no beam; NaN for a frame that is not finite."""
    low, high = dim.ravel()[pixels].astype(float), beam.ravel()[pixels]
    levels = [np.median((frame.ravel()[pixels] - low) / high) for frame in frames]
    finite = [frame.dtype.kind != "f" or bool(np.isfinite(frame).all()) for frame in frames]
    return np.where(finite, levels, np.nan)


def _robust_mean(
    frames: np.ndarray, levels: np.ndarray | None, dim: np.ndarray, beam: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (rows, columns) without outlying values, and the number of reported values of each frame (n,).

    Args:
        frames: (n, rows, columns).
        levels: (n,), level of each flat frame; None for dark frames.
        dim: (rows, columns), median dark frame.
        beam: (rows, columns), median flat frame minus ``dim``.
    """
    count, rows, columns = frames.shape
    mean, changed = np.empty((rows, columns)), np.zeros(count, int)
    floor = SMALLEST_DEVIATION * float(np.quantile(beam, 0.95))
    step = max(BLOCK_VALUES // (count * columns), 1)
    for start in range(0, rows, step):
        block = slice(start, start + step)
        values = frames[:, block].astype(float)
        if count < 2:
            mean[block] = values[0]
            continue
        below = dim[block].astype(float) if levels is not None else 0.0
        scale = np.ones((count, 1, 1)) if levels is None else levels[:, None, None]
        normal = (values - below) / scale
        # Zingers are bright: of two values, the smaller one.
        middle = _rank(normal, (count - 1) // 2)
        deviation = normal - middle
        size, reference = np.abs(deviation), np.maximum(beam[block], floor)
        # The deviations of few frames say little about one pixel: photon noise, from all pixels together.
        spread = _MAD * _rank(size, (count - 1) // 2)
        photons = _MEAN_DEVIATION * np.median(size.mean(axis=0) / np.sqrt(reference)) * np.sqrt(reference)
        outlying = size > OUTLYING * np.maximum(np.maximum(spread, photons), floor)
        reported = outlying & (size > REPORTED_CHANGE * count * reference)
        changed += reported.sum(axis=(1, 2))
        mean[block] = np.where(outlying, middle * scale + below, values).mean(axis=0)
    return mean, changed
