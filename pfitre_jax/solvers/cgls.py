"""CGLS: conjugate gradients on the least-squares problem."""

from __future__ import annotations

import dataclasses
from typing import Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import ratio
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SliceOptions, solve, with_options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CGLSState:
    """State of the conjugate gradients.

    Attributes:
        direction: (ny, nx), the next search direction.
        energy: (), squared norm of the gradient.
    """

    direction: Float[Array, "ny nx"]
    energy: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CGLS(Solver[CGLSState]):
    """Conjugate gradients on ``min ||M(A S x - y)||``, regularised by the number of iterations.

    Image values may be negative.

    References:
        Björck, Numerical Methods for Least Squares Problems, 1996, sec. 7.4.
    """

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, CGLSState]:
        x = problem.support * x0
        residual = problem.residual(x)
        steepest = -problem.back(residual)
        return Iterate(x, residual), CGLSState(steepest, jnp.sum(steepest**2))

    def step(self, problem: Problem, iterate: Iterate, state: CGLSState) -> tuple[Iterate, CGLSState]:
        projected = problem.project(state.direction)
        curvature = jnp.vdot(projected, problem.weighted(projected)) / problem.norm_squared
        length = ratio(state.energy, curvature)
        x = iterate.x + length * state.direction
        residual = iterate.residual + length * projected
        steepest = -problem.back(residual)
        energy = jnp.sum(steepest**2)
        direction = steepest + ratio(energy, state.energy) * state.direction
        return Iterate(x, residual), CGLSState(direction, energy)


@with_options(SliceOptions)
def cgls(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    iterations: int = 20,
    **options: Unpack[SliceOptions],
) -> Solution:
    """Reconstructs one slice by :class:`CGLS`.

    There is no ``data_term``: conjugate gradients need the same quadratic in all iterations.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals.
        iterations: Largest number of steps.
        **options: See :class:`pfitre_jax.solvers.solve.SliceOptions`.
    """
    return solve(CGLS(), A, sinogram, iterations=iterations, **options)
