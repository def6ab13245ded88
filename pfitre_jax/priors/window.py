"""Prior restricted to the field of view, for images that extend beyond it."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior, PriorInfo

#: Kernel of the blur outside the window, along rows and along columns.
BLUR = np.array([1, 4, 6, 4, 1], np.float32) / 16
#: Width of the transition between prior and blur, in pixels from the edge of the window inwards.
TAPER = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Windowed(Prior):
    """``w prior(v) + (1 - w) blur(v)``, with ``w`` 1 inside a centred square and 0 outside.

    Pixels beyond the field of view absorb the excess of truncated rays. Few rays cross each of them and they
    show no structure that a network could restore, so that a blur suffices and saves the network's time.

    Attributes:
        prior: The prior, applied to the window alone.
        side: Side of the window in pixels; static. A window as large as the image leaves the prior unchanged.
        image_side: Side of the image in which the window has this size; static. An image of fewer, larger
            pixels (a coarser level, see :class:`pfitre_jax.solvers.CoarseToFine`) has a window of the same
            share. None: the window has ``side`` pixels in every image.
    """

    prior: Prior
    side: int = dataclasses.field(metadata={"static": True})
    image_side: int | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def info(self) -> PriorInfo:
        """That of the prior inside the window."""
        return self.prior.info

    def at(self, iteration: Array | int) -> Windowed:
        """The prior of one iteration, in the same window."""
        return dataclasses.replace(self, prior=self.prior.at(iteration))

    def denoise(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The proposal inside the window and the blurred image outside; see :meth:`Prior.denoise`."""
        inside, weight = self._window(v)
        proposal = self.prior.denoise(v[inside], correction=correction[inside], wedge=wedge, rho=rho)
        blurred = _blur(v)
        return blurred.at[inside].add(weight[inside] * (proposal - blurred[inside]))

    @property
    def has_expected_error(self) -> bool:
        """Whether the prior inside the window has :meth:`expected_error`."""
        return self.prior.has_expected_error

    def expected_error(
        self,
        v: Float[Array, "*rows ny nx"],
        *,
        correction: Float[Array, "*rows ny nx"],
        wedge: Wedge,
        rho: Array | float,
    ) -> Float[Array, "*rows ny nx"]:
        """The expected error inside the window; outside, where little is known, the blurred values."""
        inside, weight = self._window(v)
        error = self.prior.expected_error(v[inside], correction=correction[inside], wedge=wedge, rho=rho)
        blurred = _blur(jnp.abs(v))
        return blurred.at[inside].add(weight[inside] * (error - blurred[inside]))

    def _window(self, v: Float[Array, "*rows ny nx"]) -> tuple[tuple, Float[Array, "*rows ny nx"]]:
        """Index of the pixels of the window, and the weight of the prior in every pixel."""
        ny, nx = v.shape[-2:]
        share = 1.0 if self.image_side is None else max(ny, nx) / self.image_side
        side, taper = math.ceil(share * self.side), max(round(share * TAPER), 1)
        top, left = (max(n - side, 0) // 2 for n in (ny, nx))
        inside = (..., slice(top, ny - top), slice(left, nx - left))
        weight = _ramp(ny, top, taper)[:, None] * _ramp(nx, left, taper)
        return inside, jnp.broadcast_to(weight.astype(v.dtype), v.shape)


def _ramp(n: int, margin: int, taper: int) -> np.ndarray:
    """(n,), 0 in the margins, rising to 1 over the taper inside them; 1 throughout without margins."""
    inside = np.minimum(np.arange(n), np.arange(n)[::-1]) - margin + 1
    return np.clip(inside / (taper + 1), 0, 1) if margin else np.ones(n)


def _blur(images: Float[Array, "*rows ny nx"]) -> Float[Array, "*rows ny nx"]:
    kernel = BLUR.astype(images.dtype)
    flat = images.reshape(-1, *images.shape[-2:])
    for axis in (1, 2):
        reach = len(kernel) // 2
        padded = jnp.pad(flat, [(reach, reach) if a == axis else (0, 0) for a in range(3)], mode="edge")
        n = flat.shape[axis]
        flat = sum(t * jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k, t in enumerate(kernel))
    return flat.reshape(images.shape)
