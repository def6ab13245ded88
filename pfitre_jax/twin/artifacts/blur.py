"""Blur of the detector or the beam."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.signal import convolve
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage

#: Taps of the kernel to each side.
_REACH = 6


def blur(
    sinogram: Float[Array, "*slices views columns"], sigma: Array | float
) -> Float[Array, "*slices views columns"]:
    """A Gaussian point spread of ``sigma`` bins along the columns; edge values continue beyond the edge."""
    taps = jnp.arange(-_REACH, _REACH + 1)
    sigma = jnp.maximum(sigma, 1e-3)
    kernel = jnp.exp(-(taps**2) / (2 * sigma**2))
    kernel = (kernel / jnp.sum(kernel)).astype(sinogram.dtype)
    flat = sinogram.reshape(-1, sinogram.shape[-1])
    padded = jnp.pad(flat, ((0, 0), (_REACH, _REACH)), mode="edge")
    return jax.vmap(lambda line: convolve(line, kernel, mode="valid"))(padded).reshape(sinogram.shape)


def _blur(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=blur(scan.sinograms, strength))


BLUR = Artifact(
    name="blur",
    number=11,
    stage=Stage.SIGNAL,
    apply=_blur,
    help="Gaussian point spread along the columns",
    unit="bins, standard deviation",
    gallery=2.0,
    evaluation=0.5,
)
