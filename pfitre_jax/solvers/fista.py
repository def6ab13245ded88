"""FISTA with total variation."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Problem, Solver
from pfitre_jax.operators.finite_differences import total_variation
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.directional_tv import DirectionalTV
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.tv_weight import resolve_tv_weight
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options

#: Step length. The gradient of the normalised data term has a Lipschitz constant of 1, whose estimate is up
#: to 1% too small.
STEP = 0.99


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FISTAState:
    """Extrapolated image and dual variable.

    Attributes:
        ahead: (ny, nx), the extrapolated image.
        ahead_residual: (views, columns), its residual.
        dual: (axes, ny, nx), dual variable of the prox.
        t: (), momentum parameter.
    """

    ahead: Float[Array, "*rows ny nx"]
    ahead_residual: Float[Array, "*rows views columns"]
    dual: Float[Array, "axes *rows ny nx"]
    t: Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FISTATV(Solver[FISTAState]):
    """``argmin_{x >= 0} 1/2 ||M(A x - y)||^2 / ||A||^2 + weight TV(x)``, zero outside the support.

    FISTA whose momentum restarts when it points uphill. A step needs one projection and one backprojection:
    the residual of the extrapolated image is extrapolated, not projected. The prox keeps its dual variable,
    so that a few inner iterations suffice.

    Attributes:
        weight: (), TV weight relative to ``||A||^2 = 1``.
        nonnegative: Whether to restrict the image to ``x >= 0``.
        prox_iterations: Inner iterations in each step.
        ratio: (), weight of the edges that views measure over that of the others, see
            :class:`pfitre_jax.priors.directional_tv.DirectionalTV`. None: TV.

    References:
        Beck & Teboulle, SIAM J. Imaging Sci. 2, 2009. Restarts: O'Donoghue & Candes, Found. Comput. Math. 15,
        2015.
    """

    weight: Any
    nonnegative: bool = dataclasses.field(default=True, metadata={"static": True})
    prox_iterations: int = dataclasses.field(default=10, metadata={"static": True})
    ratio: Any = None

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, FISTAState]:
        x = problem.support * (jnp.maximum(x0, 0) if self.nonnegative else x0)
        residual = problem.residual(x)
        dual = jnp.zeros((x.ndim, *x.shape), x.dtype)
        return Iterate(x, residual), FISTAState(x, residual, dual, jnp.ones((), x.dtype))

    def step(self, problem: Problem, iterate: Iterate, state: FISTAState) -> tuple[Iterate, FISTAState]:
        weight = jnp.asarray(self.weight, iterate.x.dtype)
        target = state.ahead - STEP * problem.back(state.ahead_residual)
        tv = TV(weight, self.nonnegative, self.prox_iterations)
        if self.ratio is not None:
            tv = DirectionalTV(
                weight, self.nonnegative, self.prox_iterations, problem.wedge.center_rad, self.ratio
            )
        x, dual = tv.prox_dual(target, STEP * weight, state.dual, problem.support)
        residual = problem.residual(x)
        uphill = jnp.vdot(state.ahead - x, x - iterate.x) > 0
        t = jnp.where(uphill, 1, state.t)
        t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        momentum = (t - 1) / t_new
        ahead = x + momentum * (x - iterate.x)
        ahead_residual = residual + momentum * (residual - iterate.residual)
        return Iterate(x, residual), FISTAState(ahead, ahead_residual, dual, t_new)


def objective(problem: Problem, x: Float[Array, "ny nx"], weight: Any) -> Float[Array, ""]:
    """``1/2 ||M(A x - y)||_W^2 / ||A||^2 + weight TV(x)``: image (ny, nx) -> ()."""
    residual = problem.residual(x)
    data = jnp.vdot(residual, problem.weighted(residual)) / (2 * problem.norm_squared)
    return data + weight * total_variation(x)


@with_options(SolveOptions)
def fista_tv(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    weight: Any = "auto",
    ratio: Any = None,
    iterations: int = 300,
    nonnegative: bool = True,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`FISTATV`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        weight: (), TV weight. Usually 1e-5 to 1e-2; more noise needs more. "auto": computed from the
            estimated noise, see :func:`pfitre_jax.solvers.tv_weight_from_noise`. (``pfitre recon`` selects it
            by held-out views of several rows, see :func:`pfitre_jax.estimation.select_tv_weight`.)
        ratio: (), weight of the edges that views measure over that of the others, see
            :class:`pfitre_jax.priors.directional_tv.DirectionalTV`. None: TV.
        iterations: Largest number of steps.
        nonnegative: Whether to restrict the image to ``x >= 0``.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    weight = resolve_tv_weight(weight, A, sinogram, options.get("mask"), options.get("support"))
    check_number("weight", weight, or_zero=True)
    if ratio is not None:
        check_number("ratio", ratio)
    return solve(FISTATV(weight, nonnegative, ratio=ratio), A, sinogram, iterations=iterations, **options)
