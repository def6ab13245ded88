"""Any solver with another data term than least squares: the bins are reweighted before each step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from pfitre_jax.interfaces import DataTerm, Iterate, Problem, Solver


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReweightedState:
    """State of the solver and number of steps.

    Attributes:
        inner: State of the solver.
        steps: (), steps made.
    """

    inner: Any
    steps: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reweighted(Solver[ReweightedState]):
    """``solver`` on ``1/2 ||M(A x - y)||_W^2``, ``W = term.weights(problem, x)`` before each step.

    A fixed point is one of the solver with the data term ``term`` instead of least squares. Where the solver
    has a prior, the weights are those of its proposal instead of ``x``: with few views an ``x`` that follows
    the data follows bad bins too, and its residual does not show them. The statement about fixed points then
    holds where the proposal equals ``x``, as in ADMM.

    The first step is one of least squares: the residual of ``x0`` says little about the bins, and step
    lengths that hold for weights of 1 hold for smaller ones. Costs one projection per step. The reported
    residual is unweighted.

    A step must be valid although the weights have changed since the last one. That excludes conjugate
    gradients (:class:`pfitre_jax.solvers.CGLS`) and backtracking on the value of the data term
    (:class:`pfitre_jax.contrib.GradientStepPnP`).

    Attributes:
        solver: The :class:`pfitre_jax.interfaces.Solver`.
        term: The data term, see :mod:`pfitre_jax.solvers.data_terms`.
        after: Steps of least squares before the first weights, for a term that is not convex and a solver
            that starts without an image.
    """

    solver: Solver
    term: DataTerm
    after: int = dataclasses.field(default=0, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, ReweightedState]:
        return self._wrap(*self.solver.init(problem, x0), jnp.array(0))

    def step(
        self, problem: Problem, iterate: Iterate, state: ReweightedState
    ) -> tuple[Iterate, ReweightedState]:
        weighted = self._weighted(problem, iterate, state)
        return self._wrap(*self.solver.step(weighted, iterate, state.inner), state.steps + 1)

    def finish(self, problem: Problem, iterate: Iterate, state: ReweightedState) -> Array:
        return self.solver.finish(self._weighted(problem, iterate, state), iterate, state.inner)

    def proposal(self, iterate: Iterate, state: ReweightedState) -> Array:
        return self.solver.proposal(iterate, state.inner)

    def _wrap(self, iterate, inner, steps):
        may_stop = iterate.may_stop & (steps > self.after)
        return dataclasses.replace(iterate, may_stop=may_stop), ReweightedState(inner, steps)

    def _weighted(self, problem, iterate, state):
        weights = self.term.weights(problem, self.solver.proposal(iterate, state.inner))
        if self.after:
            weights = jnp.where(state.steps >= self.after, weights, problem.mask)
        return dataclasses.replace(problem, weights=weights)
