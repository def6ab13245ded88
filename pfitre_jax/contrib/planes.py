"""A 2D network applied to two planes of a volume: the rows, and the plane of the rows' axis and the wedge."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, Prior, PriorInfo
from pfitre_jax.priors import wedge_frame as frame
from pfitre_jax.priors.network import NetworkPrior

#: Neighbouring rows on each side that a row is shown with where the prior is applied to single rows.
NEIGHBOURS = 8
#: Copies of the outermost rows that pad the other plane at its ends, so that no air begins there.
PADDING = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Planes(Prior):
    """``v + (1 - w) f(v in the plane of each row) + w f(v in the plane of rows and wedge)``.

    ``f`` is the network's update. In both planes, edges across the axis of the wedge are weak and the others
    are measured. In the plane of rows and wedge the missing frequencies are not exactly a wedge, so that the
    network was not trained on such images. The prior makes neighbouring rows agree; on the volumes that were
    measured it improved nothing else (docs/measurements/volume.md).

    Attributes:
        prior: Network of single images that rotates them into the frame of the wedge.
        weight: Weight ``w`` of the other plane, 0 to 1; static.

    Raises:
        ValueError: For a weight outside of 0 to 1. :meth:`denoise` raises it for another kind of prior.
    """

    prior: NetworkPrior
    weight: float = dataclasses.field(default=0.25, metadata={"static": True})

    def __post_init__(self):
        if not 0 <= self.weight <= 1:
            raise ValueError(f"the weight of the other plane is {self.weight}; expected 0 to 1")

    @property
    def info(self) -> PriorInfo:
        """That of the network, with the rows of the other plane.

        The card loses the limit of disagreement, which was measured on single rows.
        """
        info = self.prior.info
        card = {name: value for name, value in info.card.items() if name != "disagreement"}
        card["name"] = f"{card.get('name', '')}, two planes, {self.weight:g}".lstrip(", ")
        return dataclasses.replace(info, reach=NEIGHBOURS, card=Card(card))

    def at(self, iteration: Array | int) -> Planes:
        """The prior of one iteration: one mirror image of the network in both planes, if it is symmetric."""
        return dataclasses.replace(self, prior=self.prior.at(iteration))

    def denoise(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The proposed volume; a single image has one plane. See :meth:`NetworkPrior.denoise`."""
        self._check_prior()
        if v.ndim == 2:
            return self.prior.denoise(v, correction=correction, wedge=wedge, rho=rho)
        rotation = frame.rotation_to_wedge(wedge)
        channels = (v, correction)[: self.prior.config.in_channels]
        images = jnp.stack([frame.rotate_into(rotation, channel) for channel in channels], axis=-1)
        in_rows = self.prior.predict_update(images, wedge, rho)
        padded = jnp.pad(images, ((PADDING, PADDING), *[(0, 0)] * 3), mode="edge")
        across = self.prior.predict_update(jnp.swapaxes(padded, 0, 1), wedge, rho)
        across = jnp.swapaxes(across, 0, 1)[PADDING : PADDING + len(images)]
        update = (1 - self.weight) * in_rows + self.weight * across
        return v + frame.rotate_back(rotation, update, v.shape[1:])

    def _check_prior(self) -> None:
        info = self.prior.info
        if info.rho is not None or info.reach or not self.prior.config.turned:
            raise ValueError(
                f"the prior is {type(self.prior).__name__} and sees {info.reach} neighbouring rows; expected "
                "a NetworkPrior of single images with turned = true"
            )
