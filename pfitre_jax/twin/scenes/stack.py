"""Volumes from single scenes: each scene is a layer, and the rows cut through a tilted stack of layers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.circuits3d import row_heights
from pfitre_jax.twin.scenes.shapes import Draw, coordinates

#: Number of layers of a stack.
LAYERS = 5
#: Largest angle between the layers and the rows.
TILT_DEG = 2.5
#: Cells along a side of the field. Some cells join two layers where both are bright.
CELLS = 40
RANDOM = 4 * LAYERS + CELLS**2 + 20


def stack(
    scene: Callable[..., Float[Array, "n n"]], key: Array, rows: int, n: int, spacing: float
) -> Float[Array, "rows n n"]:
    """Draws one volume from :data:`LAYERS` scenes above each other: (rows, n, n), values in [0, 1].

    A scene fills the height of its layer. The gap between two layers is empty, has posts where both layers
    are bright, or is a blend of the two. A row is the mean over its height.

    Args:
        scene: ``scene(key)`` returns a scene, (n, n).
        key: Random key.
        rows: Number of rows.
        n: Width, pixels.
        spacing: Height of a row, fraction of the field.
    """
    k_scenes, k_stack = jax.random.split(key)
    layers = jax.lax.map(scene, jax.random.split(k_scenes, LAYERS))
    d = Draw(jax.random.uniform(k_stack, (RANDOM,)))
    x, y = coordinates(n)
    slope = d.chance(0.7) * jnp.tan(jnp.deg2rad(TILT_DEG)) * d.uniform()
    towards = 2 * jnp.pi * d.uniform()
    tilted = slope * (x * jnp.cos(towards) + y * jnp.sin(towards))

    thick = d.log(0.02, 0.1) * jnp.exp(0.6 * (d.array(LAYERS) - 0.5))
    gap = thick * d.uniform() * jnp.exp(0.6 * (d.array(LAYERS) - 0.5))
    ends = jnp.cumsum(thick + gap) - gap
    begins = ends - thick
    # The rows lie between the lower surface of the first layer and the upper surface of the last one.
    reach = (rows * spacing + slope) / 2
    low, high = begins[0] + reach, ends[-1] - reach
    middle = jnp.where(high > low, low + (high - low) * d.uniform(), (low + high) / 2)
    # The outermost layers of a stack that is too thin are extended.
    begins, ends = begins.at[0].add(-1.0), ends.at[-1].add(1.0)

    cells = d.array(CELLS, CELLS) < d.log(0.05, 0.6)
    index = lambda t: jnp.clip(((t + 0.5) * CELLS).astype(int), 0, CELLS - 1)  # noqa: E731
    posts, passing = d.chance(0.6) * cells[index(y), index(x)], d.chance(0.3)

    def row(z):
        w = middle + z + tilted

        def share(low, high):
            shared = jnp.minimum(w + spacing / 2, high) - jnp.maximum(w - spacing / 2, low)
            return jnp.clip(shared / spacing, 0, 1)

        content = jnp.zeros_like(x)
        for k in range(LAYERS):
            content += share(begins[k], ends[k]) * layers[k]
            if k + 1 < LAYERS:
                both = posts * jnp.minimum(layers[k], layers[k + 1])
                way = jnp.clip((w - ends[k]) / jnp.maximum(begins[k + 1] - ends[k], 1e-6), 0, 1)
                blend = (1 - way) * layers[k] + way * layers[k + 1]
                content += share(ends[k], begins[k + 1]) * jnp.where(passing, blend, both)
        return jnp.clip(content, 0, 1)

    return jax.lax.map(row, row_heights(rows, spacing))
