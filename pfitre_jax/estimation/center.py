"""Centre: the detector index of the rotation axis, from opposite views or from the residual.

**Opposite views** satisfy ``p(theta + pi, k) = p(theta, 2 center - k)``, so that a view and its mirrored
opposite determine the centre. **The residual** of a short non-negative least-squares reconstruction of a few
rows is smallest at the right centre. Over a narrow one-sided range of angles a wrong centre is nearly a
shifted object, and the residual hardly changes: then :class:`Undetermined` is raised.
"""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation import opposite_views
from pfitre_jax.estimation.binning import binned_index
from pfitre_jax.estimation.estimate import Estimate, Undetermined
from pfitre_jax.estimation.overlap import center_from_overlap
from pfitre_jax.estimation.residual_search import (
    COLUMNS,
    ROWS,
    bin_sinograms,
    residual_squares,
    searched_scan,
    smallest_residual,
)
from pfitre_jax.estimation.strongest_rows import strongest_rows

#: Largest mismatch of opposite views at which they determine the centre without the residual.
GOOD_MATCH = 0.02
#: Uncertainty of a centre by the residual, over the distance from the minimum at which the squared residual
#: has doubled. The short reconstructions explain a wrong centre in part by a wrong image, the better the
#: smaller the angular range. Fitted to 73 simulated scans with 40 to 120 degrees missing, 1 to 16 rows and
#: noise up to 3%, whose errors are up to 0.25 of this distance.
WIDTH_SHARE = 0.2
#: Fewest distinct angles modulo pi with which the residual determines a centre: at two angles, every centre
#: is a shift of the object.
LEAST_ANGLES = 3
#: Angles closer than this are exposures at one angle, radians.
SAME_ANGLE_RAD = 1e-3
#: Largest uncertainty of a centre, as a share of the columns; a bin for opposite views on a narrow detector.
LARGEST_SHARE = 0.04
#: Largest mismatch of opposite views at which they are used where the residual does not determine the centre.
FAIR_MATCH = 0.2


def find_center(scan: Scan) -> Estimate:
    """Estimates the detector index of the rotation axis at the middle row.

    From opposite views where they match (mismatch below :data:`GOOD_MATCH`), anywhere on the detector if they
    cover a whole turn (:func:`pfitre_jax.estimation.overlap.center_from_overlap`); else from the residual,
    searched about the estimate of poorly matching views, or over the middle half of the detector. Correct a
    roll first, with which the centre differs from row to row.

    Raises:
        Undetermined: Neither determines the centre.
    """
    overlap = center_from_overlap(scan)
    outside = overlap is not None and abs(overlap - (scan.columns - 1) / 2) > scan.columns / 4
    pairs = opposite_views.center_from_pairs(scan, overlap if outside else None)
    largest = max(LARGEST_SHARE * scan.columns, 1.0)
    if pairs is not None and pairs.uncertainty > largest:
        pairs = None
    if pairs is not None and pairs.mismatch < GOOD_MATCH:
        return pairs
    middle, reach = (scan.columns - 1) / 2, scan.columns / 4
    fair = pairs if pairs is not None and pairs.mismatch < FAIR_MATCH else None
    if fair is not None:
        middle, reach = fair.value, max(4.0, 0.04 * scan.columns)
    estimate = None
    if _distinct_angles(scan.theta_rad) >= LEAST_ANGLES:
        estimate = _center_by_residual(searched_scan(scan), middle, reach)
    if estimate is not None:
        return estimate
    if fair is not None:
        return fair
    raise Undetermined(
        "this scan does not determine its rotation centre (no matching opposite views, and the residual is "
        "much the same for many centres); compare a few (`pfitre center SCAN --try A:B:S`) and set the best "
        "by --center"
    )


def _distinct_angles(theta_rad: np.ndarray) -> int:
    """Number of angles that differ modulo pi."""
    folded = np.sort(np.mod(theta_rad, np.pi))
    return int(np.sum(np.diff(folded, append=folded[0] + np.pi) > SAME_ANGLE_RAD))


def _center_by_residual(scan: Scan, middle: float, reach: float) -> Estimate | None:
    rows = strongest_rows(scan.projections, ROWS)
    sinograms, masks = np.moveaxis(scan.projections[:, rows], 1, 0), np.moveaxis(scan.mask[:, rows], 1, 0)

    def search(centers, factor):
        y, m = bin_sinograms(sinograms, masks, factor)
        squares = [residual_squares(scan.theta_rad, y, m, binned_index(center, factor)) for center in centers]
        return np.array(squares), np.sum((y * m) ** 2)

    on_detector = lambda c: c[(c >= 0) & (c <= scan.columns - 1)]  # noqa: E731
    factor = -(-scan.columns // COLUMNS)
    # First on columns twice as coarse, in steps of two of them: the valley of the curve is several wide.
    step = 4.0 * factor
    steps = np.ceil(reach / step)
    coarse = on_detector(middle + step * np.arange(-steps, steps + 1))
    best = int(np.argmin(search(coarse, 2 * factor)[0].sum(axis=1)))
    if best in (0, coarse.size - 1):
        return None
    fine = on_detector(coarse[best] + step * np.linspace(-1, 1, 9))
    squares, power = search(fine, factor)
    return smallest_residual(fine, squares, power, step, LARGEST_SHARE * scan.columns, WIDTH_SHARE)
