"""Intervals of the pixels of a result, calibrated by split conformal prediction on scans with known truth.

The interval of a pixel with the value ``x`` is ``x - q s <= truth <= x + q s``. The scale ``s`` says where
errors are large: it is the error that a prior expects, the error of an equivariant bootstrap
(:mod:`pfitre_jax.trust.bootstrap`), or both. The expected error is sharpened by the gradient of the image,
because errors are largest at edges. The factor ``q`` is calibrated on slices with known truth, so
that intervals contain the stated share of the true values, whatever the scale is.

References:
    Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005.
    Lee, Barber & Willett, Distribution-free inference with hierarchical data, 2023: several values of each
    sample, here the pixels of a slice.
    Angelopoulos et al., Image-to-image regression with distribution-free uncertainty quantification, 2022.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.ndimage import maximum_filter, minimum_filter

from pfitre_jax.priors.interval_table import IntervalCell

#: Share of the true values that the intervals contain.
LEVEL = 0.9
#: Smallest scale, for images of about [0, 1]: below it, discretisation makes up the error.
SMALLEST_SCALE = 1e-3
#: Weight of the gradient beside the expected error, and its smallest value, for images of about [0, 1]. Both
#: were chosen on the calibration scans of ``python -m experiments.intervals``.
GRADIENT_WEIGHT, SMALLEST_GRADIENT = 1 / 3, 0.1
#: Side of the window, pixels, in which the contrast of a pixel's surroundings is taken.
CONTRAST_WINDOW = 15
#: Pixels whose surroundings have less than this share of the contrast of the slice have no structure.
STRUCTURE_SHARE = 0.1
#: Smallest number of slices of a calibrated cell. With fewer the factor is much too large: see
#: :func:`conformal_factor`.
FEWEST_SLICES = 20


def combined_scale(
    expected: Float[Array, "*rows ny nx"] | None, bootstrap: Float[Array, "*rows ny nx"] | None
) -> Float[Array, "*rows ny nx"]:
    """The scale of the interval of each pixel, at least :data:`SMALLEST_SCALE`.

    The geometric mean of two scales depends on both everywhere, and a common factor of either, which the
    calibration corrects, does not change their balance.

    Args:
        expected: (ny, nx), :func:`sharpened_scale` of the error that the prior expects, in units of the scale
            of the scan; None without.
        bootstrap: (ny, nx), the mean error of the bootstrap draws; None without.

    Raises:
        ValueError: Both are None.
    """
    scales = [jnp.maximum(scale, SMALLEST_SCALE) for scale in (expected, bootstrap) if scale is not None]
    if not scales:
        raise ValueError("neither an expected error nor a bootstrap; expected at least one of them")
    return scales[0] if len(scales) == 1 else jnp.sqrt(scales[0] * scales[1])


def sharpened_scale(
    expected: Float[Array, "*rows ny nx"], x: Float[Array, "*rows ny nx"], weight: Array | float
) -> Float[Array, "*rows ny nx"]:
    """``b^(1 - weight) (g + 0.1)^weight`` with expected error ``b`` and gradient ``g``.

    ``b`` is at least :data:`SMALLEST_SCALE`; ``g`` is that of the image after two binomial smoothings. An
    edge that is displaced by a small ``d`` has the error ``g d``, and the expected error varies more smoothly
    across it. Both are in units of the image. With the weight 0 the scale is ``b``.

    Args:
        expected: (ny, nx), the error that the prior expects, in units of the scale of the scan.
        x: (ny, nx), the result in the same units.
        weight: (), between 0 and 1, :data:`GRADIENT_WEIGHT` or that of a table.
    """
    gradient = gradient_magnitude(smooth_scale(smooth_scale(x)))
    expected = jnp.maximum(expected, SMALLEST_SCALE)
    return expected ** (1 - weight) * (gradient + SMALLEST_GRADIENT) ** weight


def gradient_magnitude(x: Float[Array, "*rows ny nx"]) -> Float[Array, "*rows ny nx"]:
    """Length of the gradient by central differences, per pixel; the image is continued at its edges."""
    squared = jnp.zeros_like(x)
    for axis in (-2, -1):
        width = [(0, 0)] * x.ndim
        width[axis] = (1, 1)
        padded, n = jnp.pad(x, width, mode="edge"), x.shape[axis]
        ahead, behind = (jnp.take(padded, jnp.arange(k, k + n), axis=axis) for k in (2, 0))
        squared += ((ahead - behind) / 2) ** 2
    return jnp.sqrt(squared)


def smooth_scale(scale: Float[Array, "*rows ny nx"]) -> Float[Array, "*rows ny nx"]:
    """The scale smoothed by the binomial filter 1-2-1 along both axes: a mean of few draws is noisy."""
    for axis in (-2, -1):
        width = [(0, 0)] * scale.ndim
        width[axis] = (1, 1)
        padded, n = jnp.pad(scale, width, mode="edge"), scale.shape[axis]
        parts = [jnp.take(padded, jnp.arange(k, k + n), axis=axis) for k in range(3)]
        scale = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return scale


def conformal_factor(scores: Sequence[Float[np.ndarray, " _"]], level: float = LEVEL) -> float:
    """The factor with which intervals contain at least the share ``level`` of the pixels of a new slice.

    With ``n`` slices, the scores ``|error| / scale`` of the ``m`` pixels of a slice have the weight
    ``1 / ((n + 1) m)`` each, and the remaining weight ``1 / (n + 1)`` belongs to infinity. The factor is
    the ``level`` quantile of this distribution. If the new slice is exchangeable with these, the expected
    share is at least ``level`` and, without ties, at most about ``level + 1 / (n + 1)``. With a single pixel
    in each slice it is the usual ``ceil((n + 1) level)``-th smallest score.

    Args:
        scores: The scores of the pixels of each slice, 1D arrays that may differ in length.
        level: The share.

    Returns:
        The factor; infinity for fewer than ``level / (1 - level)`` slices.

    Raises:
        ValueError: A score is negative or NaN, a slice has no pixel, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level!r}; expected a number between 0 and 1")
    if any(np.size(values) == 0 for values in scores):
        raise ValueError("a slice has no score; expected at least one pixel in each")
    if not scores:
        return float("inf")
    values = np.concatenate([np.asarray(part, float).ravel() for part in scores])
    if np.any(np.isnan(values)) or np.any(values < 0):
        raise ValueError("a score is negative or NaN; expected |error| / scale")
    counts = np.array([np.size(part) for part in scores])
    weights = np.repeat(1 / ((len(scores) + 1) * counts), counts)
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    # Rounding must not exclude a score whose cumulative weight equals the level.
    index = int(np.searchsorted(below, level - 1e-9))
    return float(values[order][index]) if index < len(values) else float("inf")


