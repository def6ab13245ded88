"""The published PFITRE loop, step for step, to compare with."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Iterate, Problem, Solver, data_correction
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import check_number, solve

#: The published code smooths with scikit-image's ``denoise_tv_bregman(weight=200, eps=0.05)``, which
#: minimises ``TV(x) + weight/2 |x - v|^2``: a prox of strength 1/200.
TV_STRENGTH = 1 / 200


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OriginalState:
    """Split variable and scaled dual.

    Attributes:
        z: (ny, nx), the image that agrees with the prior.
        dual: (ny, nx), ``u``, the sum of ``x - z``.
    """

    z: jax.Array
    dual: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Original(Solver[OriginalState]):
    """``x = max((A^T A + rho)^-1 (A^T y + rho (z - u)), 0)``; ``z = max(TV(network(max(x + u, 0))), 0)``;
    ``u += x - z``; the result is ``x`` (Zhao et al., npj Comput. Mater. 11, 240, 2025).

    Here ``rho`` is *not* relative to ``norm(A)^2``. The linear system is solved from ``z`` by conjugate
    gradients, where the published code runs GMRES on it: the same solution. The clip comes after
    the solve, as published; prefer :mod:`pfitre_jax.solvers.hqs`.

    prior: has ``denoise(v, *, correction, wedge, rho)``; is given ``rho/norm(A)^2``
    rho: (), 5 to 25
    tv_strength: (), of the TV prox after the network, 0 for none
    cg_iterations: of each x-step
    """

    prior: Any
    rho: Any
    tv_strength: Any = 0.0
    cg_iterations: int = dataclasses.field(default=60, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, OriginalState]:
        x = problem.support * x0
        return Iterate(x, problem.residual(x)), OriginalState(x, jnp.zeros_like(x))

    def step(self, problem: Problem, iterate: Iterate, state: OriginalState) -> tuple[Iterate, OriginalState]:
        rho = jnp.asarray(self.rho, iterate.x.dtype) / problem.norm_squared
        x = conjugate_gradients(
            lambda v: problem.normal(v) + rho * v,
            problem.back(problem.sinogram) + rho * (state.z - state.dual),
            state.z,
            iterations=self.cg_iterations,
        )
        x = jnp.maximum(x, 0)
        proposal = jnp.maximum(x + state.dual, 0)
        correction = data_correction(problem, problem.residual(proposal), rho)
        z = self.prior.denoise(proposal, correction=correction, wedge=problem.wedge, rho=rho)
        z = TV(0.0).prox(z, self.tv_strength) * problem.support
        return Iterate(x, problem.residual(x)), OriginalState(z, state.dual + x - z)

    def proposal(self, iterate: Iterate, state: OriginalState) -> Array:
        return state.z


def pfitre_original(
    A: Projector,
    sinogram,
    *,
    prior,
    rho=10.0,
    tv_strength=0.0,
    iterations: int = 10,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 60,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`Original`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``
    rho: (), not relative to ``norm(A)^2``, as published
    tv_strength: 0 for no TV step, :data:`TV_STRENGTH` for the published one
    cg_iterations: conjugate gradients in each data step
    support: default everywhere: the published method knows none
    """
    check_number("rho", rho)
    support = jnp.ones(A.shape) if support is None else support
    return solve(
        Original(prior, rho, tv_strength, cg_iterations),
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
