"""Rotation axis of a scan over a whole turn, anywhere on the detector, from the overlap of opposite views.

In a half acquisition the axis is near one edge of the detector, and a view and its mirrored opposite share
the few columns about it.
"""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.opposite_views import COLUMNS, FARTHEST_RAD, ROWS, VIEWS, opposite_views, smooth
from pfitre_jax.geometry import covers_full_turn

#: Fewest columns of an overlap, and their share of the detector's.
LEAST_COLUMNS, LEAST_SHARE = 6, 0.05
#: Largest difference of the views within their overlap, relative to their energy.
LARGEST_DIFFERENCE = 0.05
#: Centres farther from the best one than this share of the columns are others. Their difference exceeds the
#: smallest one by this factor, and by this much.
OTHER_SHARE, OTHER_FACTOR, OTHER_EXCESS = 0.08, 2.0, 0.005


def center_from_overlap(scan: Scan) -> float | None:
    """The centre at which opposite views agree best in the columns that they share, to about a bin.

    For each index sum ``s = 2 center`` the difference of all pairs and rows together is
    ``sum_k (p(theta, k) - p(theta + pi, s - k))^2 / sum_k (p(theta, k)^2 + p(theta + pi, s - k)^2)``. Line
    integrals are compared as they are: within a narrow overlap, a gain and an offset would make any two
    slopes alike.

    Args:
        scan: The scan.

    Returns:
        The centre; None if the views do not cover a whole turn, or no centre or several ones match.
    """
    if not covers_full_turn(np.asarray(scan.theta_rad)):
        return None
    pairs = [
        (view, partners[0][0])
        for view, partners in opposite_views(scan.theta_rad)
        if abs(partners[0][1]) <= FARTHEST_RAD
    ]
    if not pairs:
        return None
    rows = np.unique(np.linspace(0, scan.rows - 1, ROWS).round().astype(int))
    factor = -(-scan.columns // COLUMNS)
    difference: np.ndarray | float = 0.0
    energy: np.ndarray | float = 0.0
    for number in np.unique(np.linspace(0, len(pairs) - 1, VIEWS).round().astype(int)):
        pair = list(pairs[number])
        p, m = bin_down(scan.projections[pair][:, rows], scan.mask[pair][:, rows], factor)
        squares = _squares(p, m)
        difference, energy = difference + squares[0], energy + squares[1]
    relative = np.divide(difference, energy, out=np.ones_like(energy), where=np.asarray(energy) > 0)
    columns = (relative.size + 1) // 2
    overlap = columns - np.abs(np.arange(relative.size) - (columns - 1))
    relative[overlap < max(LEAST_COLUMNS, LEAST_SHARE * columns)] = 1
    best = int(np.argmin(relative))
    others = relative[np.abs(np.arange(relative.size) - best) > 2 * OTHER_SHARE * columns]
    unique = others.min() > max(OTHER_FACTOR * relative[best], relative[best] + OTHER_EXCESS)
    if relative[best] > LARGEST_DIFFERENCE or not unique:
        return None
    # Bin j lies at factor j + (factor-1)/2.
    return factor * best / 2 + (factor - 1) / 2


def _squares(p: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared difference and energy of a view and its mirrored opposite in their overlap, (sums,) each.

    Args:
        p: (2, rows, columns), two views.
        m: (2, rows, columns), True for a valid bin.
    """
    columns = p.shape[2]
    a, b = smooth(p, m)
    difference, energy = np.zeros((2, 2 * columns - 1))
    for s in range(2 * columns - 1):
        k = np.arange(max(0, s - columns + 1), min(columns, s + 1))
        valid = m[0][:, k] & m[1][:, s - k]
        x, y = a[:, k] * valid, b[:, s - k] * valid
        difference[s], energy[s] = np.sum((x - y) ** 2), np.sum(x * x + y * y)
    return difference, energy
