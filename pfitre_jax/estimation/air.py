"""Air level: the constant line integral beside the sample, estimated from the edges of the detector.

A beam that changed since its flat, or a background, adds a constant to every line integral. As matter, it
would fill the field of view of every view. The edges show it where the sample leaves them free: they are then
equal in all views, in all rows and at both sides. Matter at the edges is not: a cylinder that overfills the
field is steep there, a plate grows with ``1 / cos(theta)``, and an irregular sample varies between views.
"""

from __future__ import annotations

import dataclasses
import numbers

import numpy as np

from pfitre_jax.data.air import subtract_air
from pfitre_jax.data.overview import EDGE_COLUMNS, edge_bins
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.sign import LEAST_MEAN

#: The level of air lies between these fractions of the sample's largest signal. A smaller one does not
#: matter; a larger one may be matter. Matter is not negative, but other data may be negative everywhere.
MIN_LEVEL, MAX_LEVEL, MAX_NEGATIVE_LEVEL = 0.003, 0.15, 1.0
#: Part of the columns at each side that must be flat.
EDGE_SHARE = 0.02
#: Smallest numbers of views, and of the range of their angles in degrees, that distinguish air from matter.
MIN_VIEWS, MIN_RANGE_DEG = 4, 45.0
#: Largest difference, relative to the level, between the outer and inner half of the edge (flatness) and
#: between its sides. At the edge of a uniform cylinder with the largest level, the halves differ by 0.9 or
#: more.
MAX_EDGE_DIFFERENCE = 0.25
#: Largest difference, relative to the level, between the middle and the ends of the range of angles. For a
#: plate that is seen over 90 degrees it is 0.15.
MAX_ANGLE_DIFFERENCE = 0.1
#: The same for groups of neighbouring views or rows, and for single views or rows.
MAX_GROUP_DIFFERENCE, MAX_SINGLE_DIFFERENCE = 0.25, 0.5
#: Standard errors that are added to these differences.
PART_STANDARD_ERRORS, GROUP_STANDARD_ERRORS, SINGLE_STANDARD_ERRORS = 1.5, 3.0, 5.0
#: Largest standard error, relative to the level, at which parts and groups can be compared.
MAX_PART_ERROR, MAX_GROUP_ERROR = 0.05, 0.25
#: Number of groups of neighbouring views or rows.
GROUP_COUNT = 8


@dataclasses.dataclass(frozen=True, eq=False)
class _Edges:
    """Means at the edges of the detector, and the numbers of bins that they are the means of.

    Attributes:
        views: (2, views, 2), of each view at the left and right; the outer half of the edge, then the inner.
        view_bins: (2, views, 2).
        rows: (rows, 2), of each row, over the outermost bins.
        row_bins: (rows, 2).
    """

    views: np.ndarray
    view_bins: np.ndarray
    rows: np.ndarray
    row_bins: np.ndarray


def estimate_air(scan: Scan) -> float:
    """Constant line integral of the air beside the sample.

    The level is the median of the edge means of all views. It is accepted if it lies within
    :data:`MIN_LEVEL` to :data:`MAX_LEVEL` of the sample's signal (:data:`MAX_NEGATIVE_LEVEL` below 0) and the
    edges agree within their noise and a part of the level: outer and inner columns (flatness), left and
    right, the middle and the ends of the range of angles, groups of neighbouring views and of rows, and
    single views and rows.

    Args:
        scan: The scan, of line integrals that may be too large or too small by a constant.

    Returns:
        The level, negative where line integrals are too small; exactly 0 where the edges do not agree or the
        level is within their noise.
    """
    overview = scan.overview
    measured = overview.valid.any(axis=1)
    if measured.any() and not measured.all():
        return estimate_air(scan.take_views(np.flatnonzero(measured)))
    if scan.views < MIN_VIEWS or np.pi - scan.wedge.width_rad < np.deg2rad(MIN_RANGE_DEG):
        return 0.0
    edges = _edges(scan)
    if not (np.all(edges.view_bins.sum(axis=0)) and np.all(edges.row_bins[edges.row_bins.any(axis=1)])):
        return 0.0
    level = float(np.median(_pool(edges.views, edges.view_bins, 0)[0]))
    signal = float(np.max(np.median(overview.peak, axis=0))) - level
    if scan.provenance.get("data") in ("counts", "transmission") and level < LEAST_MEAN:
        return 0.0
    highest = MAX_LEVEL if level > 0 else MAX_NEGATIVE_LEVEL
    if not MIN_LEVEL * signal <= abs(level) <= highest * signal:
        return 0.0
    return level if _is_constant(edges, level, overview.noise, np.argsort(scan.theta_rad)) else 0.0


