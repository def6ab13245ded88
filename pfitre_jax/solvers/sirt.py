"""SIRT: simultaneous iterative reconstruction technique."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import solve


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SIRTState:
    """x: (ny, nx); misfit: (views, columns), ``M(y - A x)``; rows (views, columns) and columns (ny, nx): the
    inverse sums of ``M A S``."""

    x: jax.Array
    misfit: jax.Array
    rows: jax.Array
    columns: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SIRT:
    """``x += C S A^T R M (y - A x)``, ``R`` and ``C`` the inverse row and column sums of ``M A S``.

    Lowers ``|R^{1/2} M(Ax - y)|`` at every step (Gregor & Benson, IEEE TMI 27, 2008).

    nonnegative: clip at 0 after each step
    """

    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})

    def init(self, problem: Problem, x0) -> SIRTState:
        rows = _inverse(problem.A(problem.support)) * problem.mask
        columns = _inverse(problem.back(problem.mask))
        x = self._project(problem.support * x0)
        return self._state(problem, x, rows, columns, jnp.zeros((), x.dtype))

    def step(self, problem: Problem, state: SIRTState) -> SIRTState:
        update = state.columns * problem.back(state.rows * state.misfit)
        x = self._project(state.x + update)
        return self._state(problem, x, state.rows, state.columns, relative_change(x, state.x))

    def _project(self, x):
        return jnp.maximum(x, 0) if self.nonnegative else x

    def _state(self, problem, x, rows, columns, change) -> SIRTState:
        misfit = problem.misfit(x)
        return SIRTState(x, misfit, rows, columns, problem.relative_residual(misfit), change)


def _inverse(sums):
    """``1/sums``, 0 where a ray or a pixel has next to no weight."""
    enough = sums > 1e-6 * jnp.max(sums)
    return jnp.where(enough, 1 / jnp.where(enough, sums, 1), 0)


def sirt(
    A: Projector,
    sinogram,
    *,
    iterations: int = 200,
    nonnegative: bool = True,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`SIRT`; the other arguments are those of :func:`solve`.

    nonnegative: clip at 0 after each step
    """
    return solve(
        SIRT(nonnegative),
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        data_term=data_term,
        differentiate=differentiate,
    )
