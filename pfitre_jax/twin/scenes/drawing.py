"""Outline, background and local frames of procedural scenes."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.outlines import random_outline
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support


def make_scene(draw_content: Callable[..., Array], count: int, *, bare: bool = False) -> Callable[..., Array]:
    """Returns a scene, ``scene(key, n)``, that adds the outline, matrix and support to its content.

    Args:
        draw_content: ``draw_content(d, x, y, width)`` returns the content, (n, n), values in [0, 1]. ``d``
            supplies random numbers, ``x`` and ``y`` are the coordinates, (n, n), and ``width`` is the width
            of edges.
        count: Random numbers that ``draw_content`` takes.
        bare: Whether the content is a whole object with sharp edges, in air: without outline, matrix and
            blurred edges.
    """

    @functools.partial(jax.jit, static_argnums=1)
    @functools.wraps(draw_content, assigned=("__name__", "__doc__"))
    def scene(key: Array, n: int) -> Float[Array, "n n"]:
        d = Draw(jax.random.uniform(key, (count + 100,)))
        x, y = coordinates(n)
        if bare:
            level = jnp.where(d.chance(0.7), 1.0, d.uniform(0.5, 1.0))
            image = level * draw_content(d, x, y, 1.0 / n) * support(x, y, 1.0 / n)
            return jnp.clip(image, 0.0, 1.0)
        width = 1.0 / n + d.chance(0.25) * d.log(0.003, 0.02)
        outline = random_outline(d, jnp.pi * d.uniform(), x, y)
        sample = jnp.where(d.chance(0.3), inside(outline.depth, width), 1.0)
        matrix = d.chance(0.3) * d.uniform(0.0, 0.25)
        bright = jnp.where(d.chance(0.7), 1.0, d.uniform(0.5, 1.0))
        image = sample * draw_content(d, x, y, width)
        # An almost empty scene receives a disc.
        disc = inside(0.12 - jnp.hypot(x - outline.center[0], y - outline.center[1]), width)
        image = jnp.where(jnp.mean(image) < 0.015, jnp.maximum(image, sample * disc), image)
        image = bright * (matrix * sample + (1 - matrix) * image) * support(x, y, 1.0 / n)
        return jnp.clip(image, 0.0, 1.0)

    return scene


def paint(
    shape: Callable[[Array], tuple[Array, Array]],
    x: Float[Array, "n n"],
    parameters: Float[Array, "shapes parameters"],
) -> Float[Array, "n n"]:
    """Returns an image of opaque shapes, the last on top.

    Args:
        shape: Returns the coverage, (n, n), and the level, () or (n, n), of a shape from its parameters.
        x: (n, n), coordinates; sets the size of the image.
        parameters: (shapes, parameters), a row for each shape.
    """

    def add(image: Array, row: Array) -> tuple[Array, None]:
        coverage, level = shape(row)
        return image * (1 - coverage) + level * coverage, None

    return jax.lax.scan(add, jnp.zeros_like(x), parameters)[0]


def to_local_frame(x: Array, y: Array, p: Array, reach: Array | float = 0.6) -> tuple[Array, Array]:
    """Returns the coordinates of points in a local frame.

    Args:
        x: (n, n), coordinate of the points.
        y: (n, n), coordinate of the points.
        p: (3 or more,), values in [0, 1). The origin of the frame is at ``reach (p[0] - 1/2, p[1] - 1/2)``,
            and the frame is rotated by ``pi p[2]``.
        reach: Side of the square that the origin lies in.
    """
    dx, dy = x - reach * (p[0] - 0.5), y - reach * (p[1] - 0.5)
    c, s = jnp.cos(jnp.pi * p[2]), jnp.sin(jnp.pi * p[2])
    return c * dx + s * dy, c * dy - s * dx
