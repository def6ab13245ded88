"""Thin curved membranes and shells with fine texture: nuts, folded layers, rolled layers."""

from __future__ import annotations

import jax.numpy as jnp

from pfitre_jax.twin.scenes.drawing import make_scene, to_local_frame
from pfitre_jax.twin.scenes.fields import distance_to_level, gaussian_field, ring_spectrum
from pfitre_jax.twin.scenes.shapes import Draw, inside, stripe

#: Nodes along a side of the grid of the random fields.
NODES = 96
#: Number of layers with a value of their own.
LAYERS = 64


def _membranes(d: Draw, x, y, width):
    """A nut (shell, kernel with furrows, partitions), folded layers, or a roll of two alternating layers."""
    n = x.shape[0]
    noise = d.normal(3, NODES, NODES)
    layers = d.array(2, LAYERS)
    a, b = to_local_frame(x, y, jnp.stack([d.uniform(), d.uniform(), d.uniform()]), reach=0.08)
    radius, phi = jnp.hypot(a, b) + 1e-4, jnp.arctan2(b, a)
    smooth = gaussian_field(noise[0], n, ring_spectrum(d.uniform(1.5, 4.0), band=0.5))
    scale = d.log(0.03, 0.09)
    rough = gaussian_field(noise[1], n, ring_spectrum(0.5 / scale, band=0.4))
    fine = gaussian_field(noise[2], n, ring_spectrum(d.log(14.0, 38.0), d.uniform(), d.log(1.0, 2.0)))
    texture = 1 - d.uniform(0.0, 0.45) * jnp.clip(0.5 + 0.5 * fine, 0.0, 1.0)
    pores = inside(0.02 * (fine - d.uniform(1.2, 2.5)), width) * d.chance(0.5)
    furrow = jnp.abs(distance_to_level(rough, 0.0, scale))

    # The nut.
    lobes = d.array(2, 4)
    bend = sum(0.08 / (k + 1) * lobes[0, k] * jnp.cos((k + 1) * phi + 7 * lobes[1, k]) for k in range(4))
    outer = d.uniform(0.3, 0.44) * (1 + bend) - radius + d.uniform(0.0, 0.006) * rough
    thick = d.log(0.01, 0.05) * (1 + 0.4 * jnp.cos(2 * phi + 7 * d.uniform())) + d.uniform(0.0, 0.01) * smooth
    shell = inside(jnp.minimum(outer, jnp.maximum(thick, 0.006) - outer), width)
    shell = shell * (1 - pores)
    split = b + 0.04 * smooth
    gap = d.uniform(0.003, 0.03)
    space = d.uniform(0.01, 0.06)
    kernel_depth = jnp.minimum(outer - thick - space - 0.035 * jnp.abs(smooth), jnp.abs(split) - gap)
    kernel_depth = kernel_depth + 0.012 * d.uniform() * rough
    # Furrows are deepest at the surface of the kernel.
    depth = d.uniform(0.0, 0.02) * jnp.clip(1.3 - kernel_depth / 0.12, 0.0, 1.0)
    kernel_depth = jnp.minimum(kernel_depth, furrow - depth)
    kernel = inside(kernel_depth, width) * texture * (1 - 0.7 * pores)
    skin = d.chance(0.5) * 0.3 * inside(0.008 - jnp.abs(kernel_depth - 0.004), width)
    partition = stripe(jnp.abs(split), d.log(0.003, 0.01), width) * inside(outer - 0.5 * thick, width)
    value = d.uniform(0.4, 0.9)
    nut = jnp.maximum(shell * (0.85 + 0.15 * texture), jnp.clip(value * kernel + skin * kernel, 0.0, 1.0))
    nut = jnp.maximum(nut, d.chance(0.7) * d.uniform(0.4, 0.9) * partition)

    # Layers: level lines of a distorted coordinate, straight or on a spiral.
    rolled = d.chance(0.4)
    pitch = d.log(0.03, 0.11)
    fold = d.log(0.01, 0.12) * smooth + d.uniform(0.0, 0.12) * pitch * rough
    core = d.uniform(0.02, 0.12)
    w = jnp.where(rolled, radius + 0.25 * fold, b + fold)
    gy, gx = jnp.gradient(w, 1.0 / n)
    slope = jnp.clip(jnp.sqrt(gx**2 + gy**2), 0.3, 3.0)
    # Where the angle jumps the spiral jumps by one pitch, which changes no layer.
    w = w - rolled * pitch * phi / (2 * jnp.pi)
    turn = w / pitch + 50
    k = jnp.mod(jnp.floor(turn), LAYERS).astype(int)
    own = layers[:, jnp.where(rolled, 0, k)]
    thin = pitch * jnp.where(d.chance(0.5), d.log(0.08, 0.25), d.uniform(0.25, 0.7))
    half = 0.5 * thin * (0.6 + 0.8 * own[0]) * (1 + 0.25 * smooth * d.uniform())
    off = jnp.abs(jnp.mod(turn, 1.0) - 0.5) * pitch / slope
    sheet = inside(half - off, width) * (own[1] > d.uniform(0.0, 0.35)) * (0.6 + 0.4 * own[1])
    between = d.chance(0.6) * d.uniform(0.1, 0.6) * texture * (1 - pores)
    sheets = jnp.maximum(sheet, between * (1 - inside(half + 0.06 * pitch - off, width)))
    area = inside(d.uniform(0.32, 0.46) - radius, width)
    sheets = sheets * jnp.where(rolled, area * inside(radius - core, width), 1.0)
    can = rolled * d.chance(0.5) * stripe(jnp.abs(radius - d.uniform(0.445, 0.465)), 0.008, width)
    return jnp.where(d.chance(0.5), nut, jnp.maximum(sheets, can))


membranes = make_scene(_membranes, 3 * NODES**2 + 2 * LAYERS)
