"""A learned prior that adds only where the data say nothing: correction in the null space."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.initial_estimate import first_reconstruction
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import check_number, solve


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpaceState:
    """x: (ny, nx), agrees with the data; z: (ny, nx), what the prior proposed; gradient: (ny, nx)."""

    x: jax.Array
    z: jax.Array
    gradient: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NullSpace:
    """``z = prior(x)``; ``x = z + A^+ (y - A z)``, the nearest image to ``z`` that agrees with the data.

    ``A^+`` is conjugate gradients from 0 on ``(A^T M A/norm(A)^2 + damping) d = A^T M(y - A z)/norm(A)^2``:
    what is added to ``z`` lies in the range of ``A^T``, so that of the prior's proposal only what the data
    say nothing of is left. Few iterations, or a damping, keep the noise out. One step is the null-space
    network of Schwab, Antholzer & Haltmeier (Inverse Probl. 35, 2019); more start again from its result.
    Starts from the second line with ``z`` the :func:`first_reconstruction`, or ``x0``. Not restricted to
    ``x >= 0``, which would leave the range of ``A^T``.

    prior: has ``denoise(v, *, correction, wedge, rho)``, and may have ``first_iterations``
    rho: (), what the prior is told; the data gradient that it is given, at ``x``, is over this
    damping: (), 0 or more, relative to ``norm(A)^2 = 1``
    cg_iterations: conjugate gradients in each correction
    first_iterations: of the first reconstruction, see :func:`first_reconstruction`
    """

    prior: Any
    rho: Any
    damping: Any = 0.02
    cg_iterations: int = dataclasses.field(default=20, metadata={"static": True})
    first_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0) -> NullSpaceState:
        first = first_reconstruction(problem, x0, self.prior, self.first_iterations)
        return self._correct(problem, problem.support * first, x0)

    def step(self, problem: Problem, state: NullSpaceState) -> NullSpaceState:
        rho = jnp.asarray(self.rho, state.x.dtype)
        z = self.prior.denoise(state.x, correction=state.gradient, wedge=problem.wedge, rho=rho)
        return self._correct(problem, problem.support * z, state.x)

    def _correct(self, problem: Problem, z, previous) -> NullSpaceState:
        x = z + conjugate_gradients(
            lambda d: problem.normal(d) + self.damping * d,
            problem.back(problem.misfit(z)),
            jnp.zeros_like(z),
            iterations=self.cg_iterations,
        )
        misfit = problem.misfit(x)
        return NullSpaceState(
            x,
            z,
            problem.back(misfit) / self.rho,
            problem.relative_residual(misfit),
            relative_change(x, previous),
        )


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
