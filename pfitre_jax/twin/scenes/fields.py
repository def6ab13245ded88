"""Gaussian random fields with a given spectrum."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.drawing import to_local_frame


def gaussian_field(
    noise: Float[Array, "nodes nodes"], n: int, gain: Callable[[Array, Array], Array]
) -> Float[Array, "n n"]:
    """Returns a periodic Gaussian field of standard deviation 1, interpolated from ``nodes`` to ``n`` pixels.

    Args:
        noise: (nodes, nodes), independent standard normal numbers; ``nodes`` is even.
        n: Width, pixels.
        gain: ``gain(kx, ky)`` returns the amplitude of each wave, periods in the field; 0 at ``kx = ky = 0``.
    """
    nodes = noise.shape[0]
    k = jnp.fft.fftfreq(nodes) * nodes
    kx, ky = jnp.meshgrid(k[: nodes // 2 + 1].at[-1].multiply(-1.0), k)
    field = jnp.fft.irfft2(jnp.fft.rfft2(noise) * gain(kx, ky), s=noise.shape)
    field = field / (jnp.std(field) + 1e-6)
    return jax.image.resize(field, (n, n), "cubic", antialias=False)


def ring_spectrum(
    periods: Array | float, angle: Array | float = 0.0, aspect: Array | float = 1.0, band: float = 0.3
) -> Callable[[Array, Array], Array]:
    """Returns the gain of a field whose structures have one size: ``exp(-(q - periods)^2 / (2 s^2))``.

    ``q`` is the wave number and ``s = band * periods``. The lines where such a field is 0 are about
    ``1 / (2 periods)`` apart.

    Args:
        periods: (), periods in the field.
        angle: (), direction along which structures are elongated, in units of pi.
        aspect: (), their elongation.
        band: Relative width of the ring.
    """

    def gain(kx: Array, ky: Array) -> Array:
        ka, kb = to_local_frame(kx, ky, jnp.stack([0.5, 0.5, jnp.asarray(angle, jnp.float32)]))
        q = jnp.sqrt((ka * aspect) ** 2 + kb**2)
        return jnp.exp(-0.5 * ((q - periods) / (band * periods)) ** 2) * (kx**2 + ky**2 > 0)

    return gain


def distance_to_level(
    field: Float[Array, "n n"], level: Array | float, size: Array | float
) -> Float[Array, "n n"]:
    """Returns the approximate signed distance to the line ``field = level``: ``(field - level) / |grad|``.

    Args:
        field: (n, n), values of order 1.
        level: () or (n, n).
        size: (), size of the field's structures; bounds the distance where the gradient is 0.
    """
    gy, gx = jnp.gradient(field, 1.0 / field.shape[0])
    return (field - level) / (jnp.sqrt(gx**2 + gy**2) + 0.05 / size)
