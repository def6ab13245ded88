"""Plug-and-play proximal gradient: ISTA and FISTA with any prior in the place of the prox."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.fista import STEP
from pfitre_jax.solvers.initial_estimate import first_reconstruction
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.prior_step import prior_step
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import check_number, solve

#: Of a prior without a prox: what it is told, and the iterations that are best with the shipped one. A
#: network gets ever further from what it was trained on; a prox converges.
RHO, ITERATIONS = 0.1, 5
PROX_ITERATIONS = 300


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProximalGradientState:
    """x: (ny, nx); misfit: (views, columns), ``M(y - A x)``; ahead, ahead_misfit: the same for the
    extrapolated image; t: (), the momentum's."""

    x: jax.Array
    misfit: jax.Array
    ahead: jax.Array
    ahead_misfit: jax.Array
    t: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProximalGradient:
    """``v = ahead - step_length A^T M(A ahead - y)/norm(A)^2``; ``x = prior(v)``, kept to ``x >= 0`` in the
    support.

    Plug-and-play (Venkatakrishnan et al., GlobalSIP 2013) ISTA, where ``ahead = x``, and FISTA, where it is
    extrapolated (Kamilov, Mansour & Wohlberg, IEEE Signal Process. Lett. 24, 2017) with the restarts of
    :class:`FISTATV`. With a prox of strength ``weight/rho`` it minimises the data term plus
    ``1/(rho step_length)`` times the prior's function: with ``rho = 1/step_length`` what :class:`FISTATV`
    does. A network is no prox: its ``rho`` is one that it was trained with.

    prior: has ``denoise(v, *, correction, wedge, rho)``, and may have ``first_iterations``
    rho: (), what the prior is told; the data gradient that it is given, at ``v``, is over this
    step_length: (), below 2; 1 is the inverse of the data term's Lipschitz constant
    accelerated: FISTA, else ISTA
    first_iterations: of the first reconstruction, see :func:`first_reconstruction`
    """

    prior: Any
    rho: Any
    step_length: Any = STEP
    accelerated: bool = dataclasses.field(default=True, metadata={"static": True})
    first_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0) -> ProximalGradientState:
        x = first_reconstruction(problem, x0, self.prior, self.first_iterations)
        x = problem.support * jnp.maximum(x, 0)
        misfit = problem.misfit(x)
        residual = problem.relative_residual(misfit)
        one = jnp.ones((), x.dtype)
        return ProximalGradientState(x, misfit, x, misfit, one, residual, jnp.zeros((), x.dtype))

    def step(self, problem: Problem, state: ProximalGradientState) -> ProximalGradientState:
        length = jnp.asarray(self.step_length, state.x.dtype)
        v = state.ahead + length * problem.back(state.ahead_misfit)
        x = jnp.maximum(prior_step(problem, self.prior, v, problem.misfit(v), self.rho), 0)
        misfit = problem.misfit(x)
        momentum, t = jnp.zeros_like(state.t), state.t
        if self.accelerated:
            uphill = jnp.vdot(state.ahead - x, x - state.x) > 0
            old = jnp.where(uphill, 1, state.t)
            t = (1 + jnp.sqrt(1 + 4 * old**2)) / 2
            momentum = (old - 1) / t
        return ProximalGradientState(
            x,
            misfit,
            x + momentum * (x - state.x),
            misfit + momentum * (misfit - state.misfit),
            t,
            problem.relative_residual(misfit),
            relative_change(x, state.x),
        )


def pnp_ista(A: Projector, sinogram, *, prior, accelerated: bool = False, **settings) -> Solution:
    """:func:`pnp_fista` without momentum: slower, and with any averaged denoiser sure to converge."""
    return pnp_fista(A, sinogram, prior=prior, accelerated=accelerated, **settings)


def pnp_fista(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=None,
    step_length=STEP,
    iterations: int | None = None,
    accelerated: bool = True,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`ProximalGradient`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what the prior is told, default ``1/step_length`` for a prior with a ``prox``, which makes it the
        prior's own weight that counts, else :data:`RHO`
    step_length: (), below 2
    iterations: default :data:`PROX_ITERATIONS` for a prior with a ``prox``, else :data:`ITERATIONS`
    """
    check_number("step_length", step_length)
    prox = hasattr(prior, "prox")
    if rho is None:
        rho = 1 / step_length if prox else RHO
    if iterations is None:
        iterations = PROX_ITERATIONS if prox else ITERATIONS
    check_number("rho", rho)
    return solve(
        ProximalGradient(prior, rho, step_length, accelerated),
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
