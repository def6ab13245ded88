"""Half-quadratic splitting: the prior proposes an image and a data step makes it agree with the data."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from pfitre_jax.interfaces import Iterate, Prior, Problem, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.default import DEFAULT_PRIOR
from pfitre_jax.priors.files import pretrained
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.tv_weight import resolve_rho
from pfitre_jax.solvers.solve import SolveOptions, check_number, solve, with_options
from pfitre_jax.solvers.wrappers.coarse_to_fine import CoarseToFine

#: Factor of ``rho`` in the last data step (docs/measurements/log.md).
FINAL_RHO_FACTOR = 10.0
#: Iterations of :func:`hqs`.
ITERATIONS = 10


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HQSState:
    """Proposals and data gradient of the splitting.

    Attributes:
        z: (ny, nx), the last proposal of the prior.
        z_previous: (ny, nx), the proposal before it.
        gradient: (ny, nx), ``A^T M W (A x - y) / ||A||^2`` at the iterate, with the weights ``W`` of its
            step.
        iteration: (), number of iterations done.
    """

    z: Float[Array, "*rows ny nx"]
    z_previous: Float[Array, "*rows ny nx"]
    gradient: Float[Array, "*rows ny nx"]
    iteration: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HQS(Solver[HQSState]):
    """``z = prior(x)``; ``x = argmin_{x >= 0} 1/2 ||M(A x - y)||^2 / ||A||^2 + rho/2 ||x - z||^2``.

    The loop starts with a data step from the initial estimate. The result is one more data step, towards the
    last ``z`` with ``final_rho_factor * rho``. The iterates fit the data closely, including the noise, so
    that the prior receives all information; the larger ``rho`` removes this noise from the result.

    Iteration ``k`` uses ``prior.at(k)``. A prior with ``info.alternates`` processes another mirror image in
    each iteration. This costs a quarter of averaging over the four mirror images, and the result is within
    0.06 dB of that average on held-out circuits (``python -m benchmarks.network``). Differences between the
    mirror images average out over the iterations; to average the last ones too, the final data step uses the
    mean of the last two proposals. A prior that was trained through the loop has separate parameters for each
    iteration, and ``rho`` is then an array.

    Attributes:
        prior: A :class:`pfitre_jax.interfaces.Prior`.
        rho: () or (iterations,), prior strength relative to ``||A||^2 = 1``; the last entry also applies to
            later iterations.
        cg_iterations: Conjugate gradient iterations in each data step.
        final_rho_factor: Factor of ``rho`` in the last data step; 0 returns the last iterate.
        start_iterations: Conjugate gradient iterations in the first data step.
        initial_iterations: Iterations of the initial estimate, 0 for none. None: as many as the prior was
            trained with.
        stationary: Whether all iterations use ``prior`` itself instead of ``prior.at(k)``. The step is then
            one map, as a fixed point requires.

    References:
        Geman & Yang, IEEE TIP 4, 1995; with a denoiser as the prior: Zhang et al., CVPR 2017. Parameters of
        each iteration: Gregor & LeCun, ICML 2010; Aggarwal et al., IEEE TMI 38, 2019.
    """

    prior: Prior
    rho: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    final_rho_factor: float = dataclasses.field(default=FINAL_RHO_FACTOR, metadata={"static": True})
    start_iterations: int = dataclasses.field(default=8, metadata={"static": True})
    initial_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})
    stationary: bool = dataclasses.field(default=False, metadata={"static": True})

    @classmethod
    def create(cls, prior: Prior, rho: Any, **settings: Any) -> HQS:
        """Creates the solver for a prior, with the ``rho`` that was trained with the prior if there is one.

        Args:
            prior: A :class:`pfitre_jax.interfaces.Prior`.
            rho: (), prior strength; ignored if ``prior.info.rho`` is not None.
            **settings: Other attributes.
        """
        trained = prior.info.rho
        return cls(prior, rho if trained is None else trained, **settings)

    def init(self, problem: Problem, x0: Array) -> tuple[Iterate, HQSState]:
        z = initial_estimate(problem, x0, self.prior, self.initial_iterations)
        rho = self.rho_at(0, z.dtype)
        x = data_step(problem, z, rho, z, iterations=self.start_iterations)
        # The first data step determines which pixels are 0; the second one solves with these pixels fixed.
        iterate, gradient = self._data_step(problem, x, z, rho)
        return iterate, HQSState(z, z, gradient, jnp.array(0))

    def step(self, problem: Problem, iterate: Iterate, state: HQSState) -> tuple[Iterate, HQSState]:
        rho = self.rho_at(state.iteration, iterate.x.dtype)
        prior = self.prior if self.stationary else self.prior.at(state.iteration)
        correction = -state.gradient / rho
        z = problem.support * prior.denoise(iterate.x, correction=correction, wedge=problem.wedge, rho=rho)
        iterate, gradient = self._data_step(problem, iterate.x, z, rho)
        return iterate, HQSState(z, state.z, gradient, state.iteration + 1)

    def finish(self, problem: Problem, iterate: Iterate, state: HQSState) -> Array:
        if not self.final_rho_factor:
            return iterate.x
        z = state.z
        if not self.stationary and self.prior.info.alternates:
            # After one iteration there is no proposal before the last.
            z = jnp.where(state.iteration > 1, (state.z_previous + z) / 2, z)
        rho = self.final_rho_factor * self.rho_at(state.iteration - 1, z.dtype)
        return data_step(problem, z, rho, iterate.x, iterations=self.cg_iterations)

    def proposal(self, iterate: Iterate, state: HQSState) -> Array:
        return state.z

    def repeat_data_step(
        self, problem: Problem, iterate: Iterate, state: HQSState
    ) -> tuple[Iterate, HQSState]:
        """Repeats the last data step with the ``rho`` of the next iteration.

        It is needed for a state that was computed with another ``rho``.
        """
        rho = self.rho_at(state.iteration, iterate.x.dtype)
        iterate, gradient = self._data_step(problem, iterate.x, state.z, rho)
        return iterate, dataclasses.replace(state, gradient=gradient)

    def rho_at(self, iteration: int | Int[Array, ""], dtype: DTypeLike | None = None) -> Float[Array, ""]:
        """``rho`` of an iteration, counted from 0: ()."""
        rho = jnp.asarray(self.rho, dtype)
        if rho.ndim == 0:
            return rho
        return jax.lax.dynamic_index_in_dim(rho, jnp.clip(iteration, 0, len(rho) - 1), keepdims=False)

    def _data_step(self, problem, x, z, rho):
        x = data_step(problem, z, rho, x, iterations=self.cg_iterations)
        residual = problem.residual(x)
        return Iterate(x, residual), problem.back(residual)


def learned_loop(
    prior: Prior, rho: Any, *, initial_iterations: int | None = None, coarse: bool = True, **settings: Any
) -> Solver:
    """The solver of ``pfitre``: :class:`HQS`, from coarse to fine.

    Args:
        prior: A :class:`pfitre_jax.interfaces.Prior`. One that was trained through the loop does not start
            from a coarse result, which it was not trained with.
        rho: (), prior strength.
        initial_iterations: See :class:`HQS`; 0 to start from the initial image.
        coarse: Whether the loop starts from coarser levels, see
            :class:`pfitre_jax.solvers.wrappers.coarse_to_fine.CoarseToFine`.
        **settings: Other attributes of :class:`HQS`.
    """
    loop = HQS.create(prior, rho, initial_iterations=initial_iterations, **settings)
    if not coarse or initial_iterations == 0 or prior.info.iterations is not None:
        return loop
    return CoarseToFine(loop)


@with_options(SolveOptions)
def hqs(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    prior: Prior | str | os.PathLike = DEFAULT_PRIOR,
    rho: Any = "auto",
    iterations: int | None = None,
    cg_iterations: int = 5,
    coarse: bool = True,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`HQS`, as ``pfitre_jax.reconstruct(scan, "pfitre")`` does.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1]: divide measured
            ones by :func:`pfitre_jax.solvers.estimate_scale`.
        prior: A :class:`pfitre_jax.interfaces.Prior`, or the name or path of one for
            :func:`pfitre_jax.priors.pretrained`.
        rho: (), prior strength relative to ``||A||^2 = 1``; the shipped priors were trained with 0.003 to
            0.02. "auto": computed from the estimated noise, see
            :func:`pfitre_jax.solvers.rho_from_tv_weight`. A prior that was trained with its own ``rho``
            uses that.
        iterations: Largest number of iterations of prior and data step. None: 10, or as many as the prior was
            trained for.
        cg_iterations: Conjugate gradient iterations in each data step.
        coarse: Whether to start from coarser levels, see :func:`learned_loop`; never with an ``x0``.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`. With ``differentiate="implicit"`` a
            prior that alternates between mirror images takes their mean in each iteration instead.
    """
    prior = pretrained(prior) if isinstance(prior, (str, os.PathLike)) else prior
    if prior.info.rho is None:
        rho = resolve_rho(rho, A, sinogram, options.get("mask"), options.get("support"))
        check_number("rho", rho)
    if iterations is None:
        iterations = prior.info.iterations or ITERATIONS
    stationary = options.get("differentiate") == "implicit"
    coarse = coarse and options.get("x0") is None
    solver = learned_loop(prior, rho, coarse=coarse, cg_iterations=cg_iterations, stationary=stationary)
    return solve(solver, A, sinogram, iterations=iterations, **options)
