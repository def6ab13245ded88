"""Random outlines of samples."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.shapes import SUPPORT, Draw

#: Number of half planes that bound an outline.
SIDES = 6
#: Kinds of outlines and their probabilities. A pillar is a trapezoid; ``"curved"`` is a rectangle with a
#: round end, and ``"field"`` the whole field.
KINDS = {
    "disc": 0.15,
    "rectangle": 0.32,
    "lamella": 0.1,
    "pillar": 0.13,
    "polygon": 0.14,
    "curved": 0.1,
    "field": 0.06,
}
# Distance beyond every point of the field.
_FAR = 9.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outline:
    """An outline; lengths in fractions of the field.

    Attributes:
        depth: (n, n), distance to the outline, positive inside.
        first_side: (n, n), distance to its first side only.
        size: (), radius or half diagonal.
        center: (2,), x and y.
    """

    depth: Float[Array, "n n"]
    first_side: Float[Array, "n n"]
    size: Float[Array, ""]
    center: Float[Array, " 2"]


def random_outline(d: Draw, angle: Array | float, x: Float[Array, "n n"], y: Float[Array, "n n"]) -> Outline:
    """Draws an outline within the support.

    Args:
        d: Random numbers.
        angle: (), angle of the wiring, rad. Two thirds of the outlines are parallel to it or across it.
        x: (n, n), coordinates.
        y: (n, n), coordinates.
    """
    kind = d.choice(list(KINDS.values()))
    disc, rectangle, lamella, pillar, polygon, curved, whole = [kind == i for i in range(len(KINDS))]
    rotation = jnp.where(
        d.chance(0.67), angle + jnp.where(d.chance(0.5), jnp.pi / 2, 0.0), jnp.pi * d.uniform()
    )
    size = jnp.where(d.chance(0.8), d.uniform(0.4, 0.475), d.uniform(0.25, 0.4))

    # Rectangles have a half diagonal and its angle, so that their corners stay in the field.
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
    reach = jnp.where((side >= 4) & ~polygon, _FAR, reach)
    reach = jnp.where(disc | whole, _FAR, reach)
    # Some rectangles lack a corner.
    cut = (side == 4) & rectangle & d.chance(0.25)
    normal = jnp.where(cut, jnp.pi * d.uniform(0.1, 0.4), normal)
    reach = jnp.where(cut, size * d.uniform(0.6, 0.9), reach)

    margin = jnp.maximum(SUPPORT - 0.02 - size, 0.0) * jnp.where(d.chance(0.5), 1.0, 0.2)
    direction = 2 * jnp.pi * d.uniform()
    cx, cy = (
        jnp.where(whole, 0.0, margin * jnp.cos(direction)),
        jnp.where(whole, 0.0, margin * jnp.sin(direction)),
    )
    dx, dy = x - cx, y - cy
    a = dx * jnp.cos(rotation) + dy * jnp.sin(rotation)
    b = -dx * jnp.sin(rotation) + dy * jnp.cos(rotation)
    sides = [reach[i] - a * jnp.cos(normal[i]) - b * jnp.sin(normal[i]) for i in range(SIDES)]

    # The round part is the disc itself, or a large circle that bounds the end of the rectangle.
    bend = jnp.where(curved, d.log(0.4, 1.5), size)
    shift = jnp.where(curved, long - bend, 0.0)
    concave = curved & d.chance(0.3)
    shift = jnp.where(concave, long * d.uniform(0.5, 1.0) + bend, shift)
    round_part = bend - jnp.sqrt((a - shift) ** 2 + b**2)
    round_part = jnp.where(concave, -round_part, round_part)
    round_part = jnp.where(disc | curved, round_part, _FAR)
    depth = jnp.minimum(functools.reduce(jnp.minimum, sides), round_part)
    first_side = jnp.where(disc | whole, size + a, sides[0])
    return Outline(depth, first_side, size, jnp.stack([cx, cy]))
