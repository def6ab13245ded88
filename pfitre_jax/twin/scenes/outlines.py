"""Outlines of samples: disc, rectangle, lamella, pillar, polygon, curved cut, the whole field."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.shapes import SUPPORT, Draw

#: Number of half planes that bound an outline.
SIDES = 6
#: Relative frequencies of disc, rectangle, lamella, pillar, polygon, curved cut, the whole field.
WEIGHTS = (0.15, 0.32, 0.1, 0.13, 0.14, 0.1, 0.06)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outline:
    """An outline, in fractions of the field.

    Attributes:
        depth: (n, n), distance to the outline, positive inside.
        first_side: (n, n), distance to the first side of the outline.
        size: (), radius or half diagonal.
        middle: (2,), ``x`` and ``y`` of the centre.
    """

    depth: Float[Array, "n n"]
    first_side: Float[Array, "n n"]
    size: Float[Array, ""]
    middle: Float[Array, " 2"]


def outline(d: Draw, angle: Array | float, x: Array, y: Array) -> Outline:
    """Draws a random outline inside the support.

    Args:
        d: Random numbers.
        angle: (), direction of the wiring, radians. Two outlines of three are parallel or orthogonal to it.
        x: (n, n), coordinates of the pixels, see :func:`pfitre_jax.twin.scenes.shapes.coordinates`.
        y: As ``x``.
    """
    kind = d.choice(WEIGHTS)
    disc, rectangle, lamella, pillar, polygon, curved, whole = [kind == i for i in range(len(WEIGHTS))]
    turn = jnp.where(d.chance(0.67), angle + jnp.where(d.chance(0.5), jnp.pi / 2, 0.0), jnp.pi * d.uniform())
    size = jnp.where(d.chance(0.8), d.uniform(0.4, 0.475), d.uniform(0.25, 0.4))

    # Rectangles by their half diagonal and the angle of it, so that corners stay in the field.
    slender = jnp.where(lamella, d.uniform(0.1, 0.3), d.uniform(0.35, jnp.pi / 4))
    half_long, half_short = size * jnp.cos(slender), size * jnp.sin(slender)
    long = jnp.where(curved, half_long, half_long * jnp.where(pillar | lamella, d.uniform(0.8, 1.3), 1.0))
    tilt = pillar * d.uniform(0.02, 0.25)

    side = jnp.arange(SIDES)
    normal = jnp.where(side < 4, side * jnp.pi / 2, 0.0) + jnp.select(
        [side == 1, side == 3], [tilt, -tilt], 0.0
    )
    reach = jnp.where(side % 2 == 0, long, half_short)
    draws = d.array(2, SIDES)
    normal = jnp.where(polygon, 2 * jnp.pi * (side + 0.8 * (draws[0] - 0.5)) / SIDES, normal)
    reach = jnp.where(polygon, size * (0.65 + 0.4 * draws[1]), reach)
    far = 9.0
    reach = jnp.where((side >= 4) & ~polygon, far, reach)
    reach = jnp.where(disc | whole, far, reach)
    # A corner cut off, sometimes.
    cut = (side == 4) & rectangle & d.chance(0.25)
    normal = jnp.where(cut, jnp.pi * d.uniform(0.1, 0.4), normal)
    reach = jnp.where(cut, size * d.uniform(0.6, 0.9), reach)

    free = jnp.maximum(SUPPORT - 0.02 - size, 0.0) * jnp.where(d.chance(0.5), 1.0, 0.2)
    where = 2 * jnp.pi * d.uniform()
    cx, cy = jnp.where(whole, 0.0, free * jnp.cos(where)), jnp.where(whole, 0.0, free * jnp.sin(where))
    dx, dy = x - cx, y - cy
    a = dx * jnp.cos(turn) + dy * jnp.sin(turn)
    b = -dx * jnp.sin(turn) + dy * jnp.cos(turn)
    sides = [reach[i] - a * jnp.cos(normal[i]) - b * jnp.sin(normal[i]) for i in range(SIDES)]

    # The round part: the disc itself, or a large circle that curves the rectangle's end.
    bend = jnp.where(curved, d.log(0.4, 1.5), size)
    shift = jnp.where(curved, long - bend, 0.0)
    concave = curved & d.chance(0.3)
    shift = jnp.where(concave, long * d.uniform(0.5, 1.0) + bend, shift)
    round_part = bend - jnp.sqrt((a - shift) ** 2 + b**2)
    round_part = jnp.where(concave, -round_part, round_part)
    round_part = jnp.where(disc | curved, round_part, far)
    depth = jnp.minimum(functools.reduce(jnp.minimum, sides), round_part)
    first_side = jnp.where(disc | whole, size + a, sides[0])
    return Outline(depth, first_side, size, jnp.stack([cx, cy]))
