"""Wraps a solver for a data term other than least squares: the bins are reweighted before each step."""

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
    """State of the wrapped solver and number of steps.

    Attributes:
        inner: State of the wrapped solver.
        steps: (), number of steps done.
    """

    inner: Any
    steps: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reweighted(Solver[ReweightedState]):
    """``solver`` on ``1/2 ||M(A x - y)||_W^2``, ``W = term.weights(problem, x)`` before each step.

    Weights that the problem has already, as at a coarser level, multiply those of the term.

    A fixed point is also a fixed point of the solver with the data term ``term`` instead of least squares. If
    the solver has a prior, the weights are computed from its proposal instead of ``x``: with few views, an
    ``x`` that fits the data also fits bad bins, so that its residual does not reveal them. The statement
    about fixed points then holds if the proposal equals ``x``, as in ADMM.

    ``init`` uses the weights at ``x0``, such as the result of a coarser level, and least squares if ``x0``
    is 0. Step lengths that are valid for weights of 1 are valid for smaller weights. The wrapper costs one
    projection per step. The reported residual is unweighted.

    A step must remain valid when the weights change between steps. This excludes conjugate
    gradients (:class:`pfitre_jax.solvers.CGLS`) and backtracking on the value of the data term
    (:class:`pfitre_jax.contrib.GradientStepPnP`).

    Attributes:
        solver: The :class:`pfitre_jax.interfaces.Solver`.
        term: The data term, see :mod:`pfitre_jax.solvers.data_terms`.
        first_steps: Number of least-squares steps before the first reweighting, for a term that is not convex
            and a solver that does not start from an initial estimate; ``init`` then uses least squares, too.
    """

    solver: Solver
    term: DataTerm
    first_steps: int = dataclasses.field(default=0, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, ReweightedState]:
        if not self.first_steps:
            # The residual of an empty image says nothing about the bins.
            weights = jnp.where(jnp.any(x0 != 0), self.term.weights(problem, x0), problem.mask)
            problem = _with_weights(problem, weights)
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

    def coarser(self) -> Reweighted:
        """The wrapper for bins and pixels of twice the size."""
        return dataclasses.replace(self, solver=self.solver.coarser(), term=self.term.coarser())

    def _wrap(self, iterate, inner, steps):
        may_stop = iterate.may_stop & (steps > self.first_steps)
        return dataclasses.replace(iterate, may_stop=may_stop), ReweightedState(inner, steps)

    def _weighted(self, problem, iterate, state):
        weights = self.term.weights(problem, self.solver.proposal(iterate, state.inner))
        if self.first_steps:
            weights = jnp.where(state.steps >= self.first_steps, weights, problem.mask)
        return _with_weights(problem, weights)


def _with_weights(problem: Any, weights: Array) -> Any:
    """``problem`` with ``weights``, times those that it has already."""
    return dataclasses.replace(
        problem, weights=weights if problem.weights is None else problem.weights * weights
    )