def calibrate_cells(
    scores: Sequence[Float[np.ndarray, " _"]],
    wedge_deg: Sequence[float],
    noise: Sequence[float],
    *,
    wedge_edges: Sequence[float],
    noise_edges: Sequence[float],
    level: float = LEVEL,
    fewest: int = FEWEST_SLICES,
) -> list[IntervalCell]:
    """Calibrated cells of wedge width and noise (Mondrian conformal prediction), and wider ones to fall back.

    A cell with fewer than ``fewest`` slices is left out. A scan of it then belongs to the cell of its wedge
    and any noise, and if that is left out, too, to the cell of all scans.

    Args:
        scores: The scores of the pixels of each slice.
        wedge_deg: Width of the missing wedge of each slice, degrees.
        noise: Noise of each slice, over the maximum of its sinogram.
        wedge_edges: Ascending limits of the wedge width, degrees.
        noise_edges: Ascending limits of the noise.
        level: Share of the pixels that the intervals contain.
        fewest: Smallest number of slices of a cell.

    Raises:
        ValueError: The arguments differ in length, or even the cell of all scans has fewer than ``fewest``
            slices or too few for ``level``.
    """
    wedges, noises = np.asarray(wedge_deg, float), np.asarray(noise, float)
    if not len(scores) == len(wedges) == len(noises):
        raise ValueError(
            f"scores of {len(scores)} slices, wedge_deg of {len(wedges)} and noise of {len(noises)}; "
            "expected one entry for each slice"
        )
    every_wedge, every_noise = ((float(edges[0]), float(edges[-1])) for edges in (wedge_edges, noise_edges))
    wedge_ranges, noise_ranges = ([*_ranges(edges)] for edges in (wedge_edges, noise_edges))
    wanted = [(w, n) for w in wedge_ranges for n in noise_ranges]
    wanted += [(w, every_noise) for w in wedge_ranges] + [(every_wedge, every_noise)]
    cells = []
    for wedge, bounds in dict.fromkeys(wanted):
        within = (wedge[0] <= wedges) & (wedges <= wedge[1]) & (bounds[0] <= noises) & (noises <= bounds[1])
        members = np.flatnonzero(within)
        if len(members) >= fewest:
            factor = conformal_factor([scores[int(k)] for k in members], level)
            if np.isfinite(factor):
                # Scores that are all 0 leave the interval its smallest width.
                cells.append(IntervalCell(wedge, bounds, max(factor, 1e-6), len(members)))
    if not cells:
        # The last cell is that of all scans.
        raise ValueError(
            f"{len(members)} of {len(scores)} slices within the limits of the cells; expected at least "
            f"{max(fewest, int(np.ceil(level / (1 - level) - 1e-9)))}: use more"
        )
    return cells


