"""Truncated views: views in which the sample extends beyond the detector's field of view."""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.overview import EDGE_COLUMNS
from pfitre_jax.data.scan import Scan

#: A view is truncated if its edge signal exceeds this fraction of its maximum.
TRUNCATION_FRACTION = 0.025
#: The sample reaches the edge if the outermost valid bin has this fraction of the edge's mean.
EDGE_REACH = 0.1
#: Smallest number of rows from which an offset of the beam can be distinguished from the sample.
OFFSET_ROWS = 8


def edge_signal(scan: Scan) -> np.ndarray:
    """Signal at the left and right edge of the detector, relative to each view's maximum.

    The signal is the mean over the rows of the :data:`~pfitre_jax.data.overview.EDGE_COLUMNS` outermost valid
    bins. It is 0 where the outermost bin has less than :data:`EDGE_REACH` of that mean: the sample then ends
    within these bins, inside the detector. Rows that a roll correction has shortened by more than half of
    these bins are ignored, because they end inside the detector.

    For counts and transmission, a beam that changed since the flat was taken adds one offset to all rows. The
    lowest tenth of the rows at that edge is subtracted as this offset, up to half the view's maximum, if the
    scan has at least :data:`OFFSET_ROWS` rows. A sample that fills every row equally looks the same.

    Returns:
        (views, 2), left and right, relative.
    """
    overview = scan.overview
    has_offset = scan.provenance.get("data") in ("counts", "transmission") and scan.rows >= OFFSET_ROWS
    peak = np.max(overview.profile, axis=1)
    signals = np.zeros((scan.views, 2))
    for side in range(2):
        start, present, edge, outermost = (
            a[..., side] for a in (overview.start, overview.present, overview.edge, overview.outermost)
        )
        for view in range(scan.views):
            if not present[view].any() or peak[view] <= 0:
                continue
            shortest = start[view][present[view]].min()
            used = present[view] & (start[view] <= shortest + EDGE_COLUMNS // 2)
            offset = np.clip(np.quantile(edge[view][used], 0.1), 0, 0.5 * peak[view]) if has_offset else 0.0
            signal = edge[view][used].mean() - offset
            if outermost[view][used].mean() - offset >= EDGE_REACH * signal:
                signals[view, side] = signal / (peak[view] - offset)
    return signals


def truncated_views(scan: Scan, fraction: float = TRUNCATION_FRACTION) -> np.ndarray:
    """Indices of the views whose :func:`edge_signal` exceeds ``fraction``, ascending.

    These views need a sample support that is wider than the detector.
    """
    return np.flatnonzero(edge_signal(scan).max(axis=1) > fraction)
