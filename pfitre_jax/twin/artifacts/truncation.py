"""Views in which the sample leaves the field of view."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def narrow_field(key: Array, views: int, columns: int, share: Array | float) -> Float[Array, "views columns"]:
    """Mask of a scan in which some views leave the field of view; 0 for missing bins, else 1.

    A run of neighbouring views, a quarter of them on average, loses ``share`` of the columns at one side.
    """
    key_side, key_start, key_length = jax.random.split(key, 3)
    length = jax.random.uniform(key_length, maxval=0.5) * views
    start = jax.random.uniform(key_start) * views
    view, column = jnp.arange(views), jnp.arange(columns)
    column = jnp.where(jax.random.uniform(key_side) < 0.5, column, column[::-1])
    lost = ((view >= start) & (view < start + length))[:, None] & (column < share * columns)[None, :]
    return 1.0 - lost


def _truncation(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(mask=scan.mask * narrow_field(key, scan.mask.shape[0], scan.mask.shape[1], strength))


TRUNCATION = Artifact(
    name="truncation",
    number=16,
    stage=Stage.DETECTOR,
    apply=_truncation,
    help="columns missing at one side in a run of views; the mask excludes them",
    unit="share of the columns",
    largest=1.0,
    gallery=0.3,
    evaluation=0.075,
)
