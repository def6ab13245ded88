"""Plug-and-play proximal gradient: ISTA and FISTA with any prior instead of the proximal map."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.fista import STEP
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.prior_step import prior_step
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options

#: Default strength and iterations of a learned prior, the best for the shipped one. With more iterations the
#: images move away from those that a network was trained on.
RHO, ITERATIONS = 0.1, 5
#: Default iterations of a proximal map, with which the method converges.
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

    ahead: Float[Array, "ny nx"]
    ahead_residual: Float[Array, "views columns"]
    t: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProximalGradient(Solver[ProximalGradientState]):
    """``v = ahead - step_length A^T M(A ahead - y) / ||A||^2``; ``x = max(prior(v), 0)`` in the support.

    ISTA with ``ahead = x``, FISTA with an extrapolated ``ahead`` and the restarts of :class:`FISTATV`. With a
    prox of strength ``weight/rho`` it minimises the data term plus ``1/(rho step_length)`` times the prior's
    function; with ``rho = 1/step_length`` it equals :class:`FISTATV`. A network is not a prox and receives a
    ``rho`` that it was trained with.

    It needs no inner solver, so that a step is cheap. With a learned prior the images of the loop differ from
    those of its training, and :class:`HQS` is better (docs/measurements/variants.md).

    Attributes:
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the prior receives.
        step_length: (), below 2; 1 is the inverse of the Lipschitz constant of the data term's gradient.
        accelerated: Whether to extrapolate (FISTA) or not (ISTA); static.
        initial_iterations: Iterations of the initial estimate, 0 for none; static. ``None``: as many as the
            prior was trained with.

    References:
        Venkatakrishnan, Bouman & Wohlberg, Plug-and-play priors for model based reconstruction,
        GlobalSIP 2013.
        Kamilov, Mansour & Wohlberg, A plug-and-play priors approach for solving nonlinear imaging inverse
        problems, IEEE Signal Process. Lett. 24, 2017.
    """

    prior: Prior
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


@with_options(SolveOptions)
def pnp_ista(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = None,
    step_length: Any = STEP,
    iterations: int | None = None,
    **options: Unpack[SolveOptions],
) -> Solution:
    """:func:`pnp_fista` without extrapolation: slower, and convergent with any averaged denoiser."""
    return _proximal_gradient(A, sinogram, prior, rho, step_length, iterations, False, options)


@with_options(SolveOptions)
def pnp_fista(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = None,
    step_length: Any = STEP,
    iterations: int | None = None,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`ProximalGradient`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the prior receives. ``None``: :data:`RHO`, and ``1/step_length`` for a
            prox, so that its own weight counts.
        step_length: (), below 2.
        iterations: Largest number of steps. ``None``: :data:`PROX_ITERATIONS` for a prox, else
            :data:`ITERATIONS`.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    return _proximal_gradient(A, sinogram, prior, rho, step_length, iterations, True, options)


def _proximal_gradient(
    A: Projector,
    sinogram: Array,
    prior: Prior,
    rho: Any,
    step_length: Any,
    iterations: int | None,
    accelerated: bool,
    options: SolveOptions,
) -> Solution:
    check_number("step_length", step_length)
    is_prox = prior.info.is_prox
    if rho is None:
        rho = 1 / step_length if is_prox else RHO
    if iterations is None:
        iterations = PROX_ITERATIONS if is_prox else ITERATIONS
    check_number("rho", rho)
    solver = ProximalGradient(prior, rho, step_length, accelerated)
    return solve(solver, A, sinogram, iterations=iterations, **options)
