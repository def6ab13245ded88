"""Learned prior that was trained through the loop, with its own strength and parameters in each iteration."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.models.networks import NetworkConfig
from pfitre_jax.priors.network import NetworkPrior


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UnrolledPrior(Prior):
    """A prior and a strength ``rho`` for each iteration.

    The parameters are stacked, so that a loop compiles as fast as with shared ones. Unrolled training:
    ``differentiate="checkpoint"`` of :func:`pfitre_jax.solvers.loop.run`.

    Attributes:
        prior: A prior whose every leaf has a leading axis (iterations, ...).
        rho: (iterations,), prior strengths, relative to ``||A||^2 = 1``. One entry means that all iterations
            share parameters and strength.

    References:
        Gregor & LeCun, Learning fast approximations of sparse coding, ICML 2010.
        Aggarwal, Mani & Jacob, MoDL, IEEE Trans. Med. Imaging 38, 2019.
    """

    prior: NetworkPrior
    rho: Any

    @classmethod
    def create(cls, prior: Any, rho: Any, iterations: int) -> UnrolledPrior:
        """Returns copies of one prior and one strength for each iteration, to be trained separately."""
        copies = jax.tree.map(lambda a: jnp.repeat(jnp.asarray(a)[None], iterations, axis=0), prior)
        return cls(copies, jnp.full(iterations, rho))

    @property
    def info(self) -> PriorInfo:
        """That of the network, with the strengths and the number of iterations of its training."""
        return dataclasses.replace(
            self.prior.info, alternates=False, rho=self.rho, iterations=self.iterations
        )

    @property
    def iterations(self) -> int | None:
        """Number of iterations that it was trained for; ``None`` where all share one prior."""
        return None if self.rho.shape[0] == 1 else self.rho.shape[0]

    @property
    def network(self) -> NetworkPrior:
        """The network priors of all iterations, stacked."""
        return self.prior

    def extend(self, config: NetworkConfig) -> UnrolledPrior:
        """Returns the same prior with larger networks, see :meth:`NetworkPrior.extend`."""
        return dataclasses.replace(self, prior=self.prior.extend(config))

    def with_card(self, card: dict) -> UnrolledPrior:
        """Returns the same prior with another model card."""
        return dataclasses.replace(self, prior=self.prior.with_card(card))

    def at(self, iteration: Array | int) -> Prior:
        """The prior of one iteration; beyond the last iteration, that of the last."""
        index = jnp.minimum(iteration, jnp.size(self.rho) - 1)
        return jax.tree.map(
            lambda leaf: jax.lax.dynamic_index_in_dim(jnp.asarray(leaf), index, keepdims=False), self.prior
        )

    def denoise(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The proposal of the last iteration's prior; see :meth:`Prior.denoise`."""
        return self._last.denoise(v, correction=correction, wedge=wedge, rho=rho)

    def expected_error(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The expected error by the last iteration's prior; see :meth:`NetworkPrior.expected_error`."""
        return self._last.expected_error(v, correction=correction, wedge=wedge, rho=rho)

    @property
    def has_expected_error(self) -> bool:
        """Whether it has :meth:`expected_error`."""
        return self.prior.has_expected_error

    @property
    def _last(self) -> NetworkPrior:
        return jax.tree.map(lambda leaf: leaf[-1], self.prior)