def with_air(scan: Scan, air: float | str | None = "auto") -> Scan:
    """The scan without the air level: that of :func:`estimate_air`, a known one, or unchanged.

    ``provenance["air"]`` describes the level that was subtracted.

    Args:
        scan: The scan.
        air: Line integral of the air, "auto", or None (or "none").

    Raises:
        ValueError: See :func:`check_air`.
    """
    check_air(air)
    if air is None or air == "none":
        return scan
    if isinstance(air, str):
        level, origin = estimate_air(scan), "estimated from the edges of the detector"
    else:
        level, origin = float(air), "supplied"
    corrected = subtract_air(scan, level)
    return corrected if corrected is scan else corrected.with_provenance(air=f"{level:.4g}, {origin}")


def check_air(air: float | str | None) -> None:
    """Raises ``ValueError`` unless ``air`` is a finite number, "auto", "none" or None."""
    if air in (None, "auto", "none"):
        return
    if not isinstance(air, numbers.Real) or not np.isfinite(float(air)):
        raise ValueError(f"air is {air!r}; expected a line integral (a finite number), 'auto' or 'none'")


def _edges(scan: Scan) -> _Edges:
    overview = scan.overview
    width = max(EDGE_COLUMNS, round(EDGE_SHARE * scan.columns))
    used = (overview.valid > 0)[:, None, :]
    whole = np.stack(edge_bins(used, width))[:, :, 0]
    outer = np.stack(edge_bins(used, width // 2))[:, :, 0]
    halves = np.stack([outer, whole & ~outer])
    view_bins = np.sum(halves * overview.valid, axis=-1)
    views = np.sum(halves * overview.signal, axis=-1) / np.maximum(view_bins, 1)
    present = np.isfinite(overview.bins)
    row_bins = present.sum(axis=(0, 3))
    rows = np.where(present, overview.bins, 0).sum(axis=(0, 3)) / np.maximum(row_bins, 1)
    return _Edges(np.moveaxis(views, 1, 2), np.moveaxis(view_bins, 1, 2), rows, row_bins)


def _is_constant(edges: _Edges, level: float, noise: float, order: np.ndarray) -> bool:
    """Whether all edges have the same level; ``order`` (views,) sorts the views by angle."""
    size = abs(level)
    views, view_bins = edges.views[:, order], edges.view_bins[:, order]
    position = np.linspace(-1, 1, len(order))
    before, after = position < -1 / 3, position > 1 / 3
    by_half, by_side = _pool(views, view_bins, (1, 2)), _pool(views, view_bins, (0, 1))
    first, middle, last, ends = (
        _pool(views[:, part], view_bins[:, part], (0, 1, 2))
        for part in (before, ~(before | after), after, before | after)
    )
    pairs = [(*by_half, MAX_EDGE_DIFFERENCE), (*by_side, MAX_EDGE_DIFFERENCE)]
    pairs += [(*np.transpose(pair), MAX_ANGLE_DIFFERENCE) for pair in ((first, last), (middle, ends))]
    for values, counts, tolerance in pairs:
        error = noise * np.sqrt(np.sum(1 / counts))
        difference = abs(values[0] - values[1])
        if error > MAX_PART_ERROR * size or difference > tolerance * size + PART_STANDARD_ERRORS * error:
            return False
    each_view = _pool(views, view_bins, 0)
    measured = edges.row_bins.all(axis=1)
    for values, counts in (each_view, (edges.rows[measured], edges.row_bins[measured])):
        groups = np.array_split(np.arange(len(values)), min(GROUP_COUNT, len(values)))
        means = [_pool(values[group], counts[group], 0) for group in groups]
        value, count = np.stack([m[0] for m in means]), np.stack([m[1] for m in means])
        error = noise / np.sqrt(count)
        if np.any(error > MAX_GROUP_ERROR * size):
            return False
        if np.any(np.abs(value - level) > MAX_GROUP_DIFFERENCE * size + GROUP_STANDARD_ERRORS * error):
            return False
        if np.any(
            np.abs(values - level)
            > MAX_SINGLE_DIFFERENCE * size + SINGLE_STANDARD_ERRORS * noise / np.sqrt(counts)
        ):
            return False
    return True


def _pool(
    values: np.ndarray, counts: np.ndarray, axis: int | tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over ``axis``, weighted by the numbers of bins, and the numbers of bins that it is the mean of."""
    count = counts.sum(axis=axis)
    return (values * counts).sum(axis=axis) / np.maximum(count, 1), count
