"""Half-quadratic splitting with any prior: the prior proposes, the physics makes it agree with the data."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.initial_estimate import first_reconstruction
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.problem import Problem, relative_change
from pfitre_jax.solvers.solve import check_number, solve

#: How much more the last data step believes the prior than those of the loop do (docs/measurements/log.md).
CLOSING = 10.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HQSState:
    """x: (ny, nx), agrees with the data; z: (ny, nx), what the prior proposed; gradient: (ny, nx)."""

    x: jax.Array
    z: jax.Array
    gradient: jax.Array
    residual: jax.Array
    change: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HQS:
    """``z = prior(x)``; ``x = argmin_{x >= 0} 1/2 |M(Ax-y)|^2/norm(A)^2 + rho/2 |x - z|^2``.

    Starts from the second line, with ``z`` the :func:`first_reconstruction` if there is one, else
    ``z = x0``. The result is one more second line, towards the last ``z`` with ``closing * rho``: the loop
    follows the data closely, noise included, so that the prior sees them whole; the result need not (Geman &
    Yang, IEEE TIP 4, 1995; with a denoiser as the prior: Zhang et al., CVPR 2017).

    prior: has ``denoise(v, *, correction, wedge, rho)``, and may have ``first_iterations``
    rho: (), relative to ``norm(A)^2 = 1``
    cg_iterations: conjugate gradients in each data step; start_iterations: in the first one
    closing: factor of ``rho`` in the last data step; 0 for the loop's own ``x``
    first_iterations: of the first reconstruction, 0 for none, ``None`` for as many as the prior was trained
        with
    """

    prior: Any
    rho: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    closing: float = dataclasses.field(default=CLOSING, metadata={"static": True})
    start_iterations: int = dataclasses.field(default=8, metadata={"static": True})
    first_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    def init(self, problem: Problem, x0) -> HQSState:
        x0 = first_reconstruction(problem, x0, self.prior, self.first_iterations)
        rho = jnp.asarray(self.rho, x0.dtype)
        x = data_step(problem, x0, rho, x0, iterations=self.start_iterations)
        # Once more, now that it is known which pixels are held at 0.
        x = data_step(problem, x0, rho, x, iterations=self.cg_iterations)
        return self._state(problem, x, x0, x0)

    def step(self, problem: Problem, state: HQSState) -> HQSState:
        rho = jnp.asarray(self.rho, state.x.dtype)
        z = self.prior.denoise(state.x, correction=state.gradient, wedge=problem.wedge, rho=rho)
        return self.accept(problem, state, z * problem.support)

    def accept(self, problem: Problem, state: HQSState, z) -> HQSState:
        """The state after the data step towards a proposal ``z (ny, nx)``."""
        rho = jnp.asarray(self.rho, state.x.dtype)
        x = data_step(problem, z, rho, state.x, iterations=self.cg_iterations)
        return self._state(problem, x, z, state.x)

    def finish(self, problem: Problem, state: HQSState):
        if not self.closing:
            return state.x
        rho = self.closing * jnp.asarray(self.rho, state.x.dtype)
        return data_step(problem, state.z, rho, state.x, iterations=self.cg_iterations)

    def _state(self, problem, x, z, previous) -> HQSState:
        misfit = problem.misfit(x)
        return HQSState(
            x,
            z,
            problem.back(misfit) / self.rho,
            problem.relative_residual(misfit),
            relative_change(x, previous),
        )


def hqs(
    A: Projector,
    sinogram,
    *,
    prior,
    rho,
    iterations: int = 8,
    mask=None,
    support=None,
    x0=None,
    cg_iterations: int = 5,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`HQS`; the other arguments are those of :func:`solve`.

    prior: has ``denoise(v, *, correction, wedge, rho)``: :func:`pfitre_jax.priors.pretrained` ("circuits"), a
        :class:`pfitre_jax.priors.TV`, or your own
    rho: (), the pull towards the prior, relative to ``norm(A)^2 = 1``; the shipped prior knows 0.003 to 0.02
    iterations: of prior and data step in turns, at most
    cg_iterations: conjugate gradients in each data step
    """
    check_number("rho", rho)
    return solve(
        HQS(prior, rho, cg_iterations),
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
