"""Procedural materials: packings of touching particles, electrodes, foams, fibres.

Each function draws one scene for a key, (n, n), float32 in [0, 1], as in
:mod:`pfitre_jax.twin.scenes.patterns`. Cells lie on a jittered hexagonal lattice, so that a pixel depends on
the nine cells around it only.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.drawing import make_scene, paint, to_local_frame
from pfitre_jax.twin.scenes.fields import distance_to_level, gaussian_field, ring_spectrum
from pfitre_jax.twin.scenes.shapes import Draw, inside

#: Cells along a side of the lattice, enough to cover the support with the smallest spacing.
CELLS = 28
#: Range of the distance of neighbouring cells, fractions of the field.
SPACING = (0.05, 0.2)
#: Number of fibres.
FIBRES = 26
#: Nodes along a side of the grid of the binder.
BINDER_NODES = 96
# Distance of the rows of a hexagonal lattice, in distances of the cells in a row.
_ROWS = 0.5 * 3**0.5
_OFFSETS = jnp.array([(i, j) for j in (-1, 0, 1) for i in (-1, 0, 1)])


def lattice(jitter: Float[Array, "2 cells cells"]) -> Float[Array, "2 cells cells"]:
    """Centres of the cells in units of their spacing: (2, cells, cells), ``[:, j, i]`` in row ``j``.

    Distances differ by at most 0.6 from those of the regular lattice.

    Args:
        jitter: (2, cells, cells), shifts of the centres, each in [-1, 1].
    """
    k = jnp.arange(CELLS) - CELLS // 2
    i, j = jnp.meshgrid(k, k)
    regular = jnp.stack([i + 0.5 * jnp.mod(j, 2) + 0.5, (j + 0.5) * _ROWS])
    return regular + 0.3 * jitter


def touching_radii(
    points: Float[Array, "2 cells cells"], size: Float[Array, "cells cells"]
) -> Float[Array, "cells cells"]:
    """Largest radii of discs around points without overlap: (cells, cells).

    Two neighbours divide their distance in proportion to their sizes, and the smallest part is the radius.

    Args:
        points: (2, cells, cells), centres of the discs.
        size: (cells, cells), relative sizes of the discs.
    """
    radius = jnp.full_like(size, 9.0)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            if (i, j) != (0, 0):
                neighbour, neighbour_size = jnp.roll(points, (j, i), (1, 2)), jnp.roll(size, (j, i), (0, 1))
                distance = jnp.hypot(*(points - neighbour))
                radius = jnp.minimum(radius, distance * size / (size + neighbour_size))
    return radius


def _around(a, b, offset):
    """Index ``(j, i)`` of the cell at an ``offset`` from the one that contains ``a, b``, in spacings."""
    j = jnp.floor(b / _ROWS).astype(int)
    i = jnp.floor(a - 0.5 * jnp.mod(j, 2)).astype(int)
    wrap = lambda k, step: jnp.clip(k + step + CELLS // 2, 0, CELLS - 1)  # noqa: E731
    return wrap(j, offset[1]), wrap(i, offset[0])


def _packing(d: Draw, x, y, width):
    """A packing of touching particles, round or angular, with pores and cracks."""
    values = d.array(10, CELLS, CELLS)
    spacing, spread, present = d.log(*SPACING), d.uniform(0.0, 0.8), d.uniform(0.75, 1.0)
    disorder, gap = d.uniform(0.2, 1.0), d.chance(0.5) * d.uniform(0.0, 0.12)
    porous, cracked, angular = d.chance(0.5), d.chance(0.5) * d.uniform(0.2, 0.8), d.chance(0.5)
    # Sections of fibres or flakes are elongated.
    stretch = jnp.where(d.chance(0.3), d.log(1.0, 2.5), 1.0)
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=spacing)
    a = a / (spacing * stretch)
    b = b / spacing
    points = lattice(disorder * (2 * values[:2] - 1))
    radius = (1 - gap) * touching_radii(points, jnp.exp(spread * (values[2] - 0.5)))
    radius = radius * (values[3] < present)

    def nearer(best, offset):
        j, i = _around(a, b, offset)
        depth = radius[j, i] - jnp.hypot(a - points[0, j, i], b - points[1, j, i])
        first = depth > best[0]
        return tuple(jnp.where(first, new, old) for new, old in zip((depth, j, i), best, strict=True)), None

    none = (jnp.full_like(a, -9.0), jnp.zeros_like(a, int), jnp.zeros_like(a, int))
    (depth, j, i), _ = jax.lax.scan(nearer, none, _OFFSETS)
    r, random, (pa, pb) = radius[j, i], values[4:, j, i], points[:, j, i]
    da, db = a - pa, b - pb
    angle = jnp.arctan2(db, da)
    # Only inside the disc, so that neighbours do not overlap.
    bumps = 0.5 - 0.3 * jnp.cos(3 * angle + 7 * random[0]) - 0.2 * jnp.cos(5 * angle + 7 * random[1])
    depth = depth - angular * 0.22 * r * bumps
    blur = width / spacing
    solid = inside(depth, blur)
    # A pore, and a crack: a wavy line through the particle that reaches its surface on one or both sides.
    direction = 2 * jnp.pi * random[2]
    along, across = (
        da * jnp.cos(direction) + db * jnp.sin(direction),
        db * jnp.cos(direction) - da * jnp.sin(direction),
    )
    hole = r * (0.1 + 0.25 * random[3]) - jnp.hypot(along - 0.35 * r, across)
    wavy = jnp.abs(across - 0.12 * r * jnp.sin(5 * along / (r + 1e-6) + 7 * random[4]))
    open_side = jnp.where(random[4] < 0.4, 9.0, along + r * (random[5] - 0.5))
    crack = jnp.minimum(r * (0.03 + 0.07 * random[3]) - wavy, open_side)
    pore = porous * (random[1] < 0.6) * inside(hole, blur)
    crack_area = (random[0] < cracked) * inside(crack, blur)
    level = jnp.where(d.chance(0.4), 1.0, 0.45 + 0.55 * random[5])
    rim = 1 - d.chance(0.3) * 0.5 * inside(0.15 * r - depth, blur)
    return solid * level * rim * (1 - pore) * (1 - crack_area)


def _electrode(d: Draw, x, y, width):
    """A packing of particles with a fine porous binder between them."""
    n = x.shape[0]
    noise = d.normal(BINDER_NODES, BINDER_NODES)
    particles = _packing(d, x, y, width)
    grain = d.log(0.012, 0.035)
    field = gaussian_field(noise, n, ring_spectrum(0.5 / grain, band=0.5))
    solid = inside(distance_to_level(field, d.uniform(-0.8, 0.8), grain), width)
    binder = d.uniform(0.1, 0.45) * solid * (0.8 + 0.2 * jnp.clip(field, -1.0, 1.0))
    return jnp.maximum(particles, binder)


def _foam(d: Draw, x, y, width):
    """A foam: walls between cells, of different thickness, thicker at junctions, some of them broken."""
    values = d.array(4, CELLS, CELLS)
    spacing, thick, varied = d.log(*SPACING), d.log(0.06, 0.4), d.uniform(0.0, 0.9)
    border, broken, filled = d.uniform(0.0, 1.2), d.chance(0.4) * d.uniform(0.0, 0.5), d.chance(0.3)
    stretch = jnp.where(d.chance(0.3), d.log(1.0, 2.5), 1.0)
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=spacing)
    a = a / (spacing * stretch)
    b = b / spacing
    points = lattice(d.uniform(0.3, 1.0) * (2 * values[:2] - 1))
    wall, corner, one, two = walls(points, values[2], a, b)
    # A random number of the wall, the same from both of its cells.
    random = jnp.mod(7 * (one + two), 1.0)
    half = 0.5 * thick * (1 + varied * (random - 0.5))
    half = half * (1 + border * jnp.exp(-corner / 0.15))
    blur = width / spacing
    solid = inside(half - wall, blur) * ((random > broken) | (corner < 0.15))
    # Some cells are filled.
    full = filled * (one > 0.8)
    return jnp.maximum(solid, full * 0.6 * inside(wall - half, blur))


def walls(
    points: Float[Array, "2 cells cells"], values: Float[Array, "cells cells"], a: Array, b: Array
) -> tuple[Array, Array, Array, Array]:
    """Walls of the Voronoi cells around points.

    Args:
        points: (2, cells, cells), centres of the cells, in spacings.
        values: (cells, cells), a number for each cell.
        a: (n, n), first coordinate of the pixels, in spacings.
        b: (n, n), second coordinate of the pixels, in spacings.

    Returns:
        Four arrays (n, n): the distance to the wall between the nearest and the second nearest cell; the
        difference of the distances to the third nearest and the nearest cell; the values of the nearest and
        of the second nearest cell.
    """

    def nearer(best, offset):
        j, i = _around(a, b, offset)
        pa, pb = points[0, j, i], points[1, j, i]
        new = (jnp.hypot(a - pa, b - pb), pa, pb, values[j, i])
        one, two, three = best
        before = [new[0] < old[0] for old in (one, two, three)]
        one_ = tuple(jnp.where(before[0], u, v) for u, v in zip(new, one, strict=True))
        two_ = tuple(
            jnp.where(before[0], w, jnp.where(before[1], u, v)) for u, v, w in zip(new, two, one, strict=True)
        )
        three_ = tuple(
            jnp.where(before[1], w, jnp.where(before[2], u, v))
            for u, v, w in zip(new, three, two, strict=True)
        )
        return (one_, two_, three_), None

    none = (jnp.full_like(a, 9.0),) + (jnp.zeros_like(a),) * 3
    (one, two, three), _ = jax.lax.scan(nearer, (none, none, none), _OFFSETS)
    distance = jnp.hypot(one[1] - two[1], one[2] - two[2]) + 1e-6
    return (two[0] ** 2 - one[0] ** 2) / (2 * distance), three[0] - one[0], one[3], two[3]


def _fibres(d: Draw, x, y, width):
    """Fibres in the plane: aligned, in two directions or in any, straight or wavy, some of them hollow."""
    rows = d.array(FIBRES, 8)
    way, cross = d.choice([0.4, 0.3, 0.3]), d.uniform(0.25, 0.5)
    frame, fan, wavy = d.uniform(), 0.06 * d.uniform(), d.chance(0.6) * d.uniform(0.2, 1.0)
    half, spread, share = d.log(0.006, 0.035), d.uniform(0.0, 1.2), d.uniform(0.4, 1.0)
    hollow = d.chance(0.3)
    two = frame + cross * (rows[:, 2] > 0.5)
    aligned = jnp.where(way == 0, frame, two) + fan * (rows[:, 3] - 0.5)
    angle = jnp.where(way == 2, rows[:, 2], aligned)
    rows = rows.at[:, 2].set(angle).at[0, 7].set(0.0)

    def shape(p):
        a, b = to_local_frame(x, y, p, reach=0.9)
        wave = 2 * jnp.pi * (1 + 4 * p[3])
        rise = 0.25 * wavy * (p[4] + 0.2) / wave
        line = rise * jnp.sin(wave * a + 7 * p[5])
        slope = rise * wave * jnp.cos(wave * a + 7 * p[5])
        depth = half * jnp.exp(spread * (p[4] - 0.5)) - jnp.abs(b - line) / jnp.sqrt(1 + slope**2)
        core = 1 - hollow * (p[5] < 0.6) * inside(depth - 0.5 * half, width)
        return inside(depth, width) * (p[7] < share), (0.5 + 0.5 * p[6]) * core

    return paint(shape, x, rows)


packing = make_scene(_packing, 10 * CELLS**2)
electrode = make_scene(_electrode, 10 * CELLS**2 + BINDER_NODES**2)
foam = make_scene(_foam, 4 * CELLS**2)
fibres = make_scene(_fibres, FIBRES * 8)
