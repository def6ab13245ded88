"""Piecewise constant objects with sharp edges: smooth closed curves, beside each other or nested."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pfitre_jax.twin.scenes.drawing import make_scene, paint
from pfitre_jax.twin.scenes.shapes import Draw, inside

#: Number of curves.
CURVES = 14
#: Number of harmonics of a curve.
HARMONICS = 6
#: Random numbers of :func:`curve_depth`.
CURVE_NUMBERS = 2 * HARMONICS


def curve_depth(x: Array, y: Array, radius: Array | float, roughness: Array | float, p: Array) -> Array:
    """Returns the approximate distance to a smooth closed curve around the origin, positive inside it.

    ``r(phi) = radius (1 + roughness * sum_k a_k cos(k phi + phase_k))``, weaker for higher ``k``, at least
    0.2 ``radius``.

    Args:
        x: (n, n), coordinate.
        y: (n, n), coordinate.
        radius: (), mean radius.
        roughness: (), relative size of the deviations from a circle.
        p: (CURVE_NUMBERS,), values in [0, 1).
    """
    distance = jnp.hypot(x, y) + 1e-6
    first_c, first_s = x / distance, y / distance
    c, s = first_c, first_s
    wave, slope = jnp.zeros_like(x), jnp.zeros_like(x)
    for k in range(HARMONICS):
        c, s = c * first_c - s * first_s, s * first_c + c * first_s
        order = k + 2
        u = 2 * p[2 * k] / order
        pc, ps = u * jnp.cos(2 * jnp.pi * p[2 * k + 1]), u * jnp.sin(2 * jnp.pi * p[2 * k + 1])
        wave = wave + pc * c - ps * s
        slope = slope - order * (pc * s + ps * c)
    r = radius * jnp.maximum(1 + roughness * wave, 0.2)
    return (r - distance) / jnp.sqrt(
        1 + (radius * roughness * slope / jnp.maximum(distance, 0.3 * radius)) ** 2
    )


def _closed_curves(d: Draw, x, y, width):
    """Closed curves with constant values, painted over each other; some lie inside the one before."""
    rows = d.array(CURVES, 8 + CURVE_NUMBERS)
    nested, rough, share = d.uniform(0.0, 0.8), d.uniform(0.0, 0.9), d.uniform(0.3, 1.0)
    largest, contrast = d.log(0.1, 0.3), d.chance(0.5)
    # The first one is large in half of the scenes.
    first = jnp.where(d.chance(0.5), d.uniform(0.28, 0.4), largest)

    def place(before: tuple[Array, Array, Array], p: Array):
        bx, by, radius = before
        inner = p[0] < nested
        size = jnp.where(inner, radius * (0.35 + 0.45 * p[1]), largest * (0.12 + 0.88 * p[1] ** 2))
        reach = jnp.where(inner, 0.6 * jnp.maximum(radius - size, 0.0), 0.42 - 0.7 * size)
        way, far = 2 * jnp.pi * p[2], reach * jnp.sqrt(p[3])
        cx = jnp.where(inner, bx, 0.0) + far * jnp.cos(way)
        cy = jnp.where(inner, by, 0.0) + far * jnp.sin(way)
        kept = p[4] < share
        after = tuple(jnp.where(kept, new, old) for new, old in zip((cx, cy, size), before, strict=True))
        return after, jnp.stack([cx, cy, size, kept.astype(x.dtype)])

    start = (0.1 * (rows[0, 2] - 0.5), 0.1 * (rows[0, 3] - 0.5), first)
    _, placed = jax.lax.scan(place, start, rows[1:])
    head = jnp.stack([*start, jnp.ones(())])[None]
    frames = jnp.concatenate([head, placed])
    # Levels in steps of a quarter, or any; every fifth curve cuts a hole.
    level = jnp.where(contrast, jnp.round(4 * rows[:, 5]) / 4, 0.15 + 0.85 * rows[:, 5])
    level = jnp.where(rows[:, 6] < 0.2, 0.0, jnp.maximum(level, 0.1))
    level = level.at[0].set(jnp.maximum(level[0], 0.3))

    def shape(p):
        depth = curve_depth(x - p[0], y - p[1], p[2], rough * p[5], p[6:])
        return inside(depth, width) * p[3], p[4]

    return paint(shape, x, jnp.concatenate([frames, level[:, None], rows[:, 7 : 8 + CURVE_NUMBERS]], axis=1))


closed_curves = make_scene(_closed_curves, CURVES * (8 + CURVE_NUMBERS), bare=True)
