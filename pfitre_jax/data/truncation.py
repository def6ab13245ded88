"""Truncated views: views in which the sample extends beyond the detector's field of view."""

from __future__ import annotations

import dataclasses

import numpy as np

from pfitre_jax.data.overview import EDGE_COLUMNS, smoothed_peak
from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import covers_full_turn

#: A view is truncated if its edge signal exceeds this fraction of its maximum,
TRUNCATION_FRACTION = 0.025
#: and this number of standard errors: 1 in 30 000 edges without signal exceeds it.
TRUNCATION_ERRORS = 4.0
#: The sample reaches the edge if all outermost valid bins have this fraction of the edge's mean.
EDGE_REACH = 0.1
#: A column is brighter in nearly all views if this quantile over the views is larger.
HOT_QUANTILE = 0.1
#: Smallest number of rows from which an offset of the beam can be distinguished from the sample.
OFFSET_ROWS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeSignal:
    """Signal at the left and right edge of the detector.

    Attributes:
        value: (views, 2), relative to the maximum of the view, 0 where no sample reaches the edge.
        error: (views, 2), standard error of ``value`` by the noise.
    """

    value: np.ndarray
    error: np.ndarray


def edge_signal(scan: Scan) -> EdgeSignal:
    """Signal at the left and right edge of the detector, relative to each view's maximum.

    The signal is the mean over the rows of the :data:`~pfitre_jax.data.overview.EDGE_COLUMNS` outermost valid
    bins. It is divided by the largest mean of as many neighbouring columns.

    A hot or stuck column exceeds the columns further inside in nearly all views; this excess is subtracted.
    The signal is 0 unless each of the outermost bins has at least :data:`EDGE_REACH` of their mean: otherwise
    the sample ends within these bins, inside the detector. Rows that a roll correction has shortened by more
    than half of these bins are ignored, because they end inside the detector.

    For counts and transmission, a beam that changed since the flat was taken adds one offset to all rows. The
    lowest tenth of the rows at that edge is subtracted as this offset, up to half the view's maximum, if the
    scan has at least :data:`OFFSET_ROWS` rows. A sample that fills every row equally looks the same.
    """
    overview = scan.overview
    has_offset = scan.provenance.get("data") in ("counts", "transmission") and scan.rows >= OFFSET_ROWS
    peak, noise = smoothed_peak(overview.profile), overview.noise
    start, present = overview.start, overview.present
    shortest = np.min(start, axis=1, where=present, initial=scan.columns)
    used = present & (start <= shortest[:, None] + EDGE_COLUMNS // 2)
    rows = used.sum(axis=1)
    columns = _mean(overview.bins, used[..., None], 1)
    # A narrow detector has fewer bins at its edges.
    known = np.isfinite(columns).any(axis=0)
    everywhere = np.nanquantile(np.where(known, columns, 0.0), HOT_QUANTILE, axis=0)
    # The sample rises inwards: what is brighter in nearly all views than a bin further inside is no sample.
    inside = np.minimum.accumulate(everywhere[..., ::-1], axis=-1)[..., ::-1]
    columns = columns - (everywhere - inside)
    value, error = np.zeros((2, scan.views, 2))
    for view, side in np.argwhere((rows > 0) & (peak > 0)[:, None]):
        offset = 0.0
        if has_offset:
            edge = _mean(overview.bins[view, used[view, :, side], side], np.array(True), -1)
            offset = np.clip(np.quantile(edge, 0.1), 0, 0.5 * peak[view])
        bins = columns[view, side][np.isfinite(columns[view, side])] - offset
        height = peak[view] - offset
        error[view, side] = noise / np.sqrt(rows[view, side] * bins.size) / height
        if bins.min() >= EDGE_REACH * bins.mean():
            value[view, side] = bins.mean() / height
    return EdgeSignal(value, error)


def truncated_views(scan: Scan, fraction: float = TRUNCATION_FRACTION) -> np.ndarray:
    """Indices of the views whose :func:`edge_signal` is significant and exceeds ``fraction``, ascending.

    These views need a sample support that is wider than the detector. The :func:`completed_side` of a half
    acquisition does not count.
    """
    signal = edge_signal(scan)
    exceeds = signal.value > np.maximum(fraction, TRUNCATION_ERRORS * signal.error)
    side = completed_side(scan)
    if side is not None:
        exceeds[:, side] = False
    return np.flatnonzero(np.any(exceeds, axis=1))


def completed_side(scan: Scan) -> int | None:
    """The side of the detector, 0 (left) or 1 (right), beyond which opposite views complete each other.

    None unless the views cover a whole turn and the axis is known and nearer to this side by more than a bin.
    """
    if scan.center is None or not covers_full_turn(np.asarray(scan.theta_rad)):
        return None
    farther = scan.columns - 1 - 2 * scan.center
    return None if abs(farther) <= 1 else int(farther < 0)


def _mean(values: np.ndarray, used: np.ndarray, axis: int) -> np.ndarray:
    """Mean over ``axis`` of the finite values that are used; NaN where there is none."""
    finite = used & np.isfinite(values)
    count = finite.sum(axis=axis)
    total = np.sum(np.where(finite, values, 0), axis=axis)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
