"""Procedural scenes other than circuits: ellipses, bars, test charts, cells, random fields, particles.

Each function ``scene(key, n)`` draws one scene for a key: (n, n), float32 in [0, 1], 0 outside the disc of
radius ``0.48 n``. Lengths are fractions of the field, and ``n`` is static.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pfitre_jax.twin.scenes.drawing import make_scene, paint, to_local_frame
from pfitre_jax.twin.scenes.shapes import Draw, inside

#: Number of ellipses.
ELLIPSES = 12
#: Number of bars.
BARS = 14
#: Number of groups of line pairs.
CHART_GROUPS = 8
#: Largest number of Voronoi cells.
VORONOI_SEEDS = 40
#: Number of particles.
PARTICLES = 30
#: Nodes along a side of the grid of a random field.
FIELD_NODES = 96


def _ellipses(d: Draw, x, y, width):
    """Random ellipses, painted over each other or added."""
    rows = d.array(ELLIPSES, 7)
    added, share = d.chance(0.4), d.uniform(0.4, 1.0)

    def shape(p):
        a, b = to_local_frame(x, y, p)
        radius = 0.015 * (0.25 / 0.015) ** p[3]
        aspect = 1 + 1.5 * p[4]
        q = jnp.sqrt((a / aspect) ** 2 + b**2)
        coverage = inside(radius - q, width) * (p[6] < share)
        return coverage, jnp.where(p[5] < 0.15, 0.0, 0.3 + 0.7 * p[5])

    def add(image, p):
        coverage, level = shape(p)
        return image + 0.6 * coverage * level, None

    # The first ellipse is large, so that no scene is empty.
    rows = rows.at[0].set(jnp.stack([0.5, 0.5, rows[0, 2], 0.75 + 0.25 * rows[0, 3], 0.3, 0.9, 0.0]))
    summed = jax.lax.scan(add, jnp.zeros_like(x), rows)[0]
    return jnp.where(added, jnp.minimum(summed, 1.0), paint(shape, x, rows))


def _bars(d: Draw, x, y, width):
    """Random rectangles: at any angle, or along two orthogonal directions."""
    rows = d.array(BARS, 8)
    common, angle, share = d.chance(0.5), d.uniform(), d.uniform(0.3, 1.0)
    rows = rows.at[:, 2].set(jnp.where(common, angle + 0.5 * jnp.round(rows[:, 2]), rows[:, 2]))
    rows = rows.at[0, 7].set(0.0)

    def shape(p):
        a, b = to_local_frame(x, y, p)
        half_a = 0.008 * (0.15 / 0.008) ** p[3]
        half_b = jnp.where(p[4] < 0.5, half_a * (1 + p[4]), 0.1 + 0.4 * p[4])
        coverage = inside(jnp.minimum(half_a - jnp.abs(a), half_b - jnp.abs(b)), width)
        return coverage * (p[7] < share), jnp.where(p[5] < 0.12, 0.0, 0.25 + 0.75 * p[6])

    rows = rows.at[0, 3:6].set(jnp.stack([0.5 + 0.5 * rows[0, 3], rows[0, 4], 0.5]))
    return paint(shape, x, rows)


def _star(d: Draw, x, y, width):
    """A Siemens star, whole or with rings cut out."""
    x, y = x - d.uniform(-0.08, 0.08), y - d.uniform(-0.08, 0.08)
    radius = jnp.sqrt(x * x + y * y) + 1e-6
    spokes = jnp.round(d.log(6, 48))
    phase = jnp.mod(spokes * jnp.arctan2(y, x) / (2 * jnp.pi) + d.uniform(), 1.0)
    duty = d.uniform(0.3, 0.7)
    arc = (duty / 2 - jnp.abs(phase - 0.5)) * 2 * jnp.pi * radius / spokes
    outer = d.uniform(0.28, 0.45)
    star = inside(arc, width) * inside(outer - radius, width) * inside(radius - d.log(0.01, 0.1), width)
    ring = jnp.abs(radius - outer * d.uniform(0.4, 0.8))
    star = star * (1 - d.chance(0.5) * inside(d.uniform(0.01, 0.03) - ring, width))
    hub = d.chance(0.3) * inside(d.log(0.01, 0.06) - radius, width)
    rim = d.chance(0.3) * inside(0.015 - jnp.abs(radius - outer), width)
    return jnp.maximum(star, jnp.maximum(hub, rim))


def _line_pairs(d: Draw, x, y, width):
    """Groups of parallel lines of different pitch, at one angle and across it, or at any."""
    rows = d.array(CHART_GROUPS, 8)
    common, angle = d.chance(0.7), d.uniform()
    rows = rows.at[:, 2].set(jnp.where(common, angle + 0.5 * jnp.round(rows[:, 2]), rows[:, 2]))
    fixed = d.chance(0.5)

    def shape(p):
        a, b = to_local_frame(x, y, p)
        pitch = 0.022 * (0.12 / 0.022) ** p[3]
        half_a = pitch * (1 + jnp.round(4 * p[4])) + 0.02
        half_b = jnp.maximum(half_a * (0.5 + p[5]), 0.05)
        duty = jnp.where(fixed, 0.5, 0.3 + 0.4 * p[6])
        lines = inside((duty / 2 - jnp.abs(jnp.mod(a / pitch, 1.0) - 0.5)) * pitch, width)
        area = inside(jnp.minimum(half_a - jnp.abs(a), half_b - jnp.abs(b)), width)
        return area, lines * (0.6 + 0.4 * p[7])

    return paint(shape, x, rows)


def _voronoi(d: Draw, x, y, width):
    """Voronoi cells: gray grains, walls between cells, or some empty cells."""
    seeds = d.array(VORONOI_SEEDS, 3)
    used = jnp.arange(VORONOI_SEEDS) < 7 + d.uniform() * (VORONOI_SEEDS - 7)
    stretch = jnp.where(d.chance(0.3), d.log(1.0, 4.0), 1.0)
    a, b = to_local_frame(x, y, d.array(3))
    empty, binary = d.chance(0.4) * d.uniform(0.2, 0.6), d.chance(0.3)
    gray = jnp.where(seeds[:, 2] < empty, 0.0, jnp.where(binary, 1.0, 0.2 + 0.8 * seeds[:, 2]))
    seed_a, seed_b = 1.2 * (seeds[:, 0] - 0.5), 1.2 * (seeds[:, 1] - 0.5) * stretch

    def nearer(best, seed):
        pa, pb, level, use = seed
        distance = jnp.where(use, (a - pa) ** 2 + (b * stretch - pb) ** 2, 9.0)
        new = tuple(jnp.broadcast_to(v, a.shape) for v in (distance, pa, pb, level))
        is_first, is_second = distance < best[0][0], distance < best[1][0]
        first = tuple(jnp.where(is_first, v, old) for v, old in zip(new, best[0], strict=True))
        second = tuple(
            jnp.where(is_first, was, jnp.where(is_second, v, old))
            for v, was, old in zip(new, best[0], best[1], strict=True)
        )
        return (first, second), None

    none = (jnp.full_like(a, 8.0),) + (jnp.zeros_like(a),) * 3
    (one, two), _ = jax.lax.scan(nearer, (none, none), (seed_a, seed_b, gray, used))
    distance = jnp.sqrt((one[1] - two[1]) ** 2 + (one[2] - two[2]) ** 2) + 1e-6
    wall = (two[0] - one[0]) / (2 * distance)
    mix = inside(wall, width)
    cells = mix * one[3] + (1 - mix) * two[3]
    walls = d.chance(0.5) * inside(d.log(0.004, 0.02) - wall, width)
    return jnp.where(d.chance(0.5), cells * (1 - walls), jnp.maximum(0.5 * cells, walls))


def _field(d: Draw, x, y, width):
    """A random field: smooth, thresholded into blobs, in three levels, or its zero line as a vein."""
    n = x.shape[0]
    noise = d.normal(FIELD_NODES, FIELD_NODES)
    k = jnp.fft.fftfreq(FIELD_NODES) * FIELD_NODES
    kx, ky = jnp.meshgrid(k[: FIELD_NODES // 2 + 1].at[-1].multiply(-1.0), k)
    ka, kb = to_local_frame(kx, ky, jnp.stack([0.5, 0.5, d.uniform()]))
    scale = d.log(0.018, 0.12)
    aspect = jnp.where(d.chance(0.35), d.log(1.0, 5.0), 1.0)
    q2 = (2 * jnp.pi * scale) ** 2 * ((ka * aspect) ** 2 + (kb / jnp.sqrt(aspect)) ** 2)
    gain = jnp.where(d.chance(0.25), (1 + q2) ** -1.5, jnp.exp(-q2 / 2)) * (q2 > 0)
    field = jnp.fft.irfft2(jnp.fft.rfft2(noise) * gain, s=noise.shape)
    field = field / (jnp.std(field) + 1e-6)
    field = jax.image.resize(field, (n, n), "cubic", antialias=False)
    gy, gx = jnp.gradient(field, 1.0 / n)
    slope = jnp.sqrt(gx**2 + gy**2) + 0.05 / scale
    low, high = d.uniform(-0.8, 0.8), d.uniform(0.9, 1.6)
    blob = inside((field - low) / slope, width)
    levels = 0.5 * blob + 0.5 * inside((field - high) / slope, width)
    vein = inside(d.log(0.006, 0.03) - jnp.abs(field - low) / slope, width)
    smooth = jnp.clip(0.5 + 0.3 * field, 0.0, 1.0)
    kind = d.choice([0.4, 0.15, 0.15, 0.15, 0.15])
    return jnp.select(
        [kind == 0, kind == 1, kind == 2, kind == 3], [blob, levels, vein, smooth], blob * smooth
    )


def _particles(d: Draw, x, y, width):
    """Discs and ellipses of similar size, some hollow, some with a shell, some cracked."""
    rows = d.array(PARTICLES, 8)
    largest, spread, share = d.log(0.03, 0.16), d.uniform(0.2, 1.0), d.uniform(0.4, 1.0)
    hollow, shell = d.chance(0.6) * d.uniform(0.2, 1.0), d.chance(0.5) * d.uniform(0.2, 1.0)
    crack = d.chance(0.3)

    def shape(p):
        a, b = to_local_frame(x, y, p, reach=0.85)
        radius = largest * jnp.exp(-spread * 1.5 * p[3])
        depth = radius - jnp.sqrt((a / (1 + 0.6 * p[4])) ** 2 + b**2)
        core = 1 - (p[5] < hollow) * inside(depth - radius * (0.2 + 0.5 * p[6]), width)
        rim = 1 - 0.5 * (p[6] < shell) * inside(depth - radius * (0.1 + 0.3 * p[4]), width)
        line = 1 - crack * (p[7] < 0.3) * inside(0.05 * radius - jnp.abs(b - 0.3 * a), width)
        coverage = inside(depth, width) * (p[3] * 0.999 < share)
        return coverage, (0.4 + 0.6 * p[7]) * core * rim * line

    return paint(shape, x, rows)


ellipses = make_scene(_ellipses, ELLIPSES * 7)
bars = make_scene(_bars, BARS * 8)
siemens_star = make_scene(_star, 0)
line_pairs = make_scene(_line_pairs, CHART_GROUPS * 8)
voronoi = make_scene(_voronoi, VORONOI_SEEDS * 3)
random_field = make_scene(_field, FIELD_NODES**2)
particles = make_scene(_particles, PARTICLES * 8)
