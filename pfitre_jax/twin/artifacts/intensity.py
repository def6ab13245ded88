"""Intensity of whole views: gain errors, and normalisation to equal sums."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def apply_gain(
    key: Array, sinogram: Float[Array, "*slices views columns"], rms: Array | float
) -> Float[Array, "*slices views columns"]:
    """Each view times ``1 + rms * normal``, the same in all slices."""
    shape = (*(1 for _ in sinogram.shape[:-2]), sinogram.shape[-2], 1)
    return sinogram * (1 + rms * jax.random.normal(key, shape, sinogram.dtype))


def equalise(sinogram: Float[Array, "*slices views columns"]) -> Float[Array, "*slices views columns"]:
    """Each view of each slice scaled to the mean sum of the views, as some pipelines normalise.

    This is right for a whole sample that is seen from all sides, and wrong under roll, truncation and
    absorption.
    """
    sums = jnp.sum(sinogram, axis=-1, keepdims=True)
    mean = jnp.mean(sums, axis=-2, keepdims=True)
    return sinogram * jnp.where(sums > 0, mean / jnp.where(sums > 0, sums, 1), 1)


def _gain(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=apply_gain(key, scan.sinograms, strength))


def _equalised(key: Array, scan: Exposure, strength) -> Exposure:
    equal = equalise(scan.sinograms * scan.mask[None])
    return scan.replace(sinograms=jnp.where(strength > 0, equal, scan.sinograms))


GAIN = Artifact(
    name="gain",
    number=2,
    stage=Stage.SIGNAL,
    apply=_gain,
    help="gain errors of the views",
    unit="rms",
    default=(0.0, 0.05),
    gallery=0.15,
    evaluation=0.03,
)
EQUALISED = Artifact(
    name="equalised",
    number=3,
    stage=Stage.PROCESSING,
    apply=_equalised,
    help="views scaled to the same sum; any strength above 0 is the same",
    unit="0 or 1",
    largest=1.0,
    gallery=1.0,
    # A scan in which every view shows the whole sample has equal sums already.
    gallery_with="truncation",
    evaluation=1.0,
)
