"""A rotation axis or a stage that moves the rows of a volume scan: roll, and shifts along the axis."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage
from pfitre_jax.twin.artifacts.view_shifts import draw_sign


def move_rows(
    key: Array, volume_scan: Float[Array, "rows views columns"], rms: Array | float
) -> Float[Array, "rows views columns"]:
    """Each view shifted along the rows by ``rms * normal`` bins, as by a stage that jitters along the axis.

    Detector row ``i`` shows row ``i - s``, interpolated linearly. Beyond the first and last row the object
    continues unchanged.
    """
    rows, views, _ = volume_scan.shape
    shifts = rms * jax.random.normal(key, (views,))
    source = jnp.clip(jnp.arange(rows)[:, None] - shifts[None, :], 0, rows - 1)
    below = jnp.clip(jnp.floor(source).astype(jnp.int32), 0, max(rows - 2, 0))
    view, above = jnp.arange(views)[None, :], jnp.minimum(below + 1, rows - 1)
    share = (source - below)[..., None].astype(volume_scan.dtype)
    return (1 - share) * volume_scan[below, view] + share * volume_scan[above, view]


def roll_views(
    volume_scan: Float[Array, "rows views columns"], roll_deg: Array | float
) -> Float[Array, "rows views columns"]:
    """Each view as seen by a detector whose columns are rolled by ``roll_deg`` against the rotation axis.

    ``scipy.ndimage.rotate(projections, +roll_deg, axes=(1, 2), reshape=False)`` of ``(views, rows, columns)``
    corrects it: this is the rotation by ``-roll_deg`` about the middle of the detector, bilinear. Beyond its
    edges the object continues unchanged.
    """
    rows, _, columns = volume_scan.shape
    i = (jnp.arange(rows) - (rows - 1) / 2)[:, None]
    k = (jnp.arange(columns) - (columns - 1) / 2)[None, :]
    angle = jnp.deg2rad(roll_deg)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    source = [(rows - 1) / 2 + cos * i - sin * k, (columns - 1) / 2 + sin * i + cos * k]
    rotate = lambda view: map_coordinates(view, source, order=1, mode="nearest")  # noqa: E731
    return jax.vmap(rotate, 1, 1)(volume_scan)


def _row_shift(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=move_rows(key, scan.sinograms, strength))


def _roll(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.replace(sinograms=roll_views(scan.sinograms, draw_sign(key) * strength))


ROW_SHIFT = Artifact(
    name="row_shift",
    number=19,
    stage=Stage.SIGNAL,
    apply=_row_shift,
    help="independent shifts of the views along the rows",
    unit="bins rms",
    needs_rows=True,
    gallery=2.0,
)
ROLL = Artifact(
    name="roll",
    number=18,
    stage=Stage.SIGNAL,
    apply=_roll,
    help="roll of the rotation axis against the detector columns, either way",
    unit="degrees",
    largest=45.0,
    needs_rows=True,
    gallery=4.0,
)
