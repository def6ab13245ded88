"""Coarse to fine: wraps a solver and starts it from its own result at half the resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.resolution import double_resolution, half_shape
from pfitre_jax.solvers.loop import run


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CoarseToFine(Solver[Any]):
    """``solver``, started from its result on bins and pixels of twice the size.

    That result is itself started from the next coarser one, down to :attr:`fewest_columns`. A prior sees a
    neighbourhood of a fixed number of pixels, and a loop carries information across a large image in many
    iterations only; at a coarse level a few cheap iterations suffice. Detail that the coarse bins do not
    resolve is left to the iterations at the next level, whose data determine it.

    The initial image is replaced; use ``solver`` itself to start from a known image.

    Attributes:
        solver: The :class:`pfitre_jax.interfaces.Solver`, used at all levels. Wrappers that weight or correct
            the data belong inside, see :func:`wrap_levels`.
        iterations: Iterations at the coarsest level, and at the levels between it and the finest.
        fewest_columns: Fewest detector columns of a level.

    References:
        Multigrid initialisation (nested iteration): Briggs, Henson & McCormick, A Multigrid Tutorial, 2000.
    """

    solver: Solver
    iterations: tuple[int, int] = dataclasses.field(default=(10, 5), metadata={"static": True})
    fewest_columns: int = dataclasses.field(default=64, metadata={"static": True})

    def has_coarser_level(self, problem: Problem) -> bool:
        """Whether the problem has enough columns for a coarser level."""
        return problem.sinogram.shape[-1] // 2 >= self.fewest_columns

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, Any]:
        columns = problem.sinogram.shape[-1]
        if self.has_coarser_level(problem):
            fine, (coarsest, between) = (x0.shape[-2], x0.shape[-1]), self.iterations
            blank = jnp.zeros((*x0.shape[:-2], *half_shape(fine)), x0.dtype)
            iterations = between if columns // 4 >= self.fewest_columns else coarsest
            # The differentiable form of the loop does not cost more time in the forward direction.
            coarse = run(
                dataclasses.replace(self, solver=self.solver.coarser()),
                problem.coarser(),
                blank,
                iterations=iterations,
                differentiate="checkpoint",
            )
            x0 = problem.support * double_resolution(coarse.value, fine)
        return self.solver.init(problem, x0)

    def step(self, problem: Problem, iterate: Iterate, state: Any) -> tuple[Iterate, Any]:
        return self.solver.step(problem, iterate, state)

    def finish(self, problem: Problem, iterate: Iterate, state: Any) -> Array:
        return self.solver.finish(problem, iterate, state)

    def proposal(self, iterate: Iterate, state: Any) -> Array:
        return self.solver.proposal(iterate, state)


def wrap_levels(solver: Solver, wrap: Callable[[Solver], Solver]) -> Solver:
    """``wrap(solver)``; inside :class:`CoarseToFine`, so that every level has the weights and corrections."""
    if isinstance(solver, CoarseToFine):
        return dataclasses.replace(solver, solver=wrap(solver.solver))
    return wrap(solver)


def without_levels(solver: Solver) -> Solver:
    """``solver``; inside :class:`CoarseToFine`, the solver of the finest level, which starts by itself."""
    return solver.solver if isinstance(solver, CoarseToFine) else solver
