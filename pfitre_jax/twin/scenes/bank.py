"""Scenes cut from pictures in memory: a bank of square tiles on the device, and what is drawn from it."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from pfitre_jax.twin.scenes import outlines
from pfitre_jax.twin.scenes.shapes import SUPPORT, Draw, coordinates, inside, support

#: Pixels along a side of a tile, unless asked for otherwise: a field of 128 pixels, drawn twice as fine.
SIDE = 256
#: Sides of the field that a scene shows, as shares of its tile's; log-uniform.
FIELD = (0.7, 1.0)
#: Standard deviation of a tile's values in [0, 1] below which there is nothing on it to see.
FLAT = 0.03


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bank:
    """tiles: (count, side, side), 255 for the value 1. A pytree: hand it to a jitted program as an argument,
    so that the pictures are no part of the program."""

    tiles: UInt8[Array, "count side side"]

    @classmethod
    def create(cls, tiles) -> Bank:
        """From pictures ``(count, side, side)`` in [0, 1].

        Raises ``ValueError`` for another shape or for values outside.
        """
        tiles = np.asarray(tiles)
        if tiles.ndim != 3 or tiles.shape[0] < 1 or tiles.shape[1] != tiles.shape[2] or tiles.shape[1] < 2:
            raise ValueError(f"tiles have the shape {tiles.shape}; expected (count, side, side)")
        if not (tiles.min() >= 0 and tiles.max() <= 1):
            raise ValueError(f"tiles lie in [{tiles.min():g}, {tiles.max():g}]; expected [0, 1]")
        return cls(jnp.asarray(np.round(255 * tiles).astype(np.uint8)))


@functools.partial(jax.jit, static_argnums=2)
def bank_scene(bank: Bank, key, n: int) -> Float[Array, "n n"]:
    """One scene ``(n, n)`` float32 in [0, 1] from a random tile, 0 outside the disc of radius ``0.48 n``.

    The tile is turned by any angle, mirrored, enlarged and moved (:data:`FIELD`), its greys bent, inverted
    and levelled, and it is cut to the outline of a sample with nothing around it, as PFITRE's own training
    pictures are. Pure, seeded by ``key``; ``n`` is static, and a key gives the same picture at every ``n``.

    >>> bank_scene(Bank.create(jnp.ones((1, 32, 32))), jax.random.key(0), 48).shape
    (48, 48)
    """
    d = Draw(jax.random.uniform(key, (100,)))
    x, y = coordinates(n)
    count = bank.tiles.shape[0]
    tile = bank.tiles[jnp.minimum((d.uniform() * count).astype(int), count - 1)]
    angle, share = 2 * jnp.pi * d.uniform(), d.log(*FIELD)
    picture = view(tile, n, angle, share, 2 * d.array(2) - 1, d.chance(0.5))

    # Greys: gamma, sometimes the negative, then a level for the darkest and one for the brightest.
    picture = jnp.maximum(picture, 1e-6) ** d.log(0.6, 1.7)
    picture = jnp.where(d.chance(0.25), 1 - picture, picture)
    dark = d.chance(0.4) * d.uniform(0.0, 0.3)
    bright = jnp.where(d.chance(0.6), 1.0, d.uniform(0.6, 1.0))
    picture = dark + (bright - dark) * picture

    outline = outlines.outline(d, angle, x, y)
    image = picture * inside(outline.depth, 1.0 / n)
    # Where chance left the scene bare: a disc.
    disc = inside(0.12 - jnp.hypot(x - outline.middle[0], y - outline.middle[1]), 1.0 / n)
    image = jnp.where(jnp.mean(image) < 0.015, jnp.maximum(image, bright * disc), image)
    return jnp.clip(image * support(x, y, 1.0 / n), 0.0, 1.0)


def view(
    tile: UInt8[Array, "side side"], n: int, angle, share, place=(0.0, 0.0), mirrored=False
) -> Float[Array, "n n"]:
    """The tile in [0, 1], seen in a field of ``share`` of its side, turned by ``angle`` (radians).

    place: two numbers in [-1, 1], of the field's middle, as far out as the disc of the support may go on the
        tile
    Linear between the tile's pixels, averaged over samples at most as far apart as these.
    """
    side = tile.shape[-1]
    samples = math.ceil(side / n)
    x, y = coordinates(n * samples)
    x = jnp.where(mirrored, -x, x)
    field = share * side
    free = jnp.maximum(0.5 * side - SUPPORT * field, 0.0)
    c, s = jnp.cos(angle), jnp.sin(angle)
    column = (side - 1) / 2 + free * place[0] + field * (c * x - s * y)
    row = (side - 1) / 2 + free * place[1] - field * (s * x + c * y)
    values = jax.scipy.ndimage.map_coordinates(tile.astype(jnp.float32) / 255, [row, column], 1, "nearest")
    return values.reshape(n, samples, n, samples).mean(axis=(1, 3))
