"""FISTA with total variation."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.operators.finite_differences import total_variation
from pfitre_jax.priors.directional_tv import DirectionalTV
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.problem import Problem, relative_change

# The gradient's Lipschitz constant is 1 in the normalised problem, whose norm is known to 1% from below.
STEP = 0.99


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FISTAState:
    """x: (ny, nx); misfit: (views, columns), ``M(y - A x)``; ahead, ahead_misfit: the same for the
    extrapolated image; dual: (2, ny, nx), of the prox; t: (), the momentum's."""

    x: jax.Array
    misfit: jax.Array
    ahead: jax.Array
    ahead_misfit: jax.Array
    dual: jax.Array
    t: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FISTATV:
    """``argmin_{x >= 0} 1/2 |M(Ax-y)|^2/norm(A)^2 + weight TV(x)``, zero outside the support.

    FISTA (Beck & Teboulle, SIAM J. Imaging Sci. 2, 2009) whose momentum restarts when it points uphill
    (O'Donoghue & Candes, Found. Comput. Math. 15, 2015). One projection and one backprojection per step:
    the extrapolated image's misfit is extrapolated, not projected. The prox keeps its dual variable, so
    that a few inner iterations do.

    weight: (), relative to ``norm(A)^2 = 1``
    nonnegative: restrict to ``x >= 0``
    prox_iterations: inner iterations in each step
    ratio: (), of :class:`pfitre_jax.priors.directional_tv.DirectionalTV` along the problem's wedge in the
        place of TV; ``None`` for TV
    """

    weight: Any
    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})
    prox_iterations: int = dataclasses.field(default=10, metadata={"static": True})
    ratio: Any = None

    def init(self, problem: Problem, x0) -> FISTAState:
        x = problem.support * (jnp.maximum(x0, 0) if self.nonnegative else x0)
        misfit = problem.misfit(x)
        dual = jnp.zeros((x.ndim, *x.shape), x.dtype)
        residual = problem.relative_residual(misfit)
        one = jnp.ones((), x.dtype)
        return FISTAState(x, misfit, x, misfit, dual, one, residual, jnp.zeros((), x.dtype))

    def step(self, problem: Problem, state: FISTAState) -> FISTAState:
        weight = jnp.asarray(self.weight, state.x.dtype)
        target = state.ahead + STEP * problem.back(state.ahead_misfit)
        tv = TV(weight, self.nonnegative, self.prox_iterations)
        if self.ratio is not None:
            tv = DirectionalTV(
                weight, self.nonnegative, self.prox_iterations, problem.wedge.center_rad, self.ratio
            )
        x, dual = tv.prox_dual(target, STEP * weight, state.dual, problem.support)
        misfit = problem.misfit(x)
        uphill = jnp.vdot(state.ahead - x, x - state.x) > 0
        t = jnp.where(uphill, 1, state.t)
        t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        momentum = (t - 1) / t_new
        return FISTAState(
            x,
            misfit,
            x + momentum * (x - state.x),
            misfit + momentum * (misfit - state.misfit),
            dual,
            t_new,
            problem.relative_residual(misfit),
            relative_change(x, state.x),
        )


def objective(problem: Problem, x, weight):
    """``1/2 |M(Ax-y)|_W^2/norm(A)^2 + weight TV(x)``: image (ny, nx) -> ()."""
    misfit = problem.misfit(x)
    data = jnp.vdot(misfit, problem.weighted(misfit)) / (2 * problem.norm_squared)
    return data + weight * total_variation(x)
