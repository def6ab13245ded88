"""Roll: the in-plane angle of the rotation axis, from opposite views or from the residual."""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation import opposite_views
from pfitre_jax.estimation.binning import binned_index
from pfitre_jax.estimation.center import FAIR_MATCH, find_center
from pfitre_jax.estimation.estimate import Estimate, Undetermined
from pfitre_jax.estimation.residual_search import (
    COLUMNS,
    ROWS,
    bin_sinograms,
    residual_squares,
    searched_scan,
    smallest_residual,
)
from pfitre_jax.estimation.strongest_rows import strongest_rows

#: Largest roll that is searched for, degrees.
MAX_ROLL_DEG = 5.0
#: Smallest number of rows that determines a roll.
MIN_ROLL_ROWS = 16


def find_roll(scan: Scan) -> Estimate:
    """Estimates the roll of the axis in degrees, in the sign of :func:`pfitre_jax.data.roll.apply_roll`.

    From the best pair of opposite views where they match once rotated; else from the residual, which needs
    the centre: the scan's own, or that of :func:`find_center`.

    Raises:
        Undetermined: Neither determines the roll, or there are fewer than :data:`MIN_ROLL_ROWS` rows.
        ValueError: Rows of the scan were selected.
    """
    message = (
        "this scan does not determine its roll ({}); compare a few (`pfitre center SCAN --try-roll A:B:S`) "
        "and set the best by --roll (0 for none)"
    )
    if scan.rows < MIN_ROLL_ROWS:
        raise Undetermined(message.format(f"it has {scan.rows} rows, at least {MIN_ROLL_ROWS} are needed"))
    if scan.rows != scan.raw_rows:
        raise ValueError("rows were selected; expected the whole scan: find the roll before selecting rows")
    pairs = opposite_views.roll_from_pairs(scan, MAX_ROLL_DEG)
    if pairs is not None and pairs.mismatch < FAIR_MATCH / 2:
        return pairs
    estimate = _roll_by_residual(scan)
    if estimate is None:
        reason = "no matching opposite views, and a residual that hardly changes"
        raise Undetermined(message.format(reason))
    return estimate


def _roll_by_residual(scan: Scan) -> Estimate | None:
    center = scan.center
    if center is None:
        try:
            center = find_center(scan).value
        except Undetermined:
            return None
    work = searched_scan(scan)
    # Rotation interpolates, which smooths, which alone lowers the residual: all are smoothed alike before.
    smooth = opposite_views.smooth(work.projections, work.mask, (0, 1, 1))
    factor = -(-scan.columns // COLUMNS)
    # Rows far from the middle move most, but the outermost are rotated out of the frame.
    margin = int(np.ceil(np.tan(np.deg2rad(MAX_ROLL_DEG)) * scan.columns / 4))
    margin = margin if scan.rows > 4 * margin else 0
    rows = margin + strongest_rows(work.projections[:, margin : scan.rows - margin], ROWS)

    def search(rolls):
        squares = []
        for roll in rolls:
            projections, mask = apply_roll(smooth, work.mask, roll)
            y, m = np.moveaxis(projections[:, rows], 1, 0), np.moveaxis(mask[:, rows], 1, 0)
            y, m = bin_sinograms(y, m, factor)
            # The valid bins depend on the roll, so that each row is relative to its own energy.
            power = np.maximum(np.sum((y * m) ** 2, axis=(1, 2)), np.finfo(np.float32).tiny)
            squares.append(residual_squares(work.theta_rad, y, m, binned_index(center, factor)) / power)
        return np.array(squares)

    coarse = np.linspace(-MAX_ROLL_DEG, MAX_ROLL_DEG, 9)
    best = int(np.argmin(search(coarse).sum(axis=1)))
    if best in (0, coarse.size - 1):
        return None
    fine = coarse[best] + np.linspace(-1.25, 1.25, 9)
    return smallest_residual(fine, search(fine), rows.size, 1.25, 1.0)
