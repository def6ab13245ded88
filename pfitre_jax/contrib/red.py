"""Regularization by denoising, as a penalty (RED) and as a constraint (RED-PRO)."""

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

#: Default strength that the denoiser receives, the best for the shipped prior.
RHO = 0.01


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RED(Solver[tuple[()]]):
    """``x -= step_length (A^T M(A x - y) / ||A||^2 + weight (x - D(x)))``, with ``x >= 0`` in the support.

    A fixed point has ``A^T M(A x - y) / ||A||^2 + weight (x - D(x)) = 0`` where ``x > 0``. For a ``D`` that
    is locally homogeneous and has a symmetric Jacobian it minimises the data term plus
    ``weight/2 x^T (x - D(x))``; Reehorst & Schniter interpret it for other denoisers.

    The weight balances data and prior without changing the input of the denoiser.

    Attributes:
        prior: The denoiser ``D``, a :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the denoiser receives.
        weight: (), weight of the prior, relative to ``||A||^2 = 1``.
        step_length: (). ``None``: ``0.99/(1 + weight)``, which converges where ``x - D(x)`` has a Lipschitz
            constant of at most 1, as that of a prox.
        initial_iterations: Iterations of the initial estimate, 0 for none; static. ``None``: as many as the
            prior was trained with.

    References:
        Romano, Elad & Milanfar, The little engine that could: regularization by denoising, SIAM J. Imaging
        Sci. 10, 2017.
        Reehorst & Schniter, Regularization by denoising: clarifications and new interpretations, IEEE Trans.
        Comput. Imaging 5, 2019.
    """

    prior: Prior
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
    """``v = x - mu_k A^T M(A x - y) / ||A||^2``; ``x = (1 - relaxation) v + relaxation D(v)``, ``x >= 0``.

    ``mu_k = step_length / k^power``. The hybrid steepest descent to the best fit to the data among the fixed
    points of ``D``, for a demicontractive ``D``: RED as a constraint, without a weight to choose.

    Attributes:
        prior: The denoiser ``D``, a :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the denoiser receives.
        step_length: (), length of the first step, below 2.
        power: (), in (0, 1], decay of the step length.
        relaxation: (), in (0, 1], fraction of the denoised image.
        initial_iterations: Iterations of the initial estimate, 0 for none; static. ``None``: as many as the
            prior was trained with.

    References:
        Cohen, Elad & Milanfar, Regularization by denoising via fixed-point projection (RED-PRO), SIAM J.
        Imaging Sci. 14, 2021.
    """

    prior: Prior
    rho: Any
    step_length: Any = STEP
    power: Any = 0.1
    relaxation: Any = 0.2
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, Array]:
        # The state is the number of the next step, counted from 1.
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


@with_options(SolveOptions)
def red(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = RHO,
    weight: Any = 0.1,
    step_length: Any = None,
    iterations: int = 60,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`RED`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: The denoiser, a :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the denoiser receives; that of a prox is its own ``weight/rho``.
        weight: (), weight of ``x - D(x)``, relative to ``||A||^2 = 1``.
        step_length: (). ``None``: ``0.99/(1 + weight)``.
        iterations: Largest number of steps.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    check_number("rho", rho)
    check_number("weight", weight, or_zero=True)
    if step_length is not None:
        check_number("step_length", step_length)
    return solve(RED(prior, rho, weight, step_length), A, sinogram, iterations=iterations, **options)


@with_options(SolveOptions)
def red_pro(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = RHO,
    step_length: Any = STEP,
    power: Any = 0.1,
    relaxation: Any = 0.2,
    iterations: int = 50,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`REDPRO`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: The denoiser, a :class:`pfitre_jax.interfaces.Prior`.
        rho: (), strength that the denoiser receives.
        step_length: (), length of the first step, ``mu_k = step_length / k^power``.
        power: (), decay of the step length.
        relaxation: (), fraction of the denoised image, in (0, 1].
        iterations: Largest number of steps.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    numbers = {"rho": rho, "step_length": step_length, "power": power, "relaxation": relaxation}
    for name, value in numbers.items():
        check_number(name, value)
    solver = REDPRO(prior, rho, step_length, power, relaxation)
    return solve(solver, A, sinogram, iterations=iterations, **options)
