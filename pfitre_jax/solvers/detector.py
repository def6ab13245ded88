"""Any method on data with a detector's own errors: found between its steps from what the image leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.weight import MAD

#: A column's offset is compared with the median of so many columns: what is smoother may be the object.
NEIGHBOURS = 9
#: What is found is 0 unless it is more than so many of its own standard deviations: of noise next to nothing.
DEVIATIONS = 3.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CalibratedState:
    """inner: the method's; misfit: ``M(y - Ax)`` of its image; steps: made so far"""

    inner: Any
    misfit: Array
    steps: Array
    residual: Array

    @property
    def x(self):
        return self.inner.x

    @property
    def change(self):
        return self.inner.change


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Calibrated:
    """``method`` on ``y/g - c``, ``g`` :func:`gains` and ``c`` :func:`stripes` of the misfit of ``x``.

    Both are found anew before each step, once ``after`` steps were made with ``y``: the image comes first.
    What it can take up as arcs it may take up as stripes as well, and then keeps either. Residuals are of
    ``y``. Costs one projection per step.

    method: has ``init(problem, x0)``, ``step(problem, state)`` and perhaps ``finish(problem, state)``
    stripes, gains: whether to look for the one and the other; static
    after: steps, 0 for a method that starts with a reconstruction; static
    """

    method: Any
    stripes: bool = dataclasses.field(default=False, metadata={"static": True})
    gains: bool = dataclasses.field(default=False, metadata={"static": True})
    after: int = dataclasses.field(default=0, metadata={"static": True})

    def init(self, problem: Problem, x0) -> CalibratedState:
        return self._state(problem, self.method.init(problem, x0), jnp.array(0))

    def step(self, problem: Problem, state: CalibratedState) -> CalibratedState:
        inner = self.method.step(self._at(problem, state), state.inner)
        return self._state(problem, inner, state.steps + 1)

    def finish(self, problem: Problem, state: CalibratedState):
        if not hasattr(self.method, "finish"):
            return state.x
        return self.method.finish(self._at(problem, state), state.inner)

    def _state(self, problem, inner, steps) -> CalibratedState:
        misfit = problem.misfit(inner.x)
        return CalibratedState(inner, misfit, steps, problem.relative_residual(misfit))

    def _at(self, problem, state):
        sinogram, mask, misfit = problem.sinogram, problem.mask, state.misfit
        if self.gains:
            predicted = sinogram - misfit
            gain = gains(misfit, mask * predicted, mask)
            sinogram, misfit = sinogram / gain, mask * (sinogram / gain - predicted)
        if self.stripes:
            sinogram = mask * (sinogram - stripes(misfit, mask))
        sinogram = jnp.where(state.steps >= self.after, sinogram, problem.sinogram)
        return dataclasses.replace(problem, sinogram=sinogram)


def stripes(
    misfit: Float[Array, "*rows views columns"], mask: Float[Array, "*rows views columns"]
) -> Float[Array, "*rows 1 columns"]:
    """What the detector adds to each column in every view, in the units of the line integrals.

    A detector element whose flat field is wrong by a factor adds a constant to all its line integrals: a
    stripe in the sinogram, an arc in the image. The median over the views of ``misfit``, ``M(y - Ax)``, less
    its running median over :data:`NEIGHBOURS` columns, beyond :data:`DEVIATIONS`.
    """
    seen = jnp.where(mask > 0, misfit, jnp.nan)
    middle = jnp.nanmedian(seen, axis=-2, keepdims=True)
    spread = jnp.nanmedian(jnp.abs(seen - middle), axis=-2, keepdims=True) / MAD
    views = jnp.sum(mask, axis=-2, keepdims=True)
    # Of the median of so many normal values.
    deviation = spread * jnp.sqrt(jnp.pi / 2 / jnp.maximum(views, 1))
    return jnp.nan_to_num(_beyond(middle - _running_median(middle), deviation))


def gains(
    misfit: Float[Array, "*rows views columns"],
    predicted: Float[Array, "*rows views columns"],
    mask: Float[Array, "*rows views columns"],
) -> Float[Array, "*rows views 1"]:
    """By what each view is brighter than the median one.

    For beams that fluctuate, dwell times that differ, views that were normalised. The factor of ``M A x``,
    ``predicted``, in ``misfit``, less its median over the views, beyond :data:`DEVIATIONS`.
    """
    energy = jnp.sum(predicted**2, axis=-1, keepdims=True)
    slope = jnp.sum(predicted * misfit, axis=-1, keepdims=True) / jnp.where(energy > 0, energy, jnp.inf)
    left = jnp.sum((misfit - slope * predicted) ** 2, axis=-1, keepdims=True)
    bins = jnp.maximum(jnp.sum(mask, axis=-1, keepdims=True), 1)
    deviation = jnp.sqrt(left / bins / jnp.where(energy > 0, energy, jnp.inf))
    seen = jnp.where(energy > 0, slope, jnp.nan)
    apart = slope - jnp.nan_to_num(jnp.nanmedian(seen, axis=-2, keepdims=True))
    return 1 + jnp.where(energy > 0, jnp.maximum(_beyond(apart, deviation), -0.9), 0)


def _beyond(values, deviation):
    return jnp.where(jnp.abs(values) > DEVIATIONS * deviation, values, 0)


def _running_median(values):
    """Along the last axis, NaN left out; mirrored at the ends."""
    columns = np.pad(np.arange(values.shape[-1]), NEIGHBOURS // 2, mode="reflect")
    index = np.lib.stride_tricks.sliding_window_view(columns, NEIGHBOURS)
    return jnp.nanmedian(values[..., index], axis=-1)
