"""Volumes of stacked scenes: each scene is a layer, and rows cut through the tilted stack."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.circuits3d import row_heights
from pfitre_jax.twin.scenes.shapes import Draw, coordinates

#: Number of layers.
LAYERS = 5
#: Largest angle between the layers and the rows, degrees.
TILT_DEG = 2.5
#: Number of cells along a side of the field. Some cells connect two layers where both are bright.
CELLS = 40
#: Number of random numbers that a stack may use.
RANDOM = 4 * LAYERS + CELLS**2 + 20


def stack(
    scene: Callable[[Array], Float[Array, "n n"]], key: Array, rows: int, n: int, spacing: float
) -> Float[Array, "rows n n"]:
    """Draws a volume of :data:`LAYERS` stacked scenes, (rows, n, n), values in [0, 1].

    A scene is the same at every height of its layer, and a row is the mean over its height. A gap between two
    layers is empty, contains posts where both layers are bright, or blends one layer into the other.

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
    direction = 2 * jnp.pi * d.uniform()
    tilted = slope * (x * jnp.cos(direction) + y * jnp.sin(direction))

    thickness = d.log(0.02, 0.1) * jnp.exp(0.6 * (d.array(LAYERS) - 0.5))
    gap = thickness * d.uniform() * jnp.exp(0.6 * (d.array(LAYERS) - 0.5))
    ends = jnp.cumsum(thickness + gap) - gap
    begins = ends - thickness
    # The rows lie at a random height between the begin of the first layer and the end of the last.
    extent = (rows * spacing + slope) / 2
    low, high = begins[0] + extent, ends[-1] - extent
    center = jnp.where(high > low, low + (high - low) * d.uniform(), (low + high) / 2)
    # The outermost layers of a stack that is too thin continue.
    begins, ends = begins.at[0].add(-1.0), ends.at[-1].add(1.0)

    cells = d.array(CELLS, CELLS) < d.log(0.05, 0.6)
    index = lambda t: jnp.clip(((t + 0.5) * CELLS).astype(int), 0, CELLS - 1)  # noqa: E731
    posts, blends = d.chance(0.6) * cells[index(y), index(x)], d.chance(0.3)

    def row(z: Array) -> Array:
        w = center + z + tilted

        def share(low: Array, high: Array) -> Array:
            overlap = jnp.minimum(w + spacing / 2, high) - jnp.maximum(w - spacing / 2, low)
            return jnp.clip(overlap / spacing, 0, 1)

        content = jnp.zeros_like(x)
        for k in range(LAYERS):
            content += share(begins[k], ends[k]) * layers[k]
            if k + 1 < LAYERS:
                both = posts * jnp.minimum(layers[k], layers[k + 1])
                position = jnp.clip((w - ends[k]) / jnp.maximum(begins[k + 1] - ends[k], 1e-6), 0, 1)
                blend = (1 - position) * layers[k] + position * layers[k + 1]
                content += share(ends[k], begins[k + 1]) * jnp.where(blends, blend, both)
        return jnp.clip(content, 0, 1)

    return jax.lax.map(row, row_heights(rows, spacing))
