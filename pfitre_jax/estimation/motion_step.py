"""One Gauss-Newton step of the motion of each view towards a predicted view.

With ``P`` the predicted view and ``D`` the corrected view minus ``P``, both smoothed,

    D ~ -ds dP/dk - dr dP/di + dg P + do

is solved for ``ds, dr, dg, do`` of each view, damped by their expected sizes, with Huber weights.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage

from pfitre_jax.data.motion import Motion
from pfitre_jax.solvers.parameters.noise import MAD

#: Expected rms of the shifts, bins; of the gain; and of the offset, over the largest line
#: integral. They damp the steps.
EXPECTED_SHIFT, EXPECTED_GAIN, EXPECTED_OFFSET = 3.0, 0.1, 0.02
#: Largest step of a shift, bins.
LARGEST_STEP = 1.5
#: Standard deviation of the smoothing, bins, which extends the range of a step beyond a bin.
SMOOTHING = 1.0
#: Residual of a bin, in robust standard deviations, above which its weight decreases (Huber).
HUBER = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class MotionFit:
    """A least-squares step of the motion.

    Attributes:
        step: (views,), the step of each component of the motion, by name.
        remainder: (views, rows, columns), the smoothed difference that it does not explain.
    """

    step: dict[str, np.ndarray]
    remainder: np.ndarray


def fit_motion(
    values: np.ndarray, predicted: np.ndarray, mask: np.ndarray, *, rows: bool, gain: bool
) -> MotionFit:
    """Fits the motion of each view to ``values - predicted``.

    Args:
        values: (views, rows, columns), line integrals, corrected for the motion so far.
        predicted: (views, rows, columns), predicted line integrals.
        mask: (views, rows, columns) bool, the valid bins.
        rows: Whether shifts along the rows are fitted.
        gain: Whether gain and offset are fitted.
    """
    spread = (0, SMOOTHING * rows, SMOOTHING)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), spread)
    smooth = lambda a: ndimage.gaussian_filter(np.where(mask, a, 0), spread) / np.maximum(weight, 1e-3)  # noqa: E731
    P, D = smooth(predicted), smooth(values - predicted)
    inner = mask & (weight > 0.99)
    # Derivative, expected size, and whether it is estimated, of each component of the motion.
    largest = float(np.max(P, where=inner, initial=1e-12))
    parts = {
        "shifts": (-np.gradient(P, axis=2), EXPECTED_SHIFT, True),
        "row_shifts": (-np.gradient(P, axis=1) if rows else None, EXPECTED_SHIFT, rows),
        "gain": (P, EXPECTED_GAIN, gain),
        "offset": (np.ones_like(P), EXPECTED_OFFSET * largest, gain),
    }
    names = [name for name, (_, _, on) in parts.items() if on]
    X = np.stack([parts[name][0] for name in names], axis=-1)
    expected = np.array([parts[name][1] for name in names])
    # Without a valid bin the step is zero.
    deviation = (np.median(np.abs(D[inner])) if inner.any() else 0.0) / MAD + 1e-12
    weighted = (inner * np.minimum(1, HUBER * deviation / np.maximum(np.abs(D), 1e-12)))[..., None] * X
    # Smoothed noise is correlated over about so many neighbours.
    noise = 4 * np.pi * SMOOTHING**2 * deviation**2
    normal = np.einsum("vrka,vrkb->vab", weighted, X) + noise * np.diag(expected**-2.0)
    right = np.einsum("vrka,vrk->va", weighted, D)
    solved = np.linalg.solve(normal, right[..., None])[..., 0]
    step = {name: np.zeros(len(values)) for name in parts} | dict(zip(names, solved.T, strict=True))
    return MotionFit(step, D - np.einsum("vrka,va->vrk", X, solved))


def advance_motion(motion: Motion, fit: MotionFit) -> Motion:
    """The motion after the step of a fit, with limited shifts and gain."""
    at_most = lambda name, size: np.clip(fit.step[name], -size, size)  # noqa: E731
    return dataclasses.replace(
        motion,
        shifts=motion.shifts + at_most("shifts", LARGEST_STEP),
        row_shifts=motion.row_shifts + at_most("row_shifts", LARGEST_STEP),
        gain=motion.gain * (1 + at_most("gain", 2 * EXPECTED_GAIN)),
        offset=motion.offset + motion.gain * fit.step["offset"],
    )
