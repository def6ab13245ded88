"""CGLS: conjugate gradients on the least-squares problem."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import ratio
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import solve


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CGLSState:
    """x: (ny, nx); misfit: (views, columns), ``M(y - A x)``; direction: (ny, nx); energy: (), of the
    gradient."""

    x: jax.Array
    misfit: jax.Array
    direction: jax.Array
    energy: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CGLS:
    """Conjugate gradients on ``min |M(A S x - y)|``; few iterations regularise (Björck, 1996, sec. 7.4).

    Not restricted to ``x >= 0``.
    """

    def init(self, problem: Problem, x0) -> CGLSState:
        x = problem.support * x0
        misfit = problem.misfit(x)
        steepest = problem.back(misfit)
        residual = problem.relative_residual(misfit)
        return CGLSState(x, misfit, steepest, jnp.sum(steepest**2), residual, jnp.zeros((), residual.dtype))

    def step(self, problem: Problem, state: CGLSState) -> CGLSState:
        projected = problem.mask * problem.A(state.direction)
        curvature = jnp.vdot(projected, problem.weighted(projected)) / problem.norm_squared
        length = ratio(state.energy, curvature)
        x = state.x + length * state.direction
        misfit = state.misfit - length * projected
        steepest = problem.back(misfit)
        energy = jnp.sum(steepest**2)
        kept = ratio(energy, state.energy)
        return CGLSState(
            x,
            misfit,
            steepest + kept * state.direction,
            energy,
            problem.relative_residual(misfit),
            relative_change(x, state.x),
        )


def cgls(
    A: Projector,
    sinogram,
    *,
    iterations: int = 20,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`CGLS`; the arguments are those of :func:`solve`.

    It takes no data term: conjugate gradients need one quadratic for all iterations.
    """
    return solve(
        CGLS(),
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        differentiate=differentiate,
    )
