"""Plug-and-play proximal gradient: ISTA and FISTA with any prior in the place of the prox."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.fista import STEP
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.prior_step import prior_step
from pfitre_jax.solvers.solve import check_number, solve

#: Of a prior without a prox: what it is told, and the iterations that are best with the shipped one. A
#: network gets ever further from what it was trained on; a prox converges.
RHO, ITERATIONS = 0.1, 5
PROX_ITERATIONS = 300


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProximalGradientState:
    """Extrapolated image.

    Attributes:
        ahead: (ny, nx), the extrapolated image.
        ahead_residual: (views, columns), its residual.
        t: (), momentum parameter.
    """

    ahead: jax.Array
    ahead_residual: jax.Array
    t: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProximalGradient(Solver[ProximalGradientState]):
    """``v = ahead - step_length A^T M(A ahead - y)/norm(A)^2``; ``x = prior(v)``, kept to ``x >= 0`` in the
    support.

    Plug-and-play (Venkatakrishnan et al., GlobalSIP 2013) ISTA, where ``ahead = x``, and FISTA, where it is
    extrapolated (Kamilov, Mansour & Wohlberg, IEEE Signal Process. Lett. 24, 2017) with the restarts of
    :class:`FISTATV`. With a prox of strength ``weight/rho`` it minimises the data term plus
    ``1/(rho step_length)`` times the prior's function: with ``rho = 1/step_length`` what :class:`FISTATV`
    does. A network is no prox: its ``rho`` is one that it was trained with.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what the prior is told; the data gradient that it is given, at ``v``, is over this
    step_length: (), below 2; 1 is the inverse of the data term's Lipschitz constant
    accelerated: FISTA, else ISTA
    initial_iterations: iterations of the initial estimate, 0 for none; ``None``: as many as the prior was
        trained with
    """

    prior: Any
    rho: Any
    step_length: Any = STEP
    accelerated: bool = dataclasses.field(default=True, metadata={"static": True})
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, ProximalGradientState]:
        x = initial_estimate(problem, x0, self.prior, self.initial_iterations)
        x = problem.support * jnp.maximum(x, 0)
        residual = problem.residual(x)
        return Iterate(x, residual), ProximalGradientState(x, residual, jnp.ones((), x.dtype))

    def step(
        self, problem: Problem, iterate: Iterate, state: ProximalGradientState
    ) -> tuple[Iterate, ProximalGradientState]:
        length = jnp.asarray(self.step_length, iterate.x.dtype)
        v = state.ahead - length * problem.back(state.ahead_residual)
        x = jnp.maximum(prior_step(problem, self.prior, v, problem.residual(v), self.rho), 0)
        residual = problem.residual(x)
        momentum, t = jnp.zeros_like(state.t), state.t
        if self.accelerated:
            uphill = jnp.vdot(state.ahead - x, x - iterate.x) > 0
            old = jnp.where(uphill, 1, state.t)
            t = (1 + jnp.sqrt(1 + 4 * old**2)) / 2
            momentum = (old - 1) / t
        ahead = x + momentum * (x - iterate.x)
        ahead_residual = residual + momentum * (residual - iterate.residual)
        return Iterate(x, residual), ProximalGradientState(ahead, ahead_residual, t)


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
