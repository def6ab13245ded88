"""Views that are missing within the measured range."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def draw_missing(key: Array, views: int, share: Array | float) -> Float[Array, " views"]:
    """Returns 0 for each missing view and 1 for the others.

    Single views are missing or, equally likely, one run of views. The first and the last view stay, so that
    the missing wedge does not change.

    Args:
        key: Random key.
        views: Number of views.
        share: (), share of the inner views that are missing.
    """
    k_run, k_begin, k_views = jax.random.split(key, 3)
    inner = views - 2
    number = jnp.arange(views) - 1
    single = jax.random.uniform(k_views, (views,)) < share
    length = jnp.round(share * inner)
    begin = jnp.round(jax.random.uniform(k_begin) * (inner - length))
    run = (number >= begin) & (number < begin + length)
    missing = jnp.where(jax.random.uniform(k_run) < 0.5, run, single) & (number >= 0) & (number < inner)
    return 1.0 - missing


def _missing_views(key: Array, scan: Exposure, strength) -> Exposure:
    measured = draw_missing(key, scan.geometry.views, strength).astype(scan.mask.dtype)[:, None]
    return scan.replace(sinograms=scan.sinograms * measured[None], mask=scan.mask * measured)


MISSING_VIEWS = Artifact(
    name="missing_views",
    number=22,
    stage=Stage.PROCESSING,
    apply=_missing_views,
    help="views missing within the measured range, single ones or a run; the mask excludes them",
    unit="share of the views",
    largest=0.9,
    gallery=0.3,
)
