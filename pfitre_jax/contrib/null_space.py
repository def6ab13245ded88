"""Null-space correction: the prior supplies only the component that the data do not determine."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpaceState:
    """Proposal and data gradient.

    Attributes:
        z: (ny, nx), the last proposal of the prior.
        gradient: (ny, nx), ``A^T M W (A x - y) / ||A||^2`` at the iterate.
    """

    z: Float[Array, "ny nx"]
    gradient: Float[Array, "ny nx"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpace(Solver[NullSpaceState]):
    """``z = prior(x)``; ``x = z + A^+ (y - A z)``, the image nearest to ``z`` that agrees with the data.

    ``A^+`` is conjugate gradients from 0 on ``(A^T M A / ||A||^2 + damping) d = A^T M (y - A z) / ||A||^2``.
    The correction ``d`` lies in the range of ``A^T``, so that only the null-space component of the proposal
    remains. Few iterations, or a damping, limit the noise. One step is a null-space network; further steps
    start from its result. The first ``z`` is the initial estimate. ``x >= 0`` is not imposed, because the
    projection would leave the range of ``A^T``.

    It suits data with little noise, and priors that should not change any measured component.

    Attributes:
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the prior receives.
        damping: (), 0 or more, relative to ``||A||^2 = 1``.
        cg_iterations: Conjugate gradient iterations in each correction; static.
        initial_iterations: Iterations of the initial estimate, 0 for none; static. ``None``: as many as the
            prior was trained with.

    References:
        Schwab, Antholzer & Haltmeier, Deep null space learning for inverse problems, Inverse Probl. 35, 2019.
    """

    prior: Prior
    rho: Any
    damping: Any = 0.02
    cg_iterations: int = dataclasses.field(default=20, metadata={"static": True})
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, NullSpaceState]:
        first = initial_estimate(problem, x0, self.prior, self.initial_iterations)
        return self._correct(problem, problem.support * first)

    def step(
        self, problem: Problem, iterate: Iterate, state: NullSpaceState
    ) -> tuple[Iterate, NullSpaceState]:
        rho = jnp.asarray(self.rho, iterate.x.dtype)
        correction = -state.gradient / rho
        z = self.prior.denoise(iterate.x, correction=correction, wedge=problem.wedge, rho=rho)
        return self._correct(problem, problem.support * z)

    def proposal(self, iterate: Iterate, state: NullSpaceState) -> Array:
        return state.z

    def _correct(self, problem: Problem, z: Array) -> tuple[Iterate, NullSpaceState]:
        x = z + conjugate_gradients(
            lambda d: problem.normal(d) + self.damping * d,
            -problem.back(problem.residual(z)),
            jnp.zeros_like(z),
            iterations=self.cg_iterations,
        )
        residual = problem.residual(x)
        return Iterate(x, residual), NullSpaceState(z, problem.back(residual))


@with_options(SolveOptions)
def null_space(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = 0.005,
    damping: Any = 0.02,
    iterations: int = 4,
    cg_iterations: int = 20,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`NullSpace`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the prior receives.
        damping: (), damping of the correction, relative to ``||A||^2 = 1``.
        iterations: Largest number of steps of prior and correction; 1 is the form of the reference.
        cg_iterations: Conjugate gradient iterations in each correction.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    check_number("rho", rho)
    check_number("damping", damping, or_zero=True)
    solver = NullSpace(prior, rho, damping, cg_iterations)
    return solve(solver, A, sinogram, iterations=iterations, **options)
