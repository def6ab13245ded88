"""The learned primal-dual method: small networks in the place of the proxes, trained as a whole."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.contrib import primal_dual_network as network
from pfitre_jax.contrib.primal_dual_network import PrimalDualConfig
from pfitre_jax.interfaces import Iterate, Solver
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.conjugate_gradients import data_step
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.scale import SCALE_RHO
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.solve import solve


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PrimalDualState:
    """Images and sinograms of the networks.

    Attributes:
        primal: (ny, nx, images), the first is ``x``.
        dual: (views, columns, sinograms).
        count: (), steps made.
    """

    primal: jax.Array
    dual: jax.Array
    count: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LearnedPrimalDual(Solver[PrimalDualState]):
    """``h += D_k(h, K f_2, y/norm(A))``; ``f += P_k(f, K^T h_1)``; ``K = M A/norm(A)``; gives ``f_1``.

    ``f`` are a few images, ``h`` a few sinograms, ``D_k`` and ``P_k`` networks of step ``k`` (Adler &
    Öktem, IEEE TMI 37, 2018). The parameters of all steps lie on one axis that the step number indexes, so
    that the one loop runs it and compile time does not grow. After its last step it stands still. ``x >= 0``
    is no condition. It is trained through :func:`pfitre_jax.solvers.loop.run` with ``differentiate="checkpoint"``,
    and knows the angles only from what it was trained on.

    params: nested dict of arrays (iterations, ...)
    config: layout of the networks, static
    start_iterations: conjugate gradients of a damped least-squares image from which all ``f`` start, so that
        the untrained method gives that; 0: from ``x0``, as published with ``x0 = 0``
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
        """An untrained method of ``iterations`` steps, which keeps its start; config: default as published.

        Raises ``ValueError`` for iterations below 1.
        """
        if int(iterations) != iterations or iterations < 1:
            raise ValueError(f"iterations is {iterations!r}; expected a whole number of at least 1")
        config = PrimalDualConfig() if config is None else config
        return cls(network.init(config, key, int(iterations)), config, start_iterations)

    @property
    def iterations(self) -> int:
        """Steps that it has parameters for."""
        return len(jax.tree.leaves(self.params)[0])

    def init(self, problem: SliceProblem, x0: Array) -> tuple[Iterate, PrimalDualState]:
        x = problem.support * x0
        if self.start_iterations:
            x = data_step(problem, x, SCALE_RHO, x, iterations=self.start_iterations)
        primal = jnp.repeat(x[..., None], self.config.primal, axis=-1)
        dual = jnp.zeros((*problem.sinogram.shape, self.config.dual), x.dtype)
        return Iterate(x, problem.residual(x)), PrimalDualState(primal, dual, jnp.array(0))

    def step(
        self, problem: SliceProblem, iterate: Iterate, state: PrimalDualState
    ) -> tuple[Iterate, PrimalDualState]:
        # Beyond the last step the index is held at it, and what comes of it is not taken.
        params = jax.tree.map(
            lambda a: jax.lax.dynamic_index_in_dim(a, state.count, keepdims=False), self.params
        )
        norm = jnp.sqrt(problem.norm_squared)
        projected = problem.mask * problem.A(state.primal[..., 1]) / norm
        dual = network.update_dual(self.config, params, state.dual, projected, problem.sinogram / norm)
        back = problem.back(dual[..., 0]) * norm
        primal = network.update_primal(self.config, params, state.primal, back)
        primal = problem.support[..., None] * primal
        more = state.count < self.iterations
        primal, dual = jnp.where(more, primal, state.primal), jnp.where(more, dual, state.dual)
        x = primal[..., 0]
        return Iterate(x, problem.residual(x)), PrimalDualState(primal, dual, state.count + 1)


def learned_primal_dual(
    A: Projector,
    sinogram,
    *,
    method: LearnedPrimalDual,
    iterations: int | None = None,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by a :class:`LearnedPrimalDual`; the other arguments are those of :func:`solve`.

    method: trained; :meth:`LearnedPrimalDual.create` gives an untrained one
    iterations: default all that the method has; fewer stop at an image that training may not have looked at

    Raises ``ValueError`` for more iterations than the method has, and for ``differentiate="implicit"``: it
    has no fixed point.
    """
    if differentiate == "implicit":
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
    return solve(
        method,
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        differentiate=differentiate,
    )
