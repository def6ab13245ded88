"""Plug-and-play with a gradient-step denoiser and backtracking: it converges whatever the network is."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.contrib.gradient_step_prior import GradientStep
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.initial_estimate import first_reconstruction
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import check_number, solve

#: A step must lower the objective by this share of ``|change|^2/length``; below 1/2 a short step does.
DECREASE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepState:
    """x: (ny, nx); objective: (), ``F(x)``; slope: (ny, nx), ``grad g(x)``; gradient: (ny, nx), the data
    gradient that the prior is given; length: (), of the last step."""

    x: jax.Array
    objective: jax.Array
    slope: jax.Array
    gradient: jax.Array
    length: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepPnP:
    """Proximal gradient on ``F(x) = 1/2 |M(Ax-y)|^2/norm(A)^2 + weight g(x)`` over ``x >= 0``, ``g`` that of
    a :class:`GradientStep`:

    ``z = x - length weight grad g(x)``;
    ``x = argmin_{x >= 0} 1/2 |M(Ax-y)|^2/norm(A)^2 + 1/(2 length) |x - z|^2``.

    The length starts at ``1/rho``; with ``weight = rho`` this is :class:`HQS` with the gradient-step
    denoiser. It is halved, for good, until ``F`` falls by ``0.1 |change|^2/length`` (Hurault, Leclaire &
    Papadakis, ICLR 2022), so that ``F`` never rises; where no length does, ``x`` stays and the change is 0.
    For ``g`` to be one function the data gradient that the prior is given is held: that of the start.

    prior: a :class:`GradientStep`; may have ``first_iterations``
    rho: (), what the prior is told, and ``1/rho`` the first length
    weight: (), of ``g``, relative to ``norm(A)^2 = 1``
    cg_iterations: conjugate gradients in each data step; halvings: at most, in one step
    first_iterations: of the first reconstruction, see :func:`first_reconstruction`
    """

    prior: Any
    rho: Any
    weight: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    halvings: int = dataclasses.field(default=10, metadata={"static": True})
    first_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0) -> GradientStepState:
        x = first_reconstruction(problem, x0, self.prior, self.first_iterations)
        x = problem.support * jnp.maximum(x, 0)
        rho = jnp.asarray(self.rho, x.dtype)
        return self._state(problem, x, x, problem.back(problem.misfit(x)) / rho, 1 / rho)

    def step(self, problem: Problem, state: GradientStepState) -> GradientStepState:
        # The search is not differentiated: a small change of the data halves no more and no less.
        share, found = _search(*jax.lax.stop_gradient((self, problem, state)))
        length = share * state.length
        x = jnp.where(found, self.move(problem, state, length), state.x)
        return self._state(problem, x, state.x, state.gradient, length)

    def move(self, problem: Problem, state: GradientStepState, length):
        """The image (ny, nx) after a step of this length."""
        target = state.x - length * self.weight * state.slope
        return data_step(problem, target, 1 / length, state.x, iterations=self.cg_iterations)

    def told(self, problem: Problem, gradient) -> dict[str, Any]:
        """What the prior is told beside the image: data gradient (ny, nx), wedge, ``rho``."""
        return {"correction": gradient, "wedge": problem.wedge, "rho": jnp.asarray(self.rho, gradient.dtype)}

    def _state(self, problem, x, previous, gradient, length) -> GradientStepState:
        misfit = problem.misfit(x)
        value, slope = self.prior.value_and_slope(x, **self.told(problem, gradient))
        return GradientStepState(
            x,
            _objective(problem, misfit, self.weight * value),
            slope,
            gradient,
            length,
            problem.relative_residual(misfit),
            relative_change(x, previous),
        )


def _objective(problem: Problem, misfit, penalty):
    return jnp.sum(misfit**2) / (2 * problem.norm_squared) + penalty


def _search(method: GradientStepPnP, problem: Problem, state: GradientStepState):
    """``(share, found)``: of the length, the first of 1, 1/2, 1/4, ... that lowers the objective enough."""

    def halve(carry):
        k, share, _ = carry
        length = share * state.length
        x = method.move(problem, state, length)
        value = method.prior.value(x, **method.told(problem, state.gradient))
        new = _objective(problem, problem.misfit(x), method.weight * value)
        lower = state.objective - new >= DECREASE / length * jnp.sum((x - state.x) ** 2)
        return k + 1, jnp.where(lower, share, share / 2), lower

    searching = lambda carry: (carry[0] <= method.halvings) & ~carry[2]  # noqa: E731
    start = 0, jnp.ones((), state.x.dtype), jnp.array(False)
    _, share, found = jax.lax.while_loop(searching, halve, start)
    return share, found


def gradient_step(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=0.01,
    weight=None,
    iterations: int = 20,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 5,
    tolerance: float = 0.0,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`GradientStepPnP`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``; is made a :class:`GradientStep` where it is none
    rho: (), what it is told, and ``1/rho`` the first length
    weight: (), of ``g``, relative to ``norm(A)^2 = 1``; default ``rho``
    cg_iterations: conjugate gradients in each data step
    """
    weight = rho if weight is None else weight
    check_number("rho", rho)
    check_number("weight", weight, or_zero=True)
    prior = prior if isinstance(prior, GradientStep) else GradientStep(prior)
    return solve(
        GradientStepPnP(prior, rho, weight, cg_iterations),
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        differentiate=differentiate,
    )
