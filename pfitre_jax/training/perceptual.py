"""The perceptual loss: a distance between the features of a frozen network."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.models import unet, vgg
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors.files import pretrained
from pfitre_jax.priors.network import condition

_TINY = 1e-8


@dataclasses.dataclass(frozen=True)
class Perceptual:
    """Whose features the perceptual loss compares.

    prior: name or file of a prior, whose encoder is taken; vgg: file of VGG weights instead, see
        :mod:`pfitre_jax.models.vgg`
    """

    prior: str = "circuits"
    vgg: str = ""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Features:
    """A frozen network; a pytree, so that a jitted step takes its weights as an argument.

    params: of a prior's U-Net, or the blocks of a VGG
    config: layout of the U-Net, ``None`` for a VGG; static
    """

    params: Any
    config: UNetConfig | None = dataclasses.field(metadata={"static": True})

    def __call__(self, image: Float[Array, "ny nx"]) -> tuple[Array, ...]:
        """Maps ``(ny, nx, channels)``, each half as large as the one before.

        A prior is told a wedge of 75 degrees about 0, rho 0.01, and that the image agrees with the data.
        """
        if self.config is None:
            return vgg.features(self.params, image)
        channels = [image, jnp.zeros_like(image)][: self.config.in_channels]
        told = condition(np.deg2rad(75.0), 0.01, None if self.config.turned else 0.0)
        told = self.config.conditioned * told.astype(image.dtype)
        return unet.features(self.config, self.params, jnp.stack(channels, axis=-1), told)


def load_features(settings: Perceptual) -> Features:
    """The network of the settings; the errors of its loader, ``ValueError`` for a prior of volumes."""
    if settings.vgg:
        return Features(vgg.load(settings.vgg), None)
    prior = pretrained(settings.prior)
    if prior.reach:
        raise ValueError(
            f"the perceptual prior {settings.prior} sees neighbouring rows; expected one of single images"
        )
    return Features(prior.params, prior.config)


def distance(frozen: Features, image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """Mean over slices, levels and pixels of ``|f/|f| - g/|g||^2``, ``f`` and ``g`` the channels of a pixel.

    Between 0 and 4: every level counts the same, however large its features are (Zhang et al., CVPR 2018,
    without their learned weights).
    """
    unit = lambda f: f / jnp.sqrt(jnp.sum(f**2, axis=-1, keepdims=True) + _TINY)  # noqa: E731

    def one(a, b):
        pairs = zip(frozen(a), frozen(b), strict=True)
        return jnp.mean(jnp.stack([jnp.mean(jnp.sum((unit(f) - unit(g)) ** 2, axis=-1)) for f, g in pairs]))

    return jnp.mean(jax.vmap(one)(image, truth))
