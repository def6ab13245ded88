"""ADMM with a prox: total variation or any other."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import check_number, solve

#: ``rho`` over the weight of TV at which 50 iterations get closest to the minimum: 10 to 30 of 1 to 100, for
#: weights 1e-4 and 1e-3.
TV_RHO = 20.0
#: A smaller weight than this gets the ``rho`` of this one: for weight 0, without TV, it must not be 0 too.
TV_RHO_WEIGHT = 1e-4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ADMMState:
    """x: (ny, nx), agrees with the data; z: (ny, nx), with the prior; dual: (ny, nx), the sum of ``x - z``.

    primal: ``norm(x - z)/norm(z)``; movement: ``norm(z - z_old)/norm(z)``, the dual residual; ``change`` is
    the larger of the two
    """

    x: jax.Array
    z: jax.Array
    dual: jax.Array
    primal: jax.Array
    movement: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ADMM:
    """``x = argmin_{x >= 0} 1/2 |M(Ax-y)|^2/norm(A)^2 + rho/2 |x - (z - u)|^2``; ``z = prior(x + u)``;
    ``u += x - z``; the result is ``x``.

    With a prox it minimises the data term plus the prior (Boyd et al., Found. Trends Mach. Learn. 3, 2011).

    prior: has ``denoise(v, *, correction, wedge, rho)``; a network must have been trained on ``x + u``
    rho: (), relative to ``norm(A)^2 = 1``: sets the speed, not the solution
    cg_iterations: conjugate gradients in each data step; start_iterations: in the first one
    """

    prior: Any
    rho: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    start_iterations: int = dataclasses.field(default=12, metadata={"static": True})

    def init(self, problem: Problem, x0) -> ADMMState:
        rho = jnp.asarray(self.rho, x0.dtype)
        z = problem.support * x0
        x = data_step(problem, z, rho, z, iterations=self.start_iterations)
        return self._prior_step(problem, x, z, jnp.zeros_like(z))

    def step(self, problem: Problem, state: ADMMState) -> ADMMState:
        rho = jnp.asarray(self.rho, state.x.dtype)
        x = data_step(problem, state.z - state.dual, rho, state.x, iterations=self.cg_iterations)
        return self._prior_step(problem, x, state.z, state.dual)

    def _prior_step(self, problem, x, z_old, dual) -> ADMMState:
        rho = jnp.asarray(self.rho, x.dtype)
        misfit = problem.misfit(x)
        gradient = problem.back(misfit) / rho
        z = self.prior.denoise(x + dual, correction=gradient, wedge=problem.wedge, rho=rho) * problem.support
        primal, movement = relative_change(z, x), relative_change(z, z_old)
        return ADMMState(
            x,
            z,
            dual + x - z,
            primal,
            movement,
            problem.relative_residual(misfit),
            jnp.maximum(primal, movement),
        )


def admm(
    A: Projector,
    sinogram,
    *,
    prior,
    rho,
    iterations: int = 50,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 5,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`ADMM`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``, such as :class:`pfitre_jax.priors.TV`; a network must
        have been trained on ``x + u``
    rho: (), relative to ``norm(A)^2 = 1``: sets the speed, not the solution
    cg_iterations: conjugate gradients in each data step
    """
    check_number("rho", rho)
    return solve(
        ADMM(prior, rho, cg_iterations),
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


def tv_rho(weight):
    """The ``rho`` that belongs to a weight of TV, ``TV_RHO * max(weight, TV_RHO_WEIGHT)``: () -> ()."""
    maximum = jnp.maximum if isinstance(weight, jax.Array) else np.maximum
    return TV_RHO * maximum(weight, TV_RHO_WEIGHT)
