"""Noise of each bin, drawn for each slice: Gaussian, and Poisson of an emission measurement."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def add_noise(
    key: Array, sinogram: Float[Array, "views columns"], level: Array | float
) -> Float[Array, "views columns"]:
    """Gaussian noise of standard deviation ``level * max(sinogram)`` in every bin."""
    return sinogram + level * jnp.max(sinogram) * jax.random.normal(key, sinogram.shape, sinogram.dtype)


def count_photons(
    key: Array, sinogram: Float[Array, "views columns"], counts: Array | float
) -> Float[Array, "views columns"]:
    """Poisson counts instead of the signal, as an emission measurement (fluorescence) gives them.

    ``k ~ Poisson(counts * y / max(y))``, converted back to the units of ``y``: the mean stays, and the
    variance in counts is the mean. Negative values count as 0.

    Args:
        key: Random key.
        sinogram: (views, columns), ``y``.
        counts: (), counts in the brightest bin.
    """
    unit = jnp.max(sinogram) / counts
    unit = jnp.where(unit > 0, unit, 1)
    drawn = jax.random.poisson(key, jnp.maximum(sinogram, 0) / unit, sinogram.shape)
    return drawn.astype(sinogram.dtype) * unit


def _of_each_slice(function: Callable, key: Array, scan: Exposure, strength) -> Exposure:
    keys = jax.random.split(key, len(scan.sinograms))
    return scan.replace(sinograms=jax.vmap(function, (0, 0, None))(keys, scan.sinograms, strength))


def _counts(key: Array, scan: Exposure, strength) -> Exposure:
    return _of_each_slice(count_photons, key, scan, strength)


def _noise(key: Array, scan: Exposure, strength) -> Exposure:
    return _of_each_slice(add_noise, key, scan, strength).replace(noise=strength)


COUNTS = Artifact(
    name="counts",
    number=1,
    stage=Stage.NOISE,
    apply=_counts,
    help="Poisson noise of emission counts, before the Gaussian noise",
    unit="counts in the brightest bin",
    always=True,
    gallery=60.0,
    evaluation=10000.0,
)
NOISE = Artifact(
    name="noise",
    number=0,
    stage=Stage.NOISE,
    apply=_noise,
    help="Gaussian noise",
    unit="standard deviation over the maximum of the sinogram",
    default=(0.003, 0.05),
    always=True,
    gallery=0.04,
)
