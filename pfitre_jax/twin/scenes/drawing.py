"""Shared parts of procedural scenes: the sample around them, overlapping shapes, local coordinates."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes import outlines
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support


def make_scene(draw_scene: Callable[..., Array], count: int) -> Callable[..., Array]:
    """Returns a scene function ``scene(key, n)`` that draws the content inside a random sample.

    Args:
        draw_scene: ``draw_scene(d, x, y, width)`` returns the content, (n, n), values in [0, 1].
        count: Largest number of random numbers that ``draw_scene`` uses.
    """

    @functools.partial(jax.jit, static_argnums=1)
    @functools.wraps(draw_scene, assigned=("__name__", "__doc__"))
    def scene(key, n: int) -> Float[Array, "n n"]:
        d = Draw(jax.random.uniform(key, (count + 100,)))
        x, y = coordinates(n)
        width = 1.0 / n + d.chance(0.25) * d.log(0.003, 0.02)
        outline = outlines.outline(d, jnp.pi * d.uniform(), x, y)
        sample = jnp.where(d.chance(0.3), inside(outline.depth, width), 1.0)
        matrix = d.chance(0.3) * d.uniform(0.0, 0.25)
        bright = jnp.where(d.chance(0.7), 1.0, d.uniform(0.5, 1.0))
        image = sample * draw_scene(d, x, y, width)
        # A nearly empty scene gets a disc.
        disc = inside(0.12 - jnp.hypot(x - outline.middle[0], y - outline.middle[1]), width)
        image = jnp.where(jnp.mean(image) < 0.015, jnp.maximum(image, sample * disc), image)
        image = bright * (matrix * sample + (1 - matrix) * image) * support(x, y, 1.0 / n)
        return jnp.clip(image, 0.0, 1.0)

    return scene


def paint(shape: Callable[[Array], tuple[Array, Array]], x: Array, parameters: Array) -> Array:
    """Paints shapes over each other, the last on top: (n, n).

    Args:
        shape: ``shape(p)`` returns coverage and level of a shape, each (n, n) or ().
        x: (n, n), coordinates; they give the image its shape.
        parameters: (shapes, parameters), one row ``p`` for each shape.
    """

    def lay(image, p):
        coverage, level = shape(p)
        return image * (1 - coverage) + level * coverage, None

    return jax.lax.scan(lay, jnp.zeros_like(x), parameters)[0]


def to_local_frame(x: Array, y: Array, p: Array, reach: Array | float = 0.6) -> tuple[Array, Array]:
    """Coordinates in a frame with its origin at ``reach ((p[0], p[1]) - 1/2)``, rotated by ``pi p[2]``."""
    dx, dy = x - reach * (p[0] - 0.5), y - reach * (p[1] - 0.5)
    c, s = jnp.cos(jnp.pi * p[2]), jnp.sin(jnp.pi * p[2])
    return c * dx + s * dy, c * dy - s * dx
