"""Half-quadratic splitting whose every iteration has a prior and a rho of its own: an unrolled network."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.solvers.hqs import CLOSING, HQS, HQSState
from pfitre_jax.solvers.problem import Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledState:
    """x, z: (ny, nx), as in :class:`HQSState`; gradient: (ny, nx), ``A^T M (y - A x)/norm(A)^2``, not yet
    divided by ``rho``; k: (), iterations done."""

    x: jax.Array
    z: jax.Array
    gradient: jax.Array
    residual: jax.Array
    change: jax.Array
    k: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Unrolled:
    """:class:`HQS` whose iteration ``k`` has the prior and the rho number ``k``, and the last of them beyond.

    Made to be trained end to end, with ``differentiate="checkpoint"`` (Gregor & LeCun, ICML 2010; for inverse
    problems: Aggarwal et al., IEEE TMI 38, 2019). As the parameters are stacked, the loop compiles as fast as
    with shared ones.

    prior: every leaf has the iterations first, see :meth:`create`
    rho: (iterations,), relative to ``norm(A)^2 = 1``
    cg_iterations, closing, first_iterations: as in :class:`HQS`
    """

    prior: Any
    rho: Any
    cg_iterations: int = dataclasses.field(default=5, metadata={"static": True})
    closing: float = dataclasses.field(default=CLOSING, metadata={"static": True})
    first_iterations: int | None = dataclasses.field(default=None, metadata={"static": True})

    @classmethod
    def create(cls, prior, rho, iterations: int, **settings) -> Unrolled:
        """``iterations`` copies of a prior and a rho, to be trained apart."""
        copies = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a)[None], iterations, axis=0), prior)
        return cls(copies, jnp.full(iterations, rho), **settings)

    @classmethod
    def take_up(cls, state: HQSState, rho, k) -> UnrolledState:
        """Where a loop of :class:`HQS` with ``rho`` is after ``k`` iterations."""
        return UnrolledState(state.x, state.z, state.gradient * rho, state.residual, state.change, k)

    def leave(self, state: UnrolledState) -> HQSState:
        """The same place in a loop of :class:`HQS` with the next iteration's rho."""
        gradient = state.gradient / self.rho_at(state.k)
        return HQSState(state.x, state.z, gradient, state.residual, state.change)

    def init(self, problem: Problem, x0) -> UnrolledState:
        k = jnp.array(0)
        return self.take_up(self._at(k).init(problem, x0), self.rho_at(k), k)

    def step(self, problem: Problem, state: UnrolledState) -> UnrolledState:
        done = self._at(state.k).step(problem, self.leave(state))
        return self.take_up(done, self.rho_at(state.k), state.k + 1)

    def accept(self, problem: Problem, state: UnrolledState, z) -> UnrolledState:
        """The state with the data step towards ``z (ny, nx)`` instead, see :meth:`HQS.accept`."""
        done = self._at(state.k).accept(problem, self.leave(state), z)
        return self.take_up(done, self.rho_at(state.k), state.k)

    def finish(self, problem: Problem, state: UnrolledState):
        return self._at(state.k - 1).finish(problem, self.leave(state))

    def rho_at(self, k):
        """Of iteration ``k``."""
        return _number(self.rho, self._index(k))

    def _index(self, k):
        return jnp.minimum(k, jnp.size(self.rho) - 1)

    def _at(self, k) -> HQS:
        prior = jax.tree.map(lambda a: _number(a, self._index(k)), self.prior)
        first = self.first_iterations
        return HQS(prior, self.rho_at(k), self.cg_iterations, self.closing, first_iterations=first)


def loop_of(prior, rho, **settings) -> HQS | Unrolled:
    """The loop of a prior: :class:`HQS` with ``rho``, or what an unrolled prior was trained in, with its own;
    ``settings`` of either."""
    if isinstance(prior, UnrolledPrior):
        return Unrolled(prior.prior, prior.rho, **settings)
    return HQS(prior, rho, **settings)


def _number(stacked, k):
    return jax.lax.dynamic_index_in_dim(jnp.asarray(stacked), k, keepdims=False)
