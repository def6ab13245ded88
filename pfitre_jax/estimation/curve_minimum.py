"""Minimum of a sampled curve, by the parabola through the smallest sample and its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def minimum_position(values: ArrayLike, scores: ArrayLike) -> float:
    """Position of the minimum, at most one step from the smallest score.

    Args:
        values: (n,), evenly spaced positions.
        scores: (n,), the curve.
    """
    best, shift, _ = _parabola(scores)
    values = np.asarray(values)
    return float(values[best] + shift * (values[best + 1] - values[best]))


def minimum_value(scores: ArrayLike) -> float:
    """Value of the curve (n,) at its minimum, not below 0."""
    return max(_parabola(scores)[2], 0.0)


def _parabola(scores: ArrayLike) -> tuple[int, float, float]:
    """Index of the middle sample, shift of the minimum from it (at most 1), and the minimum."""
    scores = np.asarray(scores)
    best = int(np.clip(np.argmin(scores), 1, len(scores) - 2))
    low, middle, high = (float(score) for score in scores[best - 1 : best + 2])
    bend = low - 2 * middle + high
    if bend <= 0:
        return best, 0.0, min(low, middle, high)
    shift = float(np.clip(0.5 * (low - high) / bend, -1, 1))
    return best, shift, middle + 0.5 * (high - low) * shift + 0.5 * bend * shift**2
