"""Learned primal-dual method: small networks instead of the proximal maps, trained end to end."""

from __future__ import annotations

import dataclasses
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pfitre_jax.contrib import primal_dual_network as network
from pfitre_jax.contrib.primal_dual_network import PrimalDualConfig
from pfitre_jax.interfaces import Iterate, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.scale import SCALE_RHO
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.solve import SliceOptions, solve, with_options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PrimalDualState:
    """Images and sinograms of the networks.

    Attributes:
        primal: (ny, nx, images), the first is ``x``.
        dual: (views, columns, sinograms).
        count: (), number of steps done.
    """

    primal: Float[Array, "ny nx images"]
    dual: Float[Array, "views columns sinograms"]
    count: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LearnedPrimalDual(Solver[PrimalDualState]):
    """``h += D_k(h, K f_2, y / ||A||)``; ``f += P_k(f, K^T h_1)``; ``K = M A / ||A||``; the image is ``f_1``.

    ``f`` are a few images, ``h`` a few sinograms, and ``D_k`` and ``P_k`` the networks of step ``k``. Their
    parameters are stacked, so that compile time does not grow with the steps. After its last step the
    iterate does not change. ``x >= 0`` is not imposed. It is trained through
    :func:`pfitre_jax.solvers.loop.run` with ``differentiate="checkpoint"``.

    It is fast, since a step is one projection, one backprojection and two small networks, but it works only
    for the geometry and the noise of its training.

    Attributes:
        params: Parameters, a nested dict of arrays (iterations, ...).
        config: Configuration of the networks; static.
        start_iterations: Conjugate gradient iterations of the damped least-squares image from which all ``f``
            start, and which the untrained method returns; static. 0 starts from ``x0``; the published method
            has 0 and ``x0 = 0``.

    References:
        Adler & Öktem, Learned primal-dual reconstruction, IEEE Trans. Med. Imaging 37, 2018.
    """

    params: Any
    config: PrimalDualConfig = dataclasses.field(metadata={"static": True})
    start_iterations: int = dataclasses.field(default=8, metadata={"static": True})

    @classmethod
    def create(
        cls,
        key: Array,
        iterations: int = 10,
        config: PrimalDualConfig | None = None,
        start_iterations: int = 8,
    ) -> LearnedPrimalDual:
        """Returns an untrained method, whose steps do not change the image.

        Args:
            key: Random key of the parameters.
            iterations: Number of steps.
            config: Configuration of the networks. ``None``: the published one.
            start_iterations: Conjugate gradient iterations of the start.

        Raises:
            ValueError: For iterations below 1.
        """
        if int(iterations) != iterations or iterations < 1:
            raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")
        config = PrimalDualConfig() if config is None else config
        return cls(network.init(config, key, int(iterations)), config, start_iterations)

    @property
    def iterations(self) -> int:
        """Number of steps that it has parameters for."""
        return len(jax.tree.leaves(self.params)[0])

    # Problems of slices only, because the networks need the projector.
    def init(  # type: ignore[override]
        self, problem: SliceProblem, x0: Array
    ) -> tuple[Iterate, PrimalDualState]:
        x = problem.support * x0
        if self.start_iterations:
            x = data_step(problem, x, SCALE_RHO, x, iterations=self.start_iterations)
        primal = jnp.repeat(x[..., None], self.config.primal, axis=-1)
        dual = jnp.zeros((*problem.sinogram.shape, self.config.dual), x.dtype)
        return Iterate(x, problem.residual(x)), PrimalDualState(primal, dual, jnp.array(0))

    def step(  # type: ignore[override]
        self, problem: SliceProblem, iterate: Iterate, state: PrimalDualState
    ) -> tuple[Iterate, PrimalDualState]:
        # Beyond the last step the index is clamped, and the result is discarded below.
        params = jax.tree.map(
            lambda a: jax.lax.dynamic_index_in_dim(a, state.count, keepdims=False), self.params
        )
        norm = jnp.sqrt(problem.norm_squared)
        projected = problem.project(state.primal[..., 1]) / norm
        dual = network.update_dual(self.config, params, state.dual, projected, problem.sinogram / norm)
        back = problem.back(dual[..., 0]) * norm
        primal = network.update_primal(self.config, params, state.primal, back)
        primal = problem.support[..., None] * primal
        valid = state.count < self.iterations
        primal, dual = jnp.where(valid, primal, state.primal), jnp.where(valid, dual, state.dual)
        x = primal[..., 0]
        return Iterate(x, problem.residual(x)), PrimalDualState(primal, dual, state.count + 1)


@with_options(SliceOptions)
def learned_primal_dual(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    method: LearnedPrimalDual,
    iterations: int | None = None,
    **options: Unpack[SliceOptions],
) -> Solution:
    """Reconstructs one slice by a :class:`LearnedPrimalDual`.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        method: A trained method; :meth:`LearnedPrimalDual.create` returns an untrained one.
        iterations: Number of steps. ``None``: all. The intermediate images are not trained to be accurate.
        **options: See :class:`pfitre_jax.solvers.solve.SliceOptions`.

    Raises:
        ValueError: For more iterations than the method has, and for ``differentiate="implicit"``, because
            the method has no fixed point.
    """
    if options.get("differentiate") == "implicit":
        raise ValueError(
            "differentiate is 'implicit' and this method has no fixed point; expected 'checkpoint' or "
            "'unroll'"
        )
    iterations = method.iterations if iterations is None else iterations
    if iterations > method.iterations:
        raise ValueError(
            f"iterations is {iterations}; expected at most {method.iterations}, for which the method has "
            "parameters: leave it out for all of them"
        )
    return solve(method, A, sinogram, iterations=iterations, **options)
