"""Procedural circuits: slices in the plane of a chip's wiring, or across it.

A scene joins up to four wiring layers (:mod:`pfitre_jax.twin.scenes.tracks`) in a common frame of random
orientation. Each layer is limited to an area of the sample and weighted as in a row that straddles
neighbouring layers. Blocks (pads, rails, substrate), the outline of the sample, its matrix, a capping layer
and defects follow.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pfitre_jax.twin.scenes import tracks
from pfitre_jax.twin.scenes.outlines import random_outline
from pfitre_jax.twin.scenes.shapes import Draw, box, coordinates, inside, support

#: Kinds of scenes and their probabilities.
KINDS = {
    "tracks": 0.16,  # one direction, a few wires across
    "patches": 0.16,  # both directions, each in its own area
    "layered": 0.16,  # both directions above each other
    "maze": 0.12,  # both directions on one grid, corners and tees
    "section": 0.16,  # vertical cut: layers above each other, vias
    "sparse": 0.07,  # a few isolated wires
    "arrays": 0.07,  # via and fill arrays
    "mixed": 0.10,  # areas of different kinds
}
#: Number of wiring layers.
LAYERS = 4
#: Largest number of blocks.
BLOCKS = 5
#: Largest number of defects.
DEFECTS = 4
#: Number of random numbers that a scene may use.
RANDOM = LAYERS * tracks.RANDOM + 300


def circuits(key: Array, n: int) -> Float[Array, "n n"]:
    """Draws one scene, (n, n), float32 in [0, 1], 0 outside the disc of radius ``0.48 n``.

    Lengths are fractions of the field, so that a key gives the same scene at every ``n``. The pitch is 0.027
    to 0.2 of the field, 3 to 24 pixels at ``n = 112``. For many scenes use ``vmap`` or ``lax.map``, which
    cost the same on a CPU.

    Args:
        key: Random key.
        n: Width, pixels; static.

    >>> circuits(jax.random.key(0), 64).shape
    (64, 64)
    """
    return circuit_of_kind(key, kind_of(key), n)


@jax.jit
def kind_of(key: Array) -> Int[Array, ""]:
    """Returns the index into :data:`KINDS` of the scene that :func:`circuits` draws for a key."""
    return Draw(jax.random.uniform(jax.random.fold_in(key, 1), (1,))).choice(list(KINDS.values()))


@functools.partial(jax.jit, static_argnums=2)
def circuit_of_kind(key: Array, kind: Array | int, n: int) -> Float[Array, "n n"]:
    """Draws a scene as :func:`circuits` does, of the kind with an index into :data:`KINDS`."""
    d = Draw(jax.random.uniform(key, (RANDOM,)))
    x, y = coordinates(n)
    soft = d.chance(0.3) * d.log(0.003, 0.02)
    width = 1.0 / n + soft
    angle = jnp.pi * d.uniform()
    along = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    across = jnp.stack([-along[1], along[0]])
    u, v = x * across[0] + y * across[1], x * along[0] + y * along[1]

    outline = random_outline(d, angle, x, y)
    du, dv = u - outline.center @ across, v - outline.center @ along
    wiring = _wiring(d, kind, outline.size, u, v, width)
    wiring, blocks = _blocks(d, wiring, u, v, width)

    # The matrix fills the space between the wires, which end at a margin inside the outline.
    margin = d.chance(0.5) * d.log(0.005, 0.06)
    matrix = d.chance(0.65) * d.uniform(0.0, 0.25)
    wiring = wiring * inside(outline.depth - margin, width)
    # An almost empty sample receives one wire through its centre.
    half_width = jnp.maximum(0.012, 0.1 * d.uniform() * outline.size)
    bare = (jnp.mean(wiring) < 0.012) & (jnp.mean(blocks) < 0.012)
    wiring = jnp.maximum(wiring, bare * box(du, dv, half_width, d.uniform(0.3, 0.9) * outline.size, width))
    content = matrix + (1 - matrix) * jnp.maximum(wiring, blocks)
    cap_depth = jnp.where(d.chance(0.5), outline.depth, outline.first_side)
    cap = d.chance(0.22) * d.uniform(0.35, 1.0) * inside(d.log(0.008, 0.05) - cap_depth, width)
    content = _defects(d, jnp.maximum(content, cap), matrix, u, v, width)

    # A mild modulation, and a step in level between two regions.
    wave = 4 * jnp.pi * (d.uniform(-1.0, 1.0) * x + d.uniform(-1.0, 1.0) * y)
    content = content * (1 - d.chance(0.5) * d.uniform(0.0, 0.15) * (1 + jnp.cos(wave + 7 * d.uniform())))
    step = inside(jnp.where(d.chance(0.7), v, x) - d.uniform(-0.25, 0.25), width)
    content = content * (1 - d.chance(0.2) * d.uniform(0.1, 0.6) * step)
    bright = jnp.where(d.chance(0.7), 1.0, d.uniform(0.6, 1.0))
    image = bright * content * inside(outline.depth, width) * support(x, y, 1.0 / n)
    return jnp.clip(image, 0.0, 1.0)


def _wiring(d: Draw, kind: Array | int, size: Array, u: Array, v: Array, width: Array) -> Array:
    """Draws the wiring layers, joined, (n, n), values in [0, 1].

    Args:
        d: Random numbers.
        kind: (), index into :data:`KINDS`.
        size: (), radius or half diagonal of the sample.
        u: (n, n), coordinate across the wiring.
        v: (n, n), coordinate along the wiring.
        width: (), width of edges.
    """
    is_kind = [kind == i for i in range(len(KINDS))]
    one_way, patches, layered, maze, vertical, sparse, arrays, mixed = is_kind
    values = d.array(LAYERS, tracks.RANDOM)

    # The coarsest pitch still shows more than two wires; fine pitches are as frequent as coarse ones.
    coarsest = jnp.minimum(0.2, 0.42 * size)
    pitch = jnp.where(sparse, d.log(0.05, 0.2), d.log(0.027, coarsest))
    scale = jnp.stack([1.0, d.log(0.6, 1.7), d.log(0.7, 3.0), d.log(0.5, 2.0)])
    pitches = jnp.clip(pitch * scale, 0.027, 1.2 * coarsest)
    fill = 0.25 + 0.5 * d.array(LAYERS)
    full = d.array(LAYERS) < 0.15
    on = jnp.where(full, 1.0, 0.25 + 0.65 * d.array(LAYERS))
    on = on.at[0].set(jnp.where(sparse, d.uniform(0.2, 0.5), on[0]))
    on = on.at[1].set(jnp.where(one_way | sparse, d.uniform(0.03, 0.25), on[1]))
    run = pitches * 0.8 * 12.0 ** d.array(LAYERS)
    square = jnp.stack([arrays, arrays & d.chance(0.3), mixed | arrays, d.chance(0.8)])
    stretch = jnp.where(d.chance(0.7), 1.0, d.log(1.0, 4.0))
    run = jnp.where(square, 0.5 * pitches * stretch, jnp.clip(run, 0.02, 0.6))
    on = jnp.where(square, jnp.maximum(on, 0.45), on)
    layers = jax.vmap(lambda r, p, f, o, l, s: tracks.wires(Draw(r), p, fill=f, on=o, run=l, square=s))(
        values, pitches, fill, on, run, square
    )
    # The kinds exclude each other, so that they can share the first layer's random numbers.
    grid_share = d.uniform(0.55, 1.0)
    grid = tracks.maze(Draw(values[0]), jnp.clip(0.6 * pitch, 0.027, 0.1), fill=fill[0], on=grid_share)
    levels = tracks.section(Draw(values[0]), 0.6 * jnp.clip(pitch, 0.027, 0.1), fill=fill[0], on=on[0])
    special = jax.tree.map(
        lambda g, s, w: jnp.where(maze, jnp.stack(g), jnp.where(vertical, jnp.stack(s), w[:2])),
        *(jax.tree.map(lambda a, b: (a, b), *pair) for pair in (grid, levels)), layers,
        is_leaf=lambda a: isinstance(a, tuple),
    )  # fmt: skip
    layers = jax.tree.map(lambda a, w: jnp.concatenate([a, w[2:]]), special, layers)

    # The first layer runs along v and the second along u, which a maze relies on; the others run either way.
    across = jnp.stack([False, ~vertical, d.chance(0.5), d.chance(0.5)])
    diagonal = jnp.stack([False, False, d.chance(0.12), False])
    slanted_u, slanted_v = (u - v) * jnp.sqrt(0.5), (u + v) * jnp.sqrt(0.5)

    # Two areas share the sample: two half planes, or a rectangle and the rest.
    edge_u, edge_v = d.uniform(-0.2, 0.2), d.uniform(-0.2, 0.2)
    half_u, half_v = d.uniform(0.1, 0.3), d.uniform(0.1, 0.3)
    gap = d.chance(0.6) * d.log(0.003, 0.03)
    distance = jnp.select(
        [d.uniform() < 0.3, d.uniform() < 0.4],
        [u - edge_u, v - edge_v],
        jnp.minimum(half_u - jnp.abs(u - edge_u), half_v - jnp.abs(v - edge_v)),
    )
    first, rest = inside(distance - gap, width), inside(-distance - gap, width)

    # Weights of the layers: a row that straddles two layers fades from one to the other.
    slope = d.uniform(-2.0, 2.0) * v + d.uniform(-2.0, 2.0) * u
    fade = jnp.clip(0.5 + d.uniform(-0.4, 0.4) + d.chance(0.5) * slope, 0.0, 1.0)
    share = jnp.where(d.chance(0.2), 1.0, d.uniform(0.2, 1.0))
    areas = patches | mixed
    both = jnp.where(arrays, share, 1.0)
    third, fourth = (mixed | d.chance(0.3)) & ~vertical, d.chance(0.25) & ~vertical
    gates = [
        jnp.where(areas, first, jnp.where(layered, jnp.minimum(1.0, 2 * fade), 1.0)),
        jnp.where(areas, rest, jnp.where(layered, share * jnp.minimum(1.0, 2 - 2 * fade), both)),
        third * d.uniform(0.3, 1.0) * jnp.where(mixed, first, rest),
        fourth * d.uniform(0.3, 1.0) * jnp.where(d.chance(0.5), first, 1.0),
    ]

    # A scan instead of a sum of vmapped images, for which the compiler would compute each layer repeatedly.
    def join(images: tuple[Array, Array], inputs: tuple) -> tuple[tuple[Array, Array], None]:
        union, transmission = images
        layer, across, diagonal, gate = inputs
        a, b = jnp.where(diagonal, slanted_u, u), jnp.where(diagonal, slanted_v, v)
        image = gate * tracks.draw(layer, jnp.where(across, b, a), jnp.where(across, a, b), width)
        return (jnp.maximum(union, image), transmission * (1 - image)), None

    gate_images = jnp.stack([jnp.broadcast_to(gate, u.shape) for gate in gates])
    start = (jnp.zeros_like(u), jnp.ones_like(u))
    (union, transmission), _ = jax.lax.scan(join, start, (layers, across, diagonal, gate_images))
    return jnp.where(d.chance(0.5) & ~maze & ~vertical, 1 - transmission, union)


def _blocks(d: Draw, wiring: Array, u: Array, v: Array, width: Array) -> tuple[Array, Array]:
    """Returns the wiring, cleared around blocks, and the blocks: pads, rails, a substrate; each (n, n)."""
    draws = d.array(8, BLOCKS, 1, 1)
    present = draws[0] < jnp.array([0.22, 0.18, 0.14, 0.1, 0.08])[:, None, None]
    long = draws[1] < 0.4
    # A long block crosses the field; a short one is a pad.
    size = 0.012 * (0.14 / 0.012) ** draws[2]
    other = jnp.where(long, 1.0, size * (1 + draws[3]))
    flip = draws[4] < 0.5
    half_u, half_v = jnp.where(flip, size, other), jnp.where(flip, other, size)
    du = u[None] - 0.8 * (draws[5] - 0.5)
    dv = v[None] - 0.8 * (draws[6] - 0.5)
    clearance = 0.01 + 0.02 * draws[7]
    level = jnp.where(draws[7] < 0.5, 1.0, draws[3]) * present
    depth = jnp.minimum(half_u - jnp.abs(du), half_v - jnp.abs(dv))
    free = 1 - jnp.max(present * inside(depth + clearance, width), axis=0)
    return wiring * free, jnp.max(level * inside(depth, width), axis=0)


def _defects(d: Draw, content: Array, matrix: Array, u: Array, v: Array, width: Array) -> Array:
    """Returns the content with small elliptic defects, (n, n).

    Voids and breaks have the level of the matrix, bridges and particles have the level 1.
    """
    draws = d.array(6, DEFECTS, 1, 1)
    present = draws[0] < 0.12
    size = 0.006 * (0.04 / 0.006) ** draws[1]
    du, dv = u[None] - 0.7 * (draws[2] - 0.5), v[None] - 0.7 * (draws[3] - 0.5)
    stretch = 1 + 2 * draws[4]
    radius = jnp.sqrt((du / stretch) ** 2 + dv**2)
    spot = present * inside(size - radius, width)
    void = jnp.max(spot * (draws[5] < 0.7), axis=0)
    particle = jnp.max(spot * (draws[5] >= 0.7), axis=0)
    return jnp.maximum(content * (1 - void) + matrix * void, particle)
