"""Plug-and-play with a gradient-step denoiser and backtracking: it converges whatever the network is."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.contrib.gradient_step_prior import GradientStep
from pfitre_jax.interfaces import Iterate, Problem, Solver, data_correction
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import check_number, solve

#: A step must lower the objective by this share of ``|change|^2/length``; below 1/2 a short step does.
DECREASE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepState:
    """Objective and step length.

    Attributes:
        objective: (), ``F(x)``.
        slope: (ny, nx), ``grad g(x)``.
        correction: (ny, nx), the data correction that the prior is given, that of the start.
        length: (), length of the last step.
    """

    objective: jax.Array
    slope: jax.Array
    correction: jax.Array
    length: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GradientStepPnP(Solver[GradientStepState]):
    """Proximal gradient on ``F(x) = 1/2 |M(Ax-y)|^2/norm(A)^2 + weight g(x)`` over ``x >= 0``, ``g`` that of
    a :class:`GradientStep`:

    ``z = x - length weight grad g(x)``;
    ``x = argmin_{x >= 0} 1/2 |M(Ax-y)|^2/norm(A)^2 + 1/(2 length) |x - z|^2``.

    The length starts at ``1/rho``; with ``weight = rho`` this is :class:`HQS` with the gradient-step
    denoiser. It is halved, for good, until ``F`` falls by ``0.1 |change|^2/length`` (Hurault, Leclaire &
    Papadakis, ICLR 2022), so that ``F`` never rises; where no length does, ``x`` stays and the change is 0.
    For ``g`` to be one function the data gradient that the prior is given is held: that of the start.

    prior: a :class:`GradientStep`
    rho: (), what the prior is told, and ``1/rho`` the first length
    weight: (), of ``g``, relative to ``norm(A)^2 = 1``
    cg_iterations: conjugate gradients in each data step; halvings: at most, in one step
    initial_iterations: iterations of the initial estimate, 0 for none; ``None``: as many as the prior was
        trained with
    """

    prior: Any
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
        share, found = _search(*jax.lax.stop_gradient((self, problem, iterate.x, state)))
        length = share * state.length
        x = jnp.where(found, self.move(problem, iterate.x, state, length), iterate.x)
        return self._evaluate(problem, x, state.correction, length)

    def move(self, problem: Problem, x: Array, state: GradientStepState, length: Array) -> Array:
        """The image (ny, nx) after a step of this length from ``x (ny, nx)``."""
        target = x - length * self.weight * state.slope
        return data_step(problem, target, 1 / length, x, iterations=self.cg_iterations)

    def prior_inputs(self, problem: Problem, correction: Array) -> dict[str, Any]:
        """Keyword arguments of the prior: data correction (ny, nx), wedge and ``rho``."""
        rho = jnp.asarray(self.rho, correction.dtype)
        return {"correction": correction, "wedge": problem.wedge, "rho": rho}

    def _evaluate(self, problem, x, correction, length) -> tuple[Iterate, GradientStepState]:
        residual = problem.residual(x)
        value, slope = self.prior.value_and_slope(x, **self.prior_inputs(problem, correction))
        objective = _objective(problem, residual, self.weight * value)
        return Iterate(x, residual), GradientStepState(objective, slope, correction, length)


def _objective(problem: Problem, residual, penalty):
    return jnp.sum(residual**2) / (2 * problem.norm_squared) + penalty


def _search(method: GradientStepPnP, problem: Problem, start: Array, state: GradientStepState):
    """``(share, found)``: of the length, the first of 1, 1/2, 1/4, ... that lowers the objective enough."""

    def halve(carry):
        k, share, _ = carry
        length = share * state.length
        x = method.move(problem, start, state, length)
        value = method.prior.value(x, **method.prior_inputs(problem, state.correction))
        new = _objective(problem, problem.residual(x), method.weight * value)
        lower = state.objective - new >= DECREASE / length * jnp.sum((x - start) ** 2)
        return k + 1, jnp.where(lower, share, share / 2), lower

    searching = lambda carry: (carry[0] <= method.halvings) & ~carry[2]  # noqa: E731
    first = 0, jnp.ones((), start.dtype), jnp.array(False)
    _, share, found = jax.lax.while_loop(searching, halve, first)
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
