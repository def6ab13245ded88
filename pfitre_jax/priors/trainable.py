"""Interface of the priors whose network can be trained."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pfitre_jax.interfaces import Prior
from pfitre_jax.models.networks import NetworkConfig
from pfitre_jax.priors.network import NetworkPrior


@runtime_checkable
class TrainablePrior(Prior, Protocol):
    """A prior that consists of a network, and possibly of a strength ``rho`` for each iteration.

    ``info.rho`` is None where the network serves any ``rho``. Otherwise every parameter of :attr:`network`
    has a leading axis of iterations.
    """

    @property
    def network(self) -> NetworkPrior:
        """The network, or the networks of all iterations, stacked."""
        ...

    def extend(self, config: NetworkConfig) -> TrainablePrior:
        """Returns the same prior with a larger network, see :meth:`NetworkPrior.extend`."""
        ...

    def with_card(self, card: dict) -> TrainablePrior:
        """Returns the same prior with another model card."""
        ...
