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


def doubling_distance(values: ArrayLike, scores: ArrayLike) -> float:
    """Distance from the minimum at which a curve has doubled, by the parabola through five samples.

    Args:
        values: (n,), evenly spaced positions.
        scores: (n,), the curve, not negative.
    """
    values, scores = np.asarray(values, float), np.asarray(scores, float)
    best = int(np.argmin(scores))
    near = slice(max(best - 2, 0), best + 3)
    step = values[1] - values[0]
    bend = np.polyfit((values[near] - values[best]) / step, scores[near], 2)[0]
    # At most as far as the curve is known, if it is flat.
    reach = values[-1] - values[0]
    return float(min(step * np.sqrt(scores[best] / bend), reach)) if bend > 0 else float(reach)


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
