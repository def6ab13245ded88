"""A stage that moves while a probe scans a view row by row: shifts of each row in each view."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def draw_line_ramps(key: Array, rows: int, views: int, rms: Array | float) -> Float[Array, "rows views"]:
    """Shifts of each row in each view, bins, of a stage that drifts steadily.

    Within a view the shifts are a straight line with mean 0; its slope is normal and drawn for each view.
    """
    time = jnp.arange(rows) - (rows - 1) / 2
    time = time / jnp.maximum(jnp.sqrt(jnp.mean(time**2)), 1e-6)
    return rms * time[:, None] * jax.random.normal(key, (1, views))


def draw_line_walks(key: Array, rows: int, views: int, rms: Array | float) -> Float[Array, "rows views"]:
    """Shifts of each row in each view, bins, of a stage whose position is a random walk from row to row.

    Within a view the shifts have mean 0. ``R`` unit steps are on average ``sqrt((R - 1/R) / 6)`` rms about
    their mean.
    """
    walks = jnp.cumsum(jax.random.normal(key, (rows, views)), axis=0)
    size = jnp.sqrt(max(rows - 1 / rows, 1e-6) / 6)
    return rms * (walks - jnp.mean(walks, axis=0, keepdims=True)) / size


def _line_drift(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.line_shifted(draw_line_ramps(key, len(scan.images), scan.geometry.views, strength))


def _line_walk(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.line_shifted(draw_line_walks(key, len(scan.images), scan.geometry.views, strength))


LINE_DRIFT = Artifact(
    name="line_drift",
    number=20,
    stage=Stage.GEOMETRY,
    apply=_line_drift,
    help="steady drift of the stage along the columns within each view",
    unit="bins rms",
    needs_rows=True,
    gallery=2.0,
)
LINE_WALK = Artifact(
    name="line_walk",
    number=21,
    stage=Stage.GEOMETRY,
    apply=_line_walk,
    help="random walk of the stage along the columns within each view",
    unit="bins rms",
    needs_rows=True,
    gallery=2.0,
)
