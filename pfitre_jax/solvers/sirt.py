"""SIRT: simultaneous iterative reconstruction technique."""

from __future__ import annotations

import dataclasses
from typing import Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SolveOptions, solve, with_options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SIRTState:
    """Inverse sums of the rows and columns of ``M A S``.

    Attributes:
        rows: (views, columns), ``R``.
        columns: (ny, nx), ``C``.
    """

    rows: Float[Array, "views columns"]
    columns: Float[Array, "ny nx"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SIRT(Solver[SIRTState]):
    """``x -= C S A^T R M (A x - y)``, ``R`` and ``C`` the inverse row and column sums of ``M A S``.

    Every step lowers ``||R^{1/2} M(A x - y)||``.

    Attributes:
        nonnegative: Whether to clip at 0 after each step.

    References:
        Gregor & Benson, IEEE TMI 27, 2008.
    """

    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, SIRTState]:
        rows = _inverse(problem.project(problem.support))
        columns = _inverse(problem.back(problem.mask))
        x = self._project(problem.support * x0)
        return Iterate(x, problem.residual(x)), SIRTState(rows, columns)

    def step(self, problem: Problem, iterate: Iterate, state: SIRTState) -> tuple[Iterate, SIRTState]:
        x = self._project(iterate.x - state.columns * problem.back(state.rows * iterate.residual))
        return Iterate(x, problem.residual(x)), state

    def _project(self, x):
        return jnp.maximum(x, 0) if self.nonnegative else x


def _inverse(sums):
    """``1/sums``, 0 where a ray or a pixel has next to no weight."""
    enough = sums > 1e-6 * jnp.max(sums)
    return jnp.where(enough, 1 / jnp.where(enough, sums, 1), 0)


@with_options(SolveOptions)
def sirt(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    iterations: int = 200,
    nonnegative: bool = True,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`SIRT`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals.
        iterations: Largest number of steps.
        nonnegative: Whether to clip at 0 after each step.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    return solve(SIRT(nonnegative), A, sinogram, iterations=iterations, **options)
