"""Regularization by denoising, as a penalty (RED) and as a constraint (RED-PRO)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.fista import STEP
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.prior_step import prior_step
from pfitre_jax.solvers.solve import check_number, solve

#: What the denoiser is told: the best with the shipped prior.
RHO = 0.01


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RED(Solver[tuple[()]]):
    """``x -= step_length (A^T M(A x - y)/norm(A)^2 + weight (x - D(x)))``, kept to ``x >= 0`` in the support.

    It rests where ``A^T M(A x - y)/norm(A)^2 + weight (x - D(x)) = 0``, or ``x = 0`` and this points inward:
    the minimum of the data term plus ``weight/2 x^T(x - D(x))`` for a ``D`` that is locally homogeneous and
    has a symmetric Jacobian (Romano, Elad & Milanfar, SIAM J. Imaging Sci. 10, 2017; what it means for
    others: Reehorst & Schniter, IEEE TCI 5, 2019).

    prior: ``D``, has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what ``D`` is told; the data gradient that it is given, at ``x``, is over this
    weight: (), relative to ``norm(A)^2 = 1``
    step_length: (), ``None`` for ``0.99/(1 + weight)``, which converges where ``x - D(x)`` has a Lipschitz
        constant of 1, as that of a prox has
    initial_iterations: iterations of the initial estimate, 0 for none; ``None``: as many as the prior was
        trained with
    """

    prior: Any
    rho: Any
    weight: Any
    step_length: Any = None
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, tuple[()]]:
        return _start(problem, self.prior, x0, self.initial_iterations), ()

    def step(self, problem: Problem, iterate: Iterate, state: tuple[()]) -> tuple[Iterate, tuple[()]]:
        weight = jnp.asarray(self.weight, iterate.x.dtype)
        length = STEP / (1 + weight) if self.step_length is None else self.step_length
        proposal = prior_step(problem, self.prior, iterate.x, iterate.residual, self.rho)
        gradient = problem.back(iterate.residual) + weight * (iterate.x - proposal)
        x = jnp.maximum(iterate.x - length * gradient, 0)
        return Iterate(x, problem.residual(x)), state


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class REDPRO(Solver[Array]):
    """``v = x - mu_k A^T M(A x - y)/norm(A)^2``; ``x = (1 - relaxation) v + relaxation D(v)``, kept to
    ``x >= 0`` in the support; ``mu_k = step_length / k^power``.

    The hybrid steepest descent to the best fit to the data among the fixed points of ``D``, for a ``D`` that
    is demicontractive: RED as a constraint, without a weight (Cohen, Elad & Milanfar, SIAM J. Imaging Sci.
    14, 2021).

    prior: ``D``, has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what ``D`` is told; the data gradient that it is given, at ``v``, is over this
    step_length: (), of the first step, below 2; power: (), in (0, 1], how fast the steps shrink
    relaxation: (), in (0, 1]
    initial_iterations: iterations of the initial estimate, 0 for none; ``None``: as many as the prior was
        trained with
    """

    prior: Any
    rho: Any
    step_length: Any = STEP
    power: Any = 0.1
    relaxation: Any = 0.2
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, Array]:
        # The state is the number of the next step, from 1.
        iterate = _start(problem, self.prior, x0, self.initial_iterations)
        return iterate, jnp.ones((), iterate.x.dtype)

    def step(self, problem: Problem, iterate: Iterate, state: Array) -> tuple[Iterate, Array]:
        share = jnp.asarray(self.relaxation, iterate.x.dtype)
        v = iterate.x - self.step_length / state**self.power * problem.back(iterate.residual)
        proposal = prior_step(problem, self.prior, v, problem.residual(v), self.rho)
        x = jnp.maximum((1 - share) * v + share * proposal, 0)
        return Iterate(x, problem.residual(x)), state + 1


def _start(problem: Problem, prior: Prior, x0: Array, iterations: int | None) -> Iterate:
    x = problem.support * jnp.maximum(initial_estimate(problem, x0, prior, iterations), 0)
    return Iterate(x, problem.residual(x))


def red(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=RHO,
    weight=0.1,
    step_length=None,
    iterations: int = 60,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`RED`; the other arguments are those of :func:`solve`.

    prior: the denoiser, has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what it is told: with ``weight/rho`` the strength of a prox
    weight: (), of ``x - D(x)``, relative to ``norm(A)^2 = 1``
    step_length: (), default ``0.99/(1 + weight)``
    """
    check_number("rho", rho)
    check_number("weight", weight, or_zero=True)
    if step_length is not None:
        check_number("step_length", step_length)
    return solve(
        RED(prior, rho, weight, step_length),
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


def red_pro(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=RHO,
    step_length=STEP,
    power=0.1,
    relaxation=0.2,
    iterations: int = 50,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`REDPRO`; the other arguments are those of :func:`solve`.

    prior: the denoiser, has ``denoise(v, *, correction, wedge, rho)``
    rho: (), what it is told
    step_length, power: (), ``mu_k = step_length / k^power``
    relaxation: (), share of the denoised image, in (0, 1]
    """
    for name, value in {"rho": rho, "step_length": step_length, "power": power}.items():
        check_number(name, value)
    check_number("relaxation", relaxation)
    return solve(
        REDPRO(prior, rho, step_length, power, relaxation),
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
