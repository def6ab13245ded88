"""Detector columns and bins that read wrong values: stripes, dead and hot columns, zingers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage

Sinogram = Float[Array, "*slices views columns"]


def add_stripes(key: Array, sinogram: Sinogram, rms: Array | float) -> Sinogram:
    """An offset of each column, the same in all views and slices, of standard deviation ``rms * max(y)``."""
    offsets = jax.random.normal(key, sinogram.shape[-1:], sinogram.dtype)
    return sinogram + rms * jnp.max(sinogram) * jnp.broadcast_to(offsets, sinogram.shape)


def kill_columns(key: Array, sinogram: Sinogram, share: Array | float) -> Sinogram:
    """Each column is dead, 0 in all views and slices, with probability ``share``."""
    alive = jax.random.uniform(key, sinogram.shape[-1:]) >= share
    return sinogram * jnp.broadcast_to(alive, sinogram.shape)


def heat_columns(key: Array, sinogram: Sinogram, share: Array | float) -> Sinogram:
    """Each column is hot, at the largest value in all views and slices, with probability ``share``."""
    hot = jax.random.uniform(key, sinogram.shape[-1:]) < share
    return jnp.where(jnp.broadcast_to(hot, sinogram.shape), jnp.max(sinogram), sinogram)


def add_zingers(key: Array, sinogram: Sinogram, share: Array | float) -> Sinogram:
    """Each bin is hit with probability ``share``: one to three times the largest value is added."""
    key_which, key_size = jax.random.split(key)
    hit = jax.random.uniform(key_which, sinogram.shape) < share
    size = jax.random.uniform(key_size, sinogram.shape, sinogram.dtype, 1.0, 3.0)
    return sinogram + hit * size * jnp.max(sinogram)


def _stripes(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=add_stripes(key, scan.sinograms, strength))


def _hot(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=heat_columns(key, scan.sinograms, strength))


def _dead(key: Array, scan: Exposure, strength) -> Exposure:
    # Any preprocessing detects a column that is always 0, so the mask excludes it.
    return scan.replace(
        sinograms=kill_columns(key, scan.sinograms, strength), mask=kill_columns(key, scan.mask, strength)
    )


def _zingers(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=add_zingers(key, scan.sinograms, strength))


STRIPES = Artifact(
    name="stripes",
    number=12,
    stage=Stage.DETECTOR,
    apply=_stripes,
    help="constant offsets of the columns",
    unit="rms over the maximum of the scan",
    gallery=0.05,
    evaluation=0.01,
)
HOT = Artifact(
    name="hot",
    number=14,
    stage=Stage.DETECTOR,
    apply=_hot,
    help="columns that read the largest value",
    unit="share of the columns",
    largest=1.0,
    gallery=0.03,
    evaluation=0.02,
)
DEAD = Artifact(
    name="dead",
    number=13,
    stage=Stage.DETECTOR,
    apply=_dead,
    help="columns that read 0; the mask excludes them",
    unit="share of the columns",
    largest=1.0,
    gallery=0.03,
    evaluation=0.02,
)
ZINGERS = Artifact(
    name="zingers",
    number=15,
    stage=Stage.DETECTOR,
    apply=_zingers,
    help="single bins that read far too high",
    unit="share of the bins",
    largest=1.0,
    gallery=0.005,
    evaluation=0.001,
)
