"""Shadow of the sample in each view, and the outline that contains the sample by the shadows of all views."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import ParallelGeometry

#: A bin is in the shadow if its signal exceeds this fraction of the view's maximum,
SHADOW_FRACTION = 0.01
#: and, in standard deviations of the noise, the largest value that noise alone takes, plus this.
SHADOW_ERRORS = 1.0
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

    A bin has significant signal if the mean over the bin and its neighbours exceeds
    ``max(0.01 m, sigma (sqrt(2 ln n) + 1) / sqrt 3)``, with ``m`` the maximum of the view, ``sigma`` the
    noise of a bin, and ``n`` the number of bins of the view. The largest of ``n`` values of noise is about
    ``sigma sqrt(2 ln n)``. The air beside the sample must be at 0, see
    :func:`pfitre_jax.estimation.air.estimate_air`.
    """
    highest, columns = scan.overview.highest, scan.columns
    bins = max(scan.rows * columns, 2)
    noise = scan.overview.noise / np.sqrt(3) * (np.sqrt(2 * np.log(bins)) + SHADOW_ERRORS)
    shadow = highest > np.maximum(SHADOW_FRACTION * highest.max(axis=1), noise)[:, None]
    present = np.isfinite(highest)
    first, last = _first_and_last(shadow)
    start, end = _first_and_last(present)
    margin = SHADOW_MARGIN + SHADOW_MARGIN_SHARE * columns + 0.5
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
    return in_air < max(2, int(np.ceil(AIR_SHARE * geometry.views)))


def _first_and_last(marked: Bool[np.ndarray, "views columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first and of the last marked column of each view, (views,) each."""
    return np.argmax(marked, axis=1), marked.shape[1] - 1 - np.argmax(marked[:, ::-1], axis=1)
