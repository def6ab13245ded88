"""A prior that was trained through the loop with a rho, and perhaps with weights, for each iteration."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax

if TYPE_CHECKING:
    from pfitre_jax.priors.network import Card


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledPrior:
    """What :class:`pfitre_jax.solvers.unrolled.Unrolled` iterates with, as one prior that a file holds.

    prior: a :class:`pfitre_jax.priors.network.NetworkPrior` whose every leaf has the iterations first
    rho: (iterations,), relative to ``norm(A)^2 = 1``; of a single one, weights and rho are shared by all
        iterations
    """

    prior: Any
    rho: Any

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
