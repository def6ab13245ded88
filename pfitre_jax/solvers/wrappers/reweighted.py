"""Any method with another data term than least squares: the bins are weighted anew before each step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.solvers.problem import Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReweightedState:
    """inner: the method's; steps: made so far

    change: the method's, but at least 1 before the first weights: it has not converged then
    """

    inner: Any
    steps: jax.Array
    change: jax.Array

    @property
    def x(self):
        return self.inner.x

    @property
    def residual(self):
        return self.inner.residual

    @property
    def believed(self):
        """The image whose misfit tells the bins: the prior's proposal where the method has one."""
        return getattr(self.inner, "z", self.inner.x)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reweighted:
    """``method`` on ``1/2 |M(Ax - y)|_W^2``, ``W = term.weights(problem, x)`` at the ``x`` before each step.

    Where it comes to rest, ``x`` is where the method would with the data term ``term`` in the place of least
    squares. Of a splitting method the prior's proposal ``z`` stands in for ``x`` in the weights: with few
    views an ``x`` that follows the data follows bad ones too, and has no misfit by which to know them. What
    is said of ``x`` at rest then holds where ``x = z`` there, as of ADMM.

    It starts from least squares: the misfit of ``x0`` says little of the bins, and step lengths that hold for
    weights of 1 hold for smaller ones. Costs one projection per step. The residual that is reported is that
    of all bins, unweighted.

    A step must make sense for weights that differ from those of the last one: conjugate gradients
    (:class:`pfitre_jax.solvers.CGLS`) and backtracking on the data term's value
    (:class:`pfitre_jax.solvers.GradientStepPnP`) lose their meaning, the other methods do not.

    method: has ``init(problem, x0)``, ``step(problem, state)`` and perhaps ``finish(problem, state)``
    term: of :mod:`pfitre_jax.solvers.data_terms`
    after: steps by least squares before the first weights, for a term that is not convex and a method that
        starts with no image; static
    """

    method: Any
    term: Any
    after: int = dataclasses.field(default=0, metadata={"static": True})

    def init(self, problem: Problem, x0) -> ReweightedState:
        return self._state(self.method.init(problem, x0), jnp.array(0))

    def step(self, problem: Problem, state: ReweightedState) -> ReweightedState:
        inner = self.method.step(self._at(problem, state), state.inner)
        return self._state(inner, state.steps + 1)

    def finish(self, problem: Problem, state: ReweightedState):
        if not hasattr(self.method, "finish"):
            return state.x
        return self.method.finish(self._at(problem, state), state.inner)

    def _state(self, inner, steps) -> ReweightedState:
        change = jnp.where(steps > self.after, inner.change, jnp.maximum(inner.change, 1))
        return ReweightedState(inner, steps, change)

    def _at(self, problem: Problem, state: ReweightedState) -> Problem:
        weights = self.term.weights(problem, state.believed)
        if self.after:
            weights = jnp.where(state.steps >= self.after, weights, problem.mask)
        return dataclasses.replace(problem, weights=weights)