def interval(
    x: Float[np.ndarray, "*rows ny nx"], half_width: Float[np.ndarray, "*rows ny nx"], nonnegative: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper limit of each pixel, (rows, ny, nx) each.

    Args:
        x: (ny, nx), the result.
        half_width: (ny, nx), half width of the interval.
        nonnegative: Whether the true values are known not to be negative, as the method assumes.
    """
    lower, upper = x - half_width, x + half_width
    return (np.maximum(lower, 0), np.maximum(upper, 0)) if nonnegative else (lower, upper)


def local_contrast(image: Float[np.ndarray, "ny nx"], window: int = CONTRAST_WINDOW) -> np.ndarray:
    """Largest minus smallest value of the surroundings of each pixel, (ny, nx).

    Args:
        image: (ny, nx), the result.
        window: Side of the surroundings, pixels.
    """
    return maximum_filter(image, window) - minimum_filter(image, window)


def share_wider_than_contrast(
    image: Float[np.ndarray, "ny nx"],
    lower: Float[np.ndarray, "ny nx"],
    upper: Float[np.ndarray, "ny nx"],
    support: Bool[np.ndarray, "ny nx"],
) -> float:
    """Share of the pixels near structure whose interval is wider than the local contrast.

    There the interval allows that the structure is absent. Pixels near structure are those of the support
    whose :func:`local_contrast` is at least :data:`STRUCTURE_SHARE` of the largest one. NaN without any.
    """
    contrast = local_contrast(image)
    near = support & (contrast >= STRUCTURE_SHARE * contrast.max()) & (contrast > 0)
    return float(np.mean((upper - lower > contrast)[near])) if near.any() else float("nan")


def area_under_curve(score: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Area under the receiver operating characteristic: probability that a positive has the higher score.

    Ties count half. NaN if all or none are positive.

    Args:
        score: (n,), the predicted error.
        positive: (n,), whether the true error is among the largest.
    """
    count, total = int(positive.sum()), len(positive)
    if count in (0, total):
        return float("nan")
    _, inverse, repeated = np.unique(score, return_inverse=True, return_counts=True)
    # Mean rank of each group of equal scores, counted from 1.
    ranks = (np.cumsum(repeated) - (repeated - 1) / 2)[inverse]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (total - count)))


def _ranges(edges: Sequence[float]) -> Iterable[tuple[float, float]]:
    return ((float(a), float(b)) for a, b in itertools.pairwise(edges))
