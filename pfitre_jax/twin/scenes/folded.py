"""Circuits on a folded layout: repeated cells, buses that turn corners, frames inside each other, slants.

The rules of :mod:`pfitre_jax.twin.scenes.circuits` know straight tracks alone. Here the same layout is drawn
in coordinates that are folded first, so that wires, blocks and defects follow the fold; the sample's outline
does not. Folds keep lengths and areas but across some lines; slanted parts and bevels shear, which keeps the
distance of tracks along one axis and makes wires thinner across.

They were drawn after a look at the worst of the scenes that priors are judged by, which have memories,
spirals, fan-outs and routed corners of their own: a prior trained on these is no longer judged there on
structures of another kind, only on other rules.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.scenes.circuits import kind_of, scene
from pfitre_jax.twin.scenes.shapes import Draw

#: How often each fold comes.
FOLDS = {
    "repeated": 0.2,  # a cell, again and again
    "mirrored": 0.2,  # a cell and its mirror image, in turns
    "bent": 0.25,  # tracks that turn by 90 degrees, once or, with a bevel, twice by 45
    "nested": 0.2,  # tracks around a point or a segment, each closed
    "slanted": 0.15,  # tracks that run at another angle for a while
}
RANDOM = 16


@functools.partial(jax.jit, static_argnums=1)
def folded(key, n: int) -> Float[Array, "n n"]:
    """One scene ``(n, n)`` float32 in [0, 1], 0 outside the disc of radius ``0.48 n``; a key gives the same
    picture at every ``n``.

    >>> folded(jax.random.key(0), 64).shape
    (64, 64)
    """
    k_fold, k_scene = jax.random.split(key)
    d = Draw(jax.random.uniform(k_fold, (RANDOM,)))
    return scene(k_scene, kind_of(k_scene), n, lambda u, v: fold(d, u, v))


def fold(d: Draw, u, v):
    """Where in the layout the points ``u, v (n, n)`` lie; of :data:`RANDOM` numbers."""
    which = d.choice(list(FOLDS.values()))
    u0, v0 = d.uniform(-0.2, 0.2), d.uniform(-0.2, 0.2)
    period_u, period_v = d.log(0.08, 0.4), d.log(0.08, 0.4)
    along_too = d.chance(0.6)
    a, b = u - u0, v - v0

    # Where cells repeat, the layout between -period/2 and period/2.
    saw = lambda t, period: jnp.mod(t + period / 2, period) - period / 2  # noqa: E731
    triangle = lambda t, period: jnp.abs(saw(t, 2 * period)) - period / 2  # noqa: E731
    repeated = (saw(a, period_u), jnp.where(along_too, saw(b, period_v), b))
    mirrored = (triangle(a, period_u), jnp.where(along_too, triangle(b, period_v), b))

    bevel = jnp.where(d.chance(0.5), d.uniform(0.0, 0.15), -jnp.inf)
    cut = (a + b) * jnp.sqrt(0.5) + bevel * (1 - jnp.sqrt(0.5))
    bent = (jnp.maximum(jnp.maximum(a, b), cut), jnp.minimum(a, b))

    # Of a segment all that is as far away, by the larger of both coordinates, is a rectangle.
    long = d.chance(0.5) * d.uniform(0.0, 0.3)
    over = jnp.maximum(jnp.abs(b) - long, 0.0)
    beside = jnp.abs(a) > over
    # Each side has wires that end elsewhere.
    side = jnp.where(beside, jnp.sign(a), 2 * jnp.sign(b)) * d.uniform(0.0, 0.3)
    nested = (jnp.maximum(jnp.abs(a), over), jnp.where(beside, b, a) + side)

    slope = d.uniform(-1.0, 1.0)
    until = d.uniform(0.05, 0.6)
    slanted = (a + slope * jnp.clip(b, 0.0, until), b)

    folds = (repeated, mirrored, bent, nested, slanted)
    return tuple(
        jnp.select([which == i for i in range(len(folds))], list(t)) for t in zip(*folds, strict=True)
    )
