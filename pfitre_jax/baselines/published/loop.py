"""Loop of the published PFITRE method, as a baseline."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver, data_correction
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.conjugate_gradients import conjugate_gradients
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options

#: TV strength of the published code. It smooths with scikit-image's ``denoise_tv_bregman(weight=200)``, which
#: minimises ``TV(x) + weight/2 ||x - v||^2``: a prox of strength 1/200.
TV_STRENGTH = 1 / 200


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PublishedADMMState:
    """Split variable and scaled dual.

    Attributes:
        z: (ny, nx), the image that agrees with the prior.
        dual: (ny, nx), ``u``, the sum of ``x - z``.
    """

    z: Float[Array, "ny nx"]
    dual: Float[Array, "ny nx"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PublishedADMM(Solver[PublishedADMMState]):
    """ADMM with a network instead of the proximal map, as published.

    ``x = max((A^T A + rho)^-1 (A^T y + rho (z - u)), 0)``;
    ``z = max(TV(network(max(x + u, 0))), 0)``; ``u += x - z``.

    The result is ``x``. Here ``rho`` is *not* relative to ``||A||^2``. The linear system is solved from ``z``
    by conjugate gradients; the published code solves it by GMRES, with the same solution. Negative values are
    clipped after the solve, as published. :class:`pfitre_jax.solvers.HQS` is the better method.

    Attributes:
        prior: A :class:`pfitre_jax.interfaces.Prior`; it receives ``rho / ||A||^2``.
        rho: (), 5 to 25.
        tv_strength: (), strength of the TV prox after the network, 0 for none.
        cg_iterations: Conjugate gradient iterations in each x-step; static.

    References:
        Zhao, Ge, Yang, Chu & Yan, npj Comput. Mater. 11, 240 (2025).
    """

    prior: Prior
    rho: Any
    tv_strength: Any = 0.0
    cg_iterations: int = dataclasses.field(default=60, metadata={"static": True})

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, PublishedADMMState]:
        x = problem.support * x0
        return Iterate(x, problem.residual(x)), PublishedADMMState(x, jnp.zeros_like(x))

    def step(
        self, problem: Problem, iterate: Iterate, state: PublishedADMMState
    ) -> tuple[Iterate, PublishedADMMState]:
        rho = jnp.asarray(self.rho, iterate.x.dtype) / problem.norm_squared
        x = conjugate_gradients(
            lambda v: problem.normal(v) + rho * v,
            problem.back(problem.sinogram) + rho * (state.z - state.dual),
            state.z,
            iterations=self.cg_iterations,
        )
        x = jnp.maximum(x, 0)
        v = jnp.maximum(x + state.dual, 0)
        correction = data_correction(problem, problem.residual(v), rho)
        z = self.prior.denoise(v, correction=correction, wedge=problem.wedge, rho=rho)
        z = TV(0.0).prox(z, self.tv_strength) * problem.support
        return Iterate(x, problem.residual(x)), PublishedADMMState(z, state.dual + x - z)

    def proposal(self, iterate: Iterate, state: PublishedADMMState) -> Array:
        return state.z


@with_options(SolveOptions)
def pfitre_original(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior,
    rho: Any = 10.0,
    tv_strength: Any = 0.0,
    iterations: int = 10,
    cg_iterations: int = 60,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`PublishedADMM`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: (), not relative to ``||A||^2``, as published.
        tv_strength: (), 0 for no TV step, :data:`TV_STRENGTH` for the published one.
        iterations: Largest number of iterations.
        cg_iterations: Conjugate gradient iterations in each x-step.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`. Without ``support`` the image is free
            everywhere, as published.
    """
    check_number("rho", rho)
    if options.get("support") is None:
        options["support"] = jnp.ones(A.shape)
    solver = PublishedADMM(prior, rho, tv_strength, cg_iterations)
    return solve(solver, A, sinogram, iterations=iterations, **options)
