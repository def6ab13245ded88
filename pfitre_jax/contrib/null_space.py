"""A learned prior that adds only where the data say nothing: correction in the null space."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import check_number, solve


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpaceState:
    """Proposal and data gradient.

    Attributes:
        z: (ny, nx), the last proposal of the prior.
        gradient: (ny, nx), ``A^T M W (A x - y) / ||A||^2`` at the iterate.
    """

    z: jax.Array
    gradient: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpace(Solver[NullSpaceState]):
    """``z = prior(x)``; ``x = z + A^+ (y - A z)``, the nearest image to ``z`` that agrees with the data.

    ``A^+`` is conjugate gradients from 0 on ``(A^T M A/norm(A)^2 + damping) d = A^T M(y - A z)/norm(A)^2``:
    what is added to ``z`` lies in the range of ``A^T``, so that of the prior's proposal only what the data
    say nothing of is left. Few iterations, or a damping, keep the noise out. One step is the null-space
    network of Schwab, Antholzer & Haltmeier (Inverse Probl. 35, 2019); more start again from its result.
    Starts from the second line with ``z`` the :func:`first_reconstruction`, or ``x0``. Not restricted to
    ``x >= 0``, which would leave the range of ``A^T``.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what the prior is told; the data gradient that it is given, at ``x``, is over this
    damping: (), 0 or more, relative to ``norm(A)^2 = 1``
    cg_iterations: conjugate gradients in each correction
    initial_iterations: iterations of the initial estimate, 0 for none; ``None``: as many as the prior was
        trained with
    """

    prior: Any
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

    def _correct(self, problem: Problem, z) -> tuple[Iterate, NullSpaceState]:
        x = z + conjugate_gradients(
            lambda d: problem.normal(d) + self.damping * d,
            -problem.back(problem.residual(z)),
            jnp.zeros_like(z),
            iterations=self.cg_iterations,
        )
        residual = problem.residual(x)
        return Iterate(x, residual), NullSpaceState(z, problem.back(residual))


def null_space(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=0.005,
    damping=0.02,
    iterations: int = 4,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 20,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`NullSpace`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what it is told
    damping: (), of the correction, relative to ``norm(A)^2 = 1``
    iterations: of prior and correction; 1 is the classical form
    cg_iterations: conjugate gradients in each correction
    """
    check_number("rho", rho)
    check_number("damping", damping, or_zero=True)
    return solve(
        NullSpace(prior, rho, damping, cg_iterations),
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
