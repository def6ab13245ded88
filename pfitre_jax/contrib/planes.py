"""The network of single images on two planes of a volume, and a mean of what it adds in each."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, Prior, PriorInfo
from pfitre_jax.priors import wedge_frame as frame
from pfitre_jax.priors.network import NetworkPrior

#: Neighbours to each side that a row is shown with to be asked what the prior makes of it.
NEIGHBOURS = 8
#: Rows that the outermost ones go on for in the other plane, that no air begins at its ends.
BEYOND = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Planes(Prior):
    """``v + (1 - w) N(v in the plane of each row) + w N(v in the plane of the rows and the wedge)``.

    In both planes edges across the axis that the wedge lies about are weak, and the others are there. In the
    plane of the rows that is not quite a wedge: the network is less at home in it.

    prior: sees single images, in the frame of the wedge
    weight: ``w``, from 0 to 1; static

    Raises ``ValueError`` for a prior that is another, sees neighbours or does not turn images, or for another
    weight.
    """

    prior: NetworkPrior
    weight: float = dataclasses.field(default=0.25, metadata={"static": True})

    def __post_init__(self):
        if not isinstance(self.prior, NetworkPrior):
            # JAX puts what it likes in the place of a prior; only a prior denoises.
            if hasattr(self.prior, "denoise"):
                raise ValueError(
                    f"the prior is {type(self.prior).__name__}; expected a NetworkPrior, the same in every "
                    "iteration"
                )
            return
        if self.prior.reach or not self.prior.config.turned:
            raise ValueError(
                f"the prior sees {self.prior.reach} neighbouring rows, turned is {self.prior.config.turned}; "
                "expected one of single images that works in the frame of the wedge"
            )
        if not 0 <= self.weight <= 1:
            raise ValueError(f"the weight of the other plane is {self.weight}; expected 0 to 1")

    @property
    def info(self) -> PriorInfo:
        """That of the network, with the rows of the other plane."""
        return dataclasses.replace(self.prior.info, reach=NEIGHBOURS, card=self.card)

    def at(self, iteration: Array | int) -> Planes:
        """The prior of one iteration: one mirror image of the network in both planes, if it is symmetric."""
        return dataclasses.replace(self, prior=self.prior.at(iteration))

    @property
    def card(self) -> Card:
        """As of the prior inside, but that how far the network agrees with itself was found on one plane."""
        card = {name: value for name, value in self.prior.card.items() if name != "disagreement"}
        name = f"{card.get('name', '')}, two planes, {self.weight:g}".lstrip(", ")
        return Card(card | {"name": name})

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
        self, v: Float[Array, "*rows ny nx"], *, correction: Float[Array, "*rows ny nx"], wedge: Wedge, rho
    ) -> Float[Array, "*rows ny nx"]:
        """See :meth:`pfitre_jax.priors.network.NetworkPrior.denoise`; a single image has one plane."""
        if v.ndim == 2:
            return self.prior.denoise(v, correction=correction, wedge=wedge, rho=rho)
        turn = frame.turn_to_wedge(wedge)
        channels = (v, correction)[: self.prior.config.in_channels]
        images = jnp.stack([frame.into(turn, channel) for channel in channels], axis=-1)
        own = self.prior.added(images, wedge, rho)
        rows = len(images)
        longer = jnp.pad(images, ((BEYOND,) * 2, *[(0, 0)] * 3), mode="edge")
        across = jnp.swapaxes(self.prior.added(jnp.swapaxes(longer, 0, 1), wedge, rho), 0, 1)
        across = across[BEYOND : BEYOND + rows]
        added = (1 - self.weight) * own + self.weight * across
        return v + frame.back(turn, added, v.shape[1:])
