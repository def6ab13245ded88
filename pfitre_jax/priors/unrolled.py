"""A prior that was trained through the loop with a rho, and perhaps with weights, for each iteration."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.interfaces import Card, Prior, PriorInfo


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledPrior(Prior):
    """What :class:`pfitre_jax.solvers.unrolled.Unrolled` iterates with, as one prior that a file holds.

    prior: a :class:`pfitre_jax.priors.network.NetworkPrior` whose every leaf has the iterations first
    rho: (iterations,), relative to ``norm(A)^2 = 1``; of a single one, weights and rho are shared by all
        iterations
    """

    prior: Any
    rho: Any

    @property
    def info(self) -> PriorInfo:
        """That of the network, with the strengths and the number of iterations of its training."""
        info = self.prior.info
        return dataclasses.replace(info, alternates=False, rho=self.rho, iterations=self.iterations)

    def at(self, iteration: Array | int) -> Prior:
        """The network of one iteration; beyond the last iteration, that of the last."""
        index = jnp.minimum(iteration, jnp.size(self.rho) - 1)
        return jax.tree.map(
            lambda leaf: jax.lax.dynamic_index_in_dim(jnp.asarray(leaf), index, keepdims=False), self.prior
        )

    @property
    def card(self) -> Card:
        """What is known of the weights."""
        return self.prior.card

    @property
    def first_iterations(self) -> int:
        """As of the prior inside."""
        return self.prior.first_iterations

    @property
    def reach(self) -> int:
        """As of the prior inside."""
        return self.prior.reach

    @property
    def iterations(self) -> int | None:
        """How many iterations it was made for; ``None``: any number, they share weights and rho."""
        return None if self.rho.shape[0] == 1 else self.rho.shape[0]

    def denoise(self, v, *, correction, wedge, rho):
        """The image (ny, nx) that the last of its networks proposes, see :meth:`NetworkPrior.denoise`."""
        last = jax.tree.map(lambda a: a[-1], self.prior)
        return last.denoise(v, correction=correction, wedge=wedge, rho=rho)
