"""Any method on data with a detector's own errors: found between its steps from what the image leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.solvers.parameters.noise import MAD
from pfitre_jax.solvers.problem import Problem

#: A column's offset is compared with the median of so many columns: what is smoother may be the object.
NEIGHBOURS = 9
#: What is found is 0 unless it is more than so many of its own standard deviations: of noise next to nothing.
DEVIATIONS = 3.0
#: Fewer valid bins of a column or a view say nothing of their own deviation.
FEWEST = 10


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CalibratedState:
    """inner: the method's; misfit: ``M(y - Ax)`` of its image; steps: made so far

    change: the method's, but at least 1 while its steps are made with ``y``: it has not converged then
    """

    inner: Any
    misfit: Array
    steps: Array
    residual: Array
    change: Array

    @property
    def x(self):
        return self.inner.x


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Calibrated:
    """``method`` on :func:`calibrated` data, found anew from its image before each step.

    The first ``after`` steps are made with ``y``: the image comes first. What it can take up as arcs it may
    take up as stripes as well, and then keeps either. Residuals are of ``y``. Costs one projection per step.

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
        change = jnp.where(steps > self.after, inner.change, jnp.maximum(inner.change, 1))
        return CalibratedState(inner, misfit, steps, problem.relative_residual(misfit), change)

    def _at(self, problem, state):
        found = calibrated(problem, state.misfit, stripes=self.stripes, gains=self.gains)
        sinogram = jnp.where(state.steps >= self.after, found.sinogram, problem.sinogram)
        return dataclasses.replace(problem, sinogram=sinogram)


def calibrated(problem: Problem, misfit, *, stripes: bool, gains: bool) -> Problem:
    """``problem`` with ``y/g - c``: its ``y`` without what :func:`detector_errors` finds in a misfit."""
    gain, offset = detector_errors(problem, misfit, stripes=stripes, gains=gains)
    return dataclasses.replace(problem, sinogram=problem.mask * (problem.sinogram / gain - offset))


def detector_errors(
    problem: Problem, misfit, *, stripes: bool, gains: bool
) -> tuple[Float[Array, "*rows views 1"], Float[Array, "*rows 1 columns"]]:
    """``(g, c)``: :func:`view_gains` of a misfit, and :func:`column_stripes` of what they leave; 1 and 0
    where they are not looked for."""
    sinogram, mask = problem.sinogram, problem.mask
    gain, offset = jnp.ones_like(sinogram[..., :1]), jnp.zeros_like(sinogram[..., :1, :])
    if gains:
        predicted = sinogram - misfit
        gain = view_gains(misfit, mask * predicted, mask)
        misfit = mask * (sinogram / gain - predicted)
    return gain, column_stripes(misfit, mask) if stripes else offset


def column_stripes(
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
    return jnp.where(views >= FEWEST, _beyond(middle - _running_median(middle), deviation), 0)


def view_gains(
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
    bins = jnp.sum(mask, axis=-1, keepdims=True)
    deviation = jnp.sqrt(left / jnp.maximum(bins - 1, 1) / jnp.where(energy > 0, energy, jnp.inf))
    seen = jnp.where(energy > 0, slope, jnp.nan)
    apart = slope - jnp.nan_to_num(jnp.nanmedian(seen, axis=-2, keepdims=True))
    known = (energy > 0) & (bins >= FEWEST)
    return 1 + jnp.where(known, jnp.maximum(_beyond(apart, deviation), -0.9), 0)


def _beyond(values, deviation):
    """0 where it is no more than so many deviations, or NaN."""
    return jnp.where(jnp.abs(values) > DEVIATIONS * deviation, values, 0)


def _running_median(values):
    """Along the last axis, NaN left out; mirrored at the ends."""
    columns = np.pad(np.arange(values.shape[-1]), NEIGHBOURS // 2, mode="reflect")
    index = np.lib.stride_tricks.sliding_window_view(columns, NEIGHBOURS)
    return jnp.nanmedian(values[..., index], axis=-1)
