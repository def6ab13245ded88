"""Gradient-step denoiser, and plug-and-play with it, which converges for any network."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Iterate, Prior, PriorInfo, Problem, Solver, data_correction
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SliceOptions, check_number, solve, with_options

#: A step must lower the objective by this factor of ``||change||^2 / length``; a short step does if it is
#: below 1/2.
DECREASE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStep(Prior):
    """``D(v) = v - grad g(v)`` with ``g(v) = 1/2 ||v - N(v)||^2`` and ``N`` the wrapped prior.

    ``D(v) = N(v) + J^T (v - N(v))``, with ``J`` the Jacobian of ``N`` at ``v``. Reverse mode evaluates it at
    about three times the cost of ``N``. Data correction, wedge and rho are constants, so that ``g`` is a
    function of the image alone. The fixed points of ``N`` are fixed points of ``D``. The reference trains
    ``N`` such that ``D`` denoises; with an ``N`` that was trained alone ``D`` need not.

    Attributes:
        prior: The prior ``N``, differentiable.

    References:
        Hurault, Leclaire & Papadakis, Gradient step denoiser for convergent plug-and-play, ICLR 2022.
    """

    prior: Prior

    @property
    def info(self) -> PriorInfo:
        """That of the wrapped prior, but the same in every iteration, since ``g`` is one function."""
        return dataclasses.replace(
            self.prior.info, alternates=False, is_prox=False, rho=None, iterations=None
        )

    def value(
        self, v: Float[Array, "ny nx"], *, correction: Float[Array, "ny nx"], wedge: Wedge, rho: Array | float
    ) -> Float[Array, ""]:
        """``g(v) = 1/2 ||v - N(v)||^2``."""
        return jnp.sum((v - self.prior.denoise(v, correction=correction, wedge=wedge, rho=rho)) ** 2) / 2

    def value_and_slope(
        self, v: Float[Array, "ny nx"], *, correction: Float[Array, "ny nx"], wedge: Wedge, rho: Array | float
    ) -> tuple[Float[Array, ""], Float[Array, "ny nx"]]:
        """``g(v)`` and ``grad g(v) = (1 - J)^T (v - N(v))``."""
        return jax.value_and_grad(lambda u: self.value(u, correction=correction, wedge=wedge, rho=rho))(v)

    def denoise(
        self, v: Float[Array, "ny nx"], *, correction: Float[Array, "ny nx"], wedge: Wedge, rho: Array | float
    ) -> Float[Array, "ny nx"]:
        """``v - grad g(v)``."""
        return v - self.value_and_slope(v, correction=correction, wedge=wedge, rho=rho)[1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepState:
    """Objective and step length.

    Attributes:
        objective: (), ``F(x)``.
        slope: (ny, nx), ``grad g(x)``.
        correction: (ny, nx), data correction at the start, the input of the prior in all steps.
        length: (), length of the last step.
    """

    objective: Float[Array, ""]
    slope: Float[Array, "ny nx"]
    correction: Float[Array, "ny nx"]
    length: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepPnP(Solver[GradientStepState]):
    """Minimises ``F(x) = 1/2 ||M(A x - y)||^2 / ||A||^2 + weight g(x)`` over ``x >= 0``.

    ``g`` is that of a :class:`GradientStep`. One step is

    ``z = x - length weight grad g(x)``;
    ``x = argmin_{x >= 0} 1/2 ||M(A x - y)||^2 / ||A||^2 + 1/(2 length) ||x - z||^2``.

    The length starts at ``1/rho``; with ``weight = rho`` this is then :class:`HQS` with the gradient-step
    denoiser. The length is halved until ``F`` falls by ``0.1 ||change||^2 / length``, and stays halved, so
    that ``F`` never rises. Where no length lowers ``F``, ``x`` does not change any more. It converges for any
    differentiable network, but finds good images only with one that was trained for it
    (docs/measurements/variants.md).

    Attributes:
        prior: The gradient-step denoiser.
        rho: (), strength that the prior receives; ``1/rho`` is the first length.
        weight: (), weight of ``g``, relative to ``||A||^2 = 1``.
        cg_iterations: Conjugate gradient iterations in each data step; static.
        halvings: Largest number of halvings in one step; static.
        initial_iterations: Iterations of the initial estimate, 0 for none; static. ``None``: as many as the
            prior was trained with.

    References:
        Hurault, Leclaire & Papadakis, Gradient step denoiser for convergent plug-and-play, ICLR 2022.
    """

    prior: GradientStep
    rho: Any
    weight: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    halvings: int = dataclasses.field(default=10, metadata={"static": True})
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, GradientStepState]:
        x = initial_estimate(problem, x0, self.prior, self.initial_iterations)
        x = problem.support * jnp.maximum(x, 0)
        rho = jnp.asarray(self.rho, x.dtype)
        correction = data_correction(problem, problem.residual(x), rho)
        return self._evaluate(problem, x, correction, 1 / rho)

    def step(
        self, problem: Problem, iterate: Iterate, state: GradientStepState
    ) -> tuple[Iterate, GradientStepState]:
        # The search is not differentiated: a small change of the data leaves the number of halvings.
        factor, success = _search(*jax.lax.stop_gradient((self, problem, iterate.x, state)))
        length = factor * state.length
        x = jnp.where(success, self.move(problem, iterate.x, state, length), iterate.x)
        return self._evaluate(problem, x, state.correction, length)

    def move(self, problem: Problem, x: Array, state: GradientStepState, length: Array) -> Array:
        """The image (ny, nx) after a step of this length from ``x (ny, nx)``."""
        target = x - length * self.weight * state.slope
        return data_step(problem, target, 1 / length, x, iterations=self.cg_iterations)

    def prior_inputs(self, problem: Problem, correction: Array) -> dict[str, Any]:
        """Keyword arguments of the prior: data correction (ny, nx), wedge and ``rho``."""
        rho = jnp.asarray(self.rho, correction.dtype)
        return {"correction": correction, "wedge": problem.wedge, "rho": rho}

    def _evaluate(
        self, problem: Problem, x: Array, correction: Array, length: Array
    ) -> tuple[Iterate, GradientStepState]:
        residual = problem.residual(x)
        value, slope = self.prior.value_and_slope(x, **self.prior_inputs(problem, correction))
        objective = _objective(problem, residual, self.weight * value)
        return Iterate(x, residual), GradientStepState(objective, slope, correction, length)


def _objective(problem: Problem, residual: Array, penalty: Array) -> Array:
    return jnp.sum(residual**2) / (2 * problem.norm_squared) + penalty


def _search(
    solver: GradientStepPnP, problem: Problem, start: Array, state: GradientStepState
) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """The first factor among 1, 1/2, 1/4, ... of the length that lowers the objective enough.

    Returns:
        The factor, and whether there is one within the allowed number of halvings.
    """

    def halve(carry):
        k, factor, _ = carry
        length = factor * state.length
        x = solver.move(problem, start, state, length)
        value = solver.prior.value(x, **solver.prior_inputs(problem, state.correction))
        new = _objective(problem, problem.residual(x), solver.weight * value)
        lower = state.objective - new >= DECREASE / length * jnp.sum((x - start) ** 2)
        return k + 1, jnp.where(lower, factor, factor / 2), lower

    unfinished = lambda carry: (carry[0] <= solver.halvings) & ~carry[2]  # noqa: E731
    first = 0, jnp.ones((), start.dtype), jnp.array(False)
    _, factor, success = jax.lax.while_loop(unfinished, halve, first)
    return factor, success


@with_options(SliceOptions)
def gradient_step(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = 0.01,
    weight: Any = None,
    iterations: int = 20,
    cg_iterations: int = 5,
    **options: Unpack[SliceOptions],
) -> Solution:
    """Reconstructs one slice by :class:`GradientStepPnP`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: The prior ``N``, which is wrapped in a :class:`GradientStep`.
        rho: (), strength that the prior receives; ``1/rho`` is the first length.
        weight: (), weight of ``g``, relative to ``||A||^2 = 1``. ``None``: ``rho``.
        iterations: Largest number of steps.
        cg_iterations: Conjugate gradient iterations in each data step.
        **options: See :class:`pfitre_jax.solvers.solve.SliceOptions`.
    """
    weight = rho if weight is None else weight
    check_number("rho", rho)
    check_number("weight", weight, or_zero=True)
    solver = GradientStepPnP(GradientStep(prior), rho, weight, cg_iterations)
    return solve(solver, A, sinogram, iterations=iterations, **options)
