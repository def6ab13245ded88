"""The network of single images on two planes of a volume, and a mean of what it adds in each."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.priors import frame
from pfitre_jax.priors.network import Card, NetworkPrior

#: Neighbours to each side that a row is shown with to be asked what the prior makes of it: the more, the more
#: is there to see of the other plane.
NEIGHBOURS = 8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Planes:
    """``v + (1 - w) N(v in the plane of each row) + w N(v in the plane of the rows and the wedge)``.

    The wedge lacks frequencies about one axis, in the plane of a row and just so in the plane of the rows and
    that axis: a network of single images is at home in the one and not far from it in the other. The third
    plane lacks nothing.

    prior: sees single images, in the frame of the wedge
    weight: ``w``, from 0 to 1; static

    Raises ``ValueError`` for a prior that sees neighbours or does not turn images, or for another weight.
    """

    prior: NetworkPrior
    weight: float = dataclasses.field(default=0.25, metadata={"static": True})

    def __post_init__(self):
        if not isinstance(self.prior, NetworkPrior):
            return
        if self.prior.reach or not self.prior.config.turned:
            raise ValueError(
                f"the prior sees {self.prior.reach} neighbouring rows, turned is {self.prior.config.turned}; "
                "expected one of single images that works in the frame of the wedge"
            )
        if not 0 <= self.weight <= 1:
            raise ValueError(f"the weight of the other plane is {self.weight}; expected 0 to 1")

    @property
    def card(self) -> Card:
        """As of the prior inside."""
        return self.prior.card

    @property
    def first_iterations(self) -> int:
        """As of the prior inside."""
        return self.prior.first_iterations

    @property
    def symmetric(self) -> bool:
        """As of the prior inside."""
        return self.prior.symmetric

    @property
    def reach(self) -> int:
        """Neighbours that a row is shown with; the network itself would look further."""
        return NEIGHBOURS

    def mirrored(self, k) -> Planes:
        """As of the prior inside."""
        return dataclasses.replace(self, prior=self.prior.mirrored(k))

    def denoise(
        self, v: Float[Array, "*rows ny nx"], *, gradient: Float[Array, "*rows ny nx"], wedge: Wedge, rho
    ) -> Float[Array, "*rows ny nx"]:
        """See :meth:`pfitre_jax.priors.network.NetworkPrior.denoise`; a single image has one plane."""
        if v.ndim == 2:
            return self.prior.denoise(v, gradient=gradient, wedge=wedge, rho=rho)
        turn = frame.turn_to_wedge(wedge)
        channels = (v, gradient)[: self.prior.config.in_channels]
        images = jnp.stack([frame.into(turn, channel) for channel in channels], axis=-1)
        own = self.prior.added(images, wedge, rho)
        across = jnp.swapaxes(self.prior.added(jnp.swapaxes(images, 0, 1), wedge, rho), 0, 1)
        added = (1 - self.weight) * own + self.weight * across
        return v + frame.back(turn, added, v.shape[1:])
