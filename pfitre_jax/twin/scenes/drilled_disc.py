"""A uniform disc with holes of many shapes, as drilled or milled into a plate; sharp edges."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from pfitre_jax.twin.scenes.closed_curves import CURVE_NUMBERS, curve_depth
from pfitre_jax.twin.scenes.drawing import make_scene
from pfitre_jax.twin.scenes.shapes import Draw, inside

#: Largest number of holes.
HOLES = 24
#: Range of the disc's radius, fractions of the field: 60 to 98% of the support's diameter.
RADIUS = (0.29, 0.47)


def separate(
    centers: Float[Array, "circles 2"], radii: Float[Array, " circles"], gap: Array | float
) -> Bool[Array, " circles"]:
    """Returns which circles are kept so that those kept are ``gap`` apart; earlier ones take precedence.

    Args:
        centers: (circles, 2).
        radii: (circles,).
        gap: (), least distance between two circles.
    """
    distance = jnp.hypot(*(centers[:, None] - centers[None]).transpose(2, 0, 1))
    clash = distance < radii[:, None] + radii[None] + gap

    def decide(k: int, kept: Array) -> Array:
        return kept.at[k].set(~jnp.any(kept & clash[k]))

    return jax.lax.fori_loop(0, len(radii), decide, jnp.zeros(len(radii), bool))


def _polygon(a, b, r, p):
    """A regular polygon with 3 to 6 corners, some of them stars."""
    sides = 3 + jnp.floor(4 * p[0])
    sector = 2 * jnp.pi / sides
    distance, phi = jnp.hypot(a, b), jnp.mod(jnp.arctan2(b, a), sector) - sector / 2
    regular = r * jnp.cos(sector / 2) - distance * jnp.cos(phi)
    # A star's edge runs from its tip at the sector's border to a point halfway in.
    waist = r * (0.35 + 0.2 * p[1])
    along = (r * jnp.cos(sector / 2) - waist, r * jnp.sin(sector / 2))
    length = jnp.hypot(*along)
    u, v = distance * jnp.cos(phi) - waist, distance * jnp.abs(jnp.sin(phi))
    star = (along[0] * v - along[1] * u) / length
    return jnp.where(p[2] < 0.3, star, regular)


def _bar(a, b, r, p):
    """A rectangle or slot with round or square corners."""
    slender = jnp.arctan(0.15 + 0.85 * p[0])
    half_a, half_b = r * jnp.cos(slender), r * jnp.sin(slender)
    corner = half_b * jnp.where(p[1] < 0.4, 0.0, p[1])
    da, db = jnp.abs(a) - half_a + corner, jnp.abs(b) - half_b + corner
    return corner - jnp.hypot(jnp.maximum(da, 0), jnp.maximum(db, 0)) - jnp.minimum(jnp.maximum(da, db), 0)


def _cross(a, b, r, p):
    """A cross, or without some of its arms a T or an L."""
    half = r * (0.12 + 0.2 * p[0])
    long = jnp.sqrt(r**2 - half**2)
    depth = jnp.minimum(
        half - jnp.abs(b), jnp.where(p[1] < 0.5, long - jnp.abs(a), jnp.minimum(long - a, a + half))
    )
    up = jnp.where(p[2] < 0.5, long - jnp.abs(b), jnp.minimum(long - b, b + half))
    return jnp.maximum(depth, jnp.minimum(half - jnp.abs(a), up))


def _ring(a, b, r, p):
    """A ring or a part of one: the core inside stays."""
    distance = jnp.hypot(a, b)
    core = r * (0.3 + 0.5 * p[0])
    angle = jnp.abs(jnp.arctan2(b, a))
    opening = jnp.where(p[1] < 0.5, 9.0, (0.4 + 2.4 * p[2] - angle) * distance)
    return jnp.minimum(jnp.minimum(r - distance, distance - core), opening)


def _half(a, b, r, p):
    """A disc without a segment, or a crescent."""
    disc = r - jnp.hypot(a, b)
    chord = a + r * (0.9 * p[0] - 0.2)
    bite = jnp.hypot(a - r * (0.4 + 0.5 * p[1]), b) - r * (0.5 + 0.4 * p[2])
    return jnp.minimum(disc, jnp.where(p[3] < 0.5, chord, bite))


def _round(a, b, r, p):
    """A circle or an ellipse."""
    thin = jnp.where(p[0] < 0.6, 1.0, 1 + 2 * p[1])
    return (r - jnp.hypot(a, thin * b)) / jnp.sqrt(thin)


def _curved(a, b, r, p):
    """A smooth closed curve."""
    return curve_depth(a, b, 0.65 * r, 0.8, p[:CURVE_NUMBERS])


SHAPES = (_round, _bar, _polygon, _cross, _ring, _half, _curved)


def _drilled_disc(d: Draw, x, y, width):
    """A disc with separate holes: few or many, of one kind or of all, free or on bolt circles."""
    rows = d.array(HOLES, 6 + CURVE_NUMBERS)
    disc = d.uniform(*RADIUS)
    room = jnp.maximum(0.475 - disc, 0.0) * d.uniform()
    way = 2 * jnp.pi * d.uniform()
    u, v = x - room * jnp.cos(way), y - room * jnp.sin(way)
    largest, spread = disc * d.log(0.07, 0.5), d.uniform(0.0, 2.0)
    share, one, round_only = d.uniform(0.2, 1.0), d.chance(0.25), d.chance(0.25)
    radius = jnp.sort(largest * jnp.exp(-spread * rows[:, 0]))[::-1]
    radius = jnp.maximum(radius, 0.012)
    reach = jnp.maximum(disc * 0.96 - radius, 0.0)
    # Bolt circles: holes of one size at equal angles, a few circles of them.
    bolts, count = d.chance(0.25), jnp.round(d.uniform(3.0, 12.0))
    k = jnp.arange(HOLES)
    circle = 0.9 - 0.35 * jnp.floor(k / count) - 0.2 * d.uniform()
    far = jnp.where(bolts, disc * circle, reach * jnp.sqrt(rows[:, 1]))
    angle = jnp.where(bolts, 2 * jnp.pi * k / count, 2 * jnp.pi * rows[:, 2])
    radius = jnp.where(bolts, jnp.minimum(radius, 0.09), radius)
    centers = jnp.stack([far * jnp.cos(angle), far * jnp.sin(angle)], axis=1)
    fits = (far + radius < 0.97 * disc) & (jnp.where(bolts, circle > 0.15, rows[:, 3] < share))
    # A circle that is not drawn must not take the place of another one.
    kept = separate(centers, jnp.where(fits, radius, -9.0), d.uniform(0.005, 0.04)) & fits
    shape = jnp.floor(len(SHAPES) * jnp.where(one | bolts, rows[0, 4], rows[:, 4])).astype(int)
    shape = jnp.where(round_only, 0, shape)
    turn = jnp.where(d.chance(0.3), 0.0, 2 * jnp.pi * rows[:, 5])

    def drill(depth: Array, hole: tuple[Array, ...]) -> tuple[Array, None]:
        (cx, cy), r, kind, present, rotation, p = hole
        c, s = jnp.cos(rotation), jnp.sin(rotation)
        a, b = c * (u - cx) + s * (v - cy), c * (v - cy) - s * (u - cx)

        def cut(depth: Array) -> Array:
            return jnp.minimum(depth, -jax.lax.switch(kind, SHAPES, a, b, r, p))

        return jax.lax.cond(present, cut, lambda depth: depth, depth), None

    holes = (centers, radius, shape, kept, turn, rows[:, 6:])
    depth, _ = jax.lax.scan(drill, disc - jnp.hypot(u, v), holes)
    return inside(depth, width)


drilled_disc = make_scene(_drilled_disc, HOLES * (6 + CURVE_NUMBERS), bare=True)
