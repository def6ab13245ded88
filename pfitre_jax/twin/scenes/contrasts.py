"""Large weak objects beside small strong ones; (n, n), float32 in [0, 1]."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.closed_curves import CURVE_NUMBERS, closed_curves, curve_depth
from pfitre_jax.twin.scenes.drawing import make_scene, paint, to_local_frame
from pfitre_jax.twin.scenes.patterns import ellipses, random_field
from pfitre_jax.twin.scenes.shapes import Draw, coordinates, inside, support
from pfitre_jax.twin.scenes.wood import wood

#: Scenes that are drawn weakly; all of them fill a large part of the field.
WEAK_SCENES = (ellipses, random_field, closed_curves, wood)
#: Range of their largest value.
WEAK = (0.05, 0.3)
#: Largest number of strong features.
STRONG = 8
#: Number of particles in a matrix.
PARTICLES = 40


@functools.partial(jax.jit, static_argnums=1)
def weak_and_strong(key: Array, n: int) -> Float[Array, "n n"]:
    """Another scene whose largest value is 0.05 to 0.3, with one to eight small strong features."""
    k_which, k_scene, k_strong = jax.random.split(key, 3)
    which = jax.random.randint(k_which, (), 0, len(WEAK_SCENES))
    weak = jax.lax.switch(which, [lambda k, s=scene: s(k, n) for scene in WEAK_SCENES], k_scene)
    weak = weak / jnp.maximum(jnp.max(weak), 0.1)
    d = Draw(jax.random.uniform(k_strong, (8 * STRONG + 20,)))
    x, y = coordinates(n)
    width = 1.0 / n
    rows = d.array(STRONG, 8)
    size, spread = d.log(0.006, 0.05), d.uniform(0.0, 1.0)
    kind, mixed, share = d.array(), d.chance(0.4), d.uniform(0.1, 1.0)
    level = d.uniform(0.7, 1.0)

    def shape(p):
        a, b = to_local_frame(x, y, p, reach=0.66)
        r = size * jnp.exp(spread * (p[3] - 0.5))
        distance = jnp.hypot(a, b)
        disc = r - distance
        rod = jnp.minimum(0.5 * r - jnp.abs(b), jnp.minimum(r * (2 + 6 * p[4]), 0.12) - jnp.abs(a))
        ring = jnp.minimum(1.3 * r - distance, distance - 0.7 * r)
        which = 3 * jnp.where(mixed, p[5], kind)
        depth = jnp.select([which < 1.2, which < 2.2], [disc, rod], ring)
        return inside(depth, width) * (p[6] < share), level + (1 - level) * p[7]

    rows = rows.at[0, 6].set(0.0)
    strong = paint(shape, x, rows) * support(x, y, width)
    return jnp.clip(jnp.maximum(d.log(*WEAK) * weak, strong), 0.0, 1.0)


def _two_contrasts(d: Draw, x, y, width):
    """A weak body with particles that differ little from it, and others that absorb much more."""
    rows = d.array(PARTICLES, 8)
    matrix = d.uniform(0.08, 0.4)
    differ, strong_share, share = d.uniform(0.1, 0.5), d.uniform(0.05, 0.5), d.uniform(0.3, 1.0)
    largest, strong_size = d.log(0.03, 0.12), d.log(0.15, 1.0)
    strong_level = d.uniform(0.55, 1.0)
    radius, rough = d.uniform(0.3, 0.42), d.uniform(0.0, 0.6)
    cx, cy = d.uniform(-0.04, 0.04), d.uniform(-0.04, 0.04)
    body = inside(curve_depth(x - cx, y - cy, radius, rough, d.array(CURVE_NUMBERS)), width)

    def shape(p):
        a, b = to_local_frame(x, y, p, reach=1.6 * radius)
        strong = p[3] < strong_share
        r = largest * jnp.exp(-1.5 * p[4]) * jnp.where(strong, strong_size, 1.0)
        depth = r - jnp.hypot(a / (1 + p[5]), b)
        weak_level = matrix * (1 + differ * jnp.where(p[6] < 0.5, -1.0, 1.0))
        return inside(depth, width) * (p[7] < share), jnp.where(strong, strong_level, weak_level) - matrix

    # The last one is strong, near the middle and present in every scene, and lies on top of the others.
    rows = rows.at[-1, :2].set(0.25 + 0.5 * rows[-1, :2]).at[-1, jnp.array([3, 7])].set(0.0)
    return body * (matrix + paint(shape, x, rows))


two_contrasts = make_scene(_two_contrasts, PARTICLES * 8 + CURVE_NUMBERS, bare=True)
