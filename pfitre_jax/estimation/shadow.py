"""Shadow of the sample in each view, and the outline that contains the sample by the shadows of all views."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.data.overview import SIGNAL_FRACTION, Overview
from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import ParallelGeometry

#: Least signal of a bin in the shadow, over the largest value of the scan; rounding errors are smaller.
SMALLEST_SIGNAL = 1e-5
#: Fewest rows from which offsets of the views are estimated, and the quantile of the rows' edges that is one.
OFFSET_ROWS, OFFSET_QUANTILE = 8, 0.1
#: A view sees air beside the sample if the shadow ends at least this number of bins inside the detector.
AIR_BINS = 3
#: Distance that is added to the shadow on both sides: bins, and share of the columns.
SHADOW_MARGIN, SHADOW_MARGIN_SHARE = 1.5, 0.01
#: A pixel lies outside the outline if this share of the views, and at least two, see air there: a view that
#: is shifted against the others must not cut the sample.
AIR_SHARE = 0.04


@dataclasses.dataclass(frozen=True, eq=False)
class Shadow:
    """Shadow of the sample in each view, over all rows.

    Attributes:
        first: (views,), detector coordinate where the shadow begins; -inf if the view sees no air there.
        last: (views,), detector coordinate where it ends; inf if the view sees no air there.
    """

    first: Float[np.ndarray, " views"]
    last: Float[np.ndarray, " views"]


def sample_shadow(scan: Scan) -> Shadow:
    """The shadow of the sample: from the first to the last bin with significant signal in any row.

    The signal of every row is compared with the level and the noise of this row
    (:attr:`pfitre_jax.data.overview.Overview.excess`), so that the shadow contains rows that are much weaker
    than others. The air beside the sample must be at 0, see
    :func:`pfitre_jax.estimation.air.estimate_air`. What nearly all rows of a view have at both edges, up to
    1% of the view's maximum, is an offset of the beam in this view and is no signal.
    """
    overview, columns = scan.overview, scan.columns
    offset = _view_offsets(overview)
    shadow = overview.excess > (offset + SMALLEST_SIGNAL * max(overview.peak.max(), 0))[:, None]
    present = np.isfinite(overview.excess)
    first, last = _first_and_last(shadow)
    start, end = _first_and_last(present)
    margin = _margin(columns)
    empty = ~shadow.any(axis=1)
    return Shadow(
        np.where(empty | (first < start + AIR_BINS), -np.inf, first - margin),
        np.where(empty | (last > end - AIR_BINS), np.inf, last + margin),
    )


def shadow_outline(
    shadow: Shadow, geometry: ParallelGeometry, x: Float[np.ndarray, "1 nx"], y: Float[np.ndarray, "ny 1"]
) -> Bool[np.ndarray, "ny nx"]:
    """The pixels that are in the shadow in nearly all views.

    With all views it is the convex hull of the sample; a missing wedge leaves it wider along the missing
    directions.

    Args:
        shadow: Shadow of the sample.
        geometry: Geometry of a row.
        x: (1, nx), coordinates of the pixels from the rotation axis.
        y: (ny, 1), coordinates of the pixels from the rotation axis.
    """
    theta, shifts = np.asarray(geometry.theta_rad, float), np.asarray(geometry.shifts, float)
    in_air = np.zeros((y.shape[0], x.shape[1]), np.int32)
    for view in range(geometry.views):
        bins = x * np.cos(theta[view]) + y * np.sin(theta[view]) + float(geometry.center) + shifts[view]
        in_air += (bins < shadow.first[view]) | (bins > shadow.last[view])
    return in_air < _fewest_views(geometry)


def casts_shadow(
    shadow: Shadow,
    geometry: ParallelGeometry,
    inside: Bool[np.ndarray, "ny nx"],
    x: Float[np.ndarray, "1 nx"],
    y: Float[np.ndarray, "ny 1"],
) -> bool:
    """Whether a region casts the whole shadow, so that it can contain the sample.

    A sample touches both ends of its shadow in each view that sees air beside it. The region must reach the
    ends, without the margin that they include, in nearly all views.

    Args:
        shadow: Shadow of the sample.
        geometry: Geometry of a row.
        inside: (ny, nx), the pixels of the region.
        x: (1, nx), coordinates of the pixels from the rotation axis, detector columns.
        y: (ny, 1), coordinates of the pixels from the rotation axis, detector columns.
    """
    lines = inside.any(axis=1)
    if not lines.any():
        return False
    # The extreme detector coordinates of a region are those of the first and last pixels of its lines.
    first, last = (x[0, index[lines]] for index in _first_and_last(inside))
    along, across = np.concatenate([first, last]), np.tile(y[lines, 0], 2)
    theta, shifts = (
        np.asarray(geometry.theta_rad, float)[:, None],
        np.asarray(geometry.shifts, float)[:, None],
    )
    bins = along * np.cos(theta) + across * np.sin(theta) + float(geometry.center) + shifts
    margin = _margin(geometry.columns)
    short = (bins.min(axis=1) > shadow.first + margin) & np.isfinite(shadow.first)
    short |= (bins.max(axis=1) < shadow.last - margin) & np.isfinite(shadow.last)
    return int(short.sum()) < _fewest_views(geometry)


def _margin(columns: int) -> float:
    """Distance that is added to the shadow on both sides, detector columns."""
    return SHADOW_MARGIN + SHADOW_MARGIN_SHARE * columns + 0.5


def _fewest_views(geometry: ParallelGeometry) -> int:
    """Number of views that count: fewer may be shifted against the others."""
    return max(2, int(np.ceil(AIR_SHARE * geometry.views)))


def _view_offsets(overview: Overview) -> Float[np.ndarray, " views"]:
    """Offset of the beam in each view, (views,); 0 for a scan of few rows."""
    if overview.peak.shape[1] < OFFSET_ROWS:
        return np.zeros(len(overview.peak))
    finite = np.isfinite(overview.bins)
    total = np.where(finite, overview.bins, 0).sum(axis=-1)
    edges = np.divide(total, finite.sum(axis=-1), out=np.zeros_like(total), where=finite.any(axis=-1))
    lowest = np.quantile(edges.min(axis=-1), OFFSET_QUANTILE, axis=1)
    return np.clip(lowest, 0, SIGNAL_FRACTION * np.maximum(overview.peak.max(axis=1), 0))


def _first_and_last(marked: Bool[np.ndarray, "views columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first and of the last marked column of each view, (views,) each."""
    return np.argmax(marked, axis=1), marked.shape[1] - 1 - np.argmax(marked[:, ::-1], axis=1)
