"""ADMM with a prior that has a prox: total variation or another."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver, data_correction
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options

#: ``rho`` over the TV weight. 50 iterations get closest to the minimum with 10 to 30, of 1 to 100, for
#: weights of 1e-4 and 1e-3.
TV_RHO = 20.0
#: Smaller TV weights use the ``rho`` of this one, as ``rho`` must not be 0.
TV_RHO_WEIGHT = 1e-4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ADMMState:
    """Split variable and scaled dual.

    Attributes:
        z: (ny, nx), the image that agrees with the prior.
        dual: (ny, nx), ``u``, the sum of ``x - z``.
    """

    z: Float[Array, "*rows ny nx"]
    dual: Float[Array, "*rows ny nx"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ADMM(Solver[ADMMState]):
    """Alternating direction method of multipliers with a prior.

    Each step computes ``x = argmin_{x >= 0} 1/2 ||M(A x - y)||^2 / ||A||^2 + rho/2 ||x - (z - u)||^2``,
    ``z = prior(x + u)`` and ``u += x - z``. The result is ``x``. With the prox of a function it minimises the
    data term plus that function.

    Attributes:
        prior: A :class:`pfitre_jax.interfaces.Prior`; a network must have been trained on ``x + u``.
        rho: (), relative to ``||A||^2 = 1``; sets the speed, not the solution.
        cg_iterations: Conjugate gradient iterations in each data step.
        start_iterations: Conjugate gradient iterations in the first data step.

    References:
        Boyd et al., Found. Trends Mach. Learn. 3, 2011.
    """

    prior: Prior
    rho: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    start_iterations: int = dataclasses.field(default=12, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, ADMMState]:
        rho = jnp.asarray(self.rho, x0.dtype)
        z = problem.support * x0
        x = data_step(problem, z, rho, z, iterations=self.start_iterations)
        return self._prior_step(problem, x, jnp.zeros_like(z))

    def step(self, problem: Problem, iterate: Iterate, state: ADMMState) -> tuple[Iterate, ADMMState]:
        rho = jnp.asarray(self.rho, iterate.x.dtype)
        x = data_step(problem, state.z - state.dual, rho, iterate.x, iterations=self.cg_iterations)
        return self._prior_step(problem, x, state.dual)

    def proposal(self, iterate: Iterate, state: ADMMState) -> Array:
        return state.z

    def _prior_step(self, problem, x, dual):
        rho = jnp.asarray(self.rho, x.dtype)
        residual = problem.residual(x)
        correction = data_correction(problem, residual, rho)
        z = (
            self.prior.denoise(x + dual, correction=correction, wedge=problem.wedge, rho=rho)
            * problem.support
        )
        return Iterate(x, residual), ADMMState(z, dual + x - z)


@with_options(SolveOptions)
def admm(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any,
    iterations: int = 50,
    cg_iterations: int = 5,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`ADMM`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: A :class:`pfitre_jax.interfaces.Prior`, such as :class:`pfitre_jax.priors.TV`; a network must
            have been trained on ``x + u``.
        rho: (), relative to ``||A||^2 = 1``; sets the speed, not the solution.
        iterations: Largest number of steps.
        cg_iterations: Conjugate gradient iterations in each data step.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    check_number("rho", rho)
    return solve(ADMM(prior, rho, cg_iterations), A, sinogram, iterations=iterations, **options)


def tv_rho(weight: Any) -> Any:
    """``rho`` of :class:`ADMM` for a TV weight, ``20 max(weight, 1e-4)``: () -> ()."""
    maximum = jnp.maximum if isinstance(weight, jax.Array) else np.maximum
    return TV_RHO * maximum(weight, TV_RHO_WEIGHT)
