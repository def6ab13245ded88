"""A learned prior that looks at the field of view alone, in images that go beyond it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.priors.unrolled import UnrolledPrior

#: What lies outside is blurred by this, along rows and columns.
BLUR = np.array([1, 4, 6, 4, 1], np.float32) / 16
#: Pixels inside the window's edge over which the one goes over into the other.
TAPER = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Windowed(Prior):
    """``w prior(v) + (1 - w) blur(v)``, ``w`` 1 inside a square about the middle and 0 outside.

    Pixels beyond the field of view take up what truncated rays bring along; few rays pass each, and there is
    nothing for a network to recognise, which costs as much there as anywhere else.

    prior: works on the window alone; its other properties are this one's
    side: pixels on a side of the window, static; at least the image's: the prior as it is
    """

    prior: Any
    side: int = dataclasses.field(metadata={"static": True})

    @property
    def info(self) -> PriorInfo:
        """That of the prior inside the window."""
        return self.prior.info

    def at(self, iteration: Array | int) -> Windowed:
        """The prior of one iteration, in the same window."""
        return dataclasses.replace(self, prior=self.prior.at(iteration))

    def __getattr__(self, name: str):
        if name in ("card", "first_iterations", "reach", "symmetric"):
            return getattr(self.prior, name)
        raise AttributeError(name)

    def mirrored(self, k) -> Windowed:
        """As of the prior inside."""
        return dataclasses.replace(self, prior=self.prior.mirrored(k))

    def denoise(
        self, v: Float[Array, "*rows ny nx"], *, correction: Float[Array, "*rows ny nx"], wedge: Wedge, rho
    ) -> Float[Array, "*rows ny nx"]:
        """See :meth:`pfitre_jax.priors.network.NetworkPrior.denoise`."""
        top, left = (max(n - self.side, 0) // 2 for n in v.shape[-2:])
        inner = (..., slice(top, v.shape[-2] - top), slice(left, v.shape[-1] - left))
        proposed = self.prior.denoise(v[inner], correction=correction[inner], wedge=wedge, rho=rho)
        weight = _ramp(v.shape[-2], top)[:, None] * _ramp(v.shape[-1], left)
        weight = jnp.broadcast_to(weight.astype(v.dtype), v.shape)
        outside = _blurred(v)
        return outside.at[inner].add(weight[inner] * (proposed - outside[inner]))


def within(prior, side: int):
    """The prior in a window of so many pixels on a side; an unrolled one in each of its iterations."""
    if isinstance(prior, UnrolledPrior):
        return dataclasses.replace(prior, prior=Windowed(prior.prior, side))
    return Windowed(prior, side)


def _ramp(n: int, margin: int) -> np.ndarray:
    """(n,): 0 to 1 over the taper within the margins; 1 throughout where there are none."""
    inside = np.minimum(np.arange(n), np.arange(n)[::-1]) - margin + 1
    return np.clip(inside / (TAPER + 1), 0, 1) if margin else np.ones(n)


def _blurred(images):
    kernel = BLUR.astype(images.dtype)
    flat = images.reshape(-1, *images.shape[-2:])
    for axis in (1, 2):
        reach = len(kernel) // 2
        padded = jnp.pad(flat, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        n = flat.shape[axis]
        flat = sum(t * jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k, t in enumerate(kernel))
    return flat.reshape(images.shape)
