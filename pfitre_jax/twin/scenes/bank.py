"""Scenes cut from square tiles in device memory."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from pfitre_jax.twin.scenes.outlines import random_outline
from pfitre_jax.twin.scenes.shapes import SUPPORT, Draw, coordinates, inside, support

#: Default side of a tile, pixels. It serves a field of 128 pixels that is drawn twice as fine.
SIDE = 256
#: Range of the field's side over the tile's side, log-uniform.
FIELD_SHARE = (0.7, 1.0)
#: Share of the scenes that are cut to the outline of a sample.
OUTLINED_SHARE = 0.7
#: Smallest standard deviation of the values of a tile, which lie in [0, 1]. Flatter tiles are drawn again.
MIN_DEVIATION = 0.03


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bank:
    """Tiles that scenes are cut from.

    A bank is a pytree. It is passed to jitted programs as an argument, so that the tiles are not compiled
    into them.

    Attributes:
        tiles: (count, side, side), the values 0 to 1 scaled to 0 to 255.
    """

    tiles: UInt8[Array, "count side side"]

    @classmethod
    def create(cls, tiles: Array | np.ndarray) -> Bank:
        """Returns a bank of tiles.

        Args:
            tiles: (count, side, side), values in [0, 1].

        Raises:
            ValueError: For another shape, or for values outside [0, 1].
        """
        tiles = np.asarray(tiles)
        if tiles.ndim != 3 or tiles.shape[0] < 1 or tiles.shape[1] != tiles.shape[2] or tiles.shape[1] < 2:
            raise ValueError(f"tiles have the shape {tiles.shape}; expected (count, side, side)")
        if not (tiles.min() >= 0 and tiles.max() <= 1):
            raise ValueError(f"tiles lie in [{tiles.min():g}, {tiles.max():g}]; expected [0, 1]")
        return cls(jnp.asarray(np.round(255 * tiles).astype(np.uint8)))


@functools.partial(jax.jit, static_argnums=2)
def bank_scene(bank: Bank, key: Array, n: int) -> Float[Array, "n n"]:
    """Draws one scene from a random tile, (n, n), float32 in [0, 1].

    The tile is rotated by any angle, mirrored, enlarged and shifted (:data:`FIELD_SHARE`). Its gray values
    pass a random gamma curve, inversion and rescaling. Most scenes are cut to the outline of a sample
    (:data:`OUTLINED_SHARE`). The scene is 0 around the sample, as PFITRE's training images are, and outside
    the disc of radius ``0.48 n``. A key gives the same scene at every ``n``.

    Args:
        bank: Bank of tiles.
        key: Random key.
        n: Width, pixels; static.

    >>> bank_scene(Bank.create(jnp.ones((1, 32, 32))), jax.random.key(0), 48).shape
    (48, 48)
    """
    d = Draw(jax.random.uniform(key, (100,)))
    x, y = coordinates(n)
    count = bank.tiles.shape[0]
    tile = bank.tiles[jnp.minimum((d.uniform() * count).astype(int), count - 1)]
    angle, share = 2 * jnp.pi * d.uniform(), d.log(*FIELD_SHARE)
    picture = view(tile, n, angle, share, 2 * d.array(2) - 1, d.chance(0.5))

    # Gray values: a gamma curve, sometimes the negative, then new levels of the darkest and the brightest.
    picture = jnp.maximum(picture, 1e-6) ** d.log(0.6, 1.7)
    picture = jnp.where(d.chance(0.25), 1 - picture, picture)
    dark = d.chance(0.4) * d.uniform(0.0, 0.3)
    bright = jnp.where(d.chance(0.6), 1.0, d.uniform(0.6, 1.0))
    picture = dark + (bright - dark) * picture

    outline = random_outline(d, angle, x, y)
    sample = jnp.where(d.chance(OUTLINED_SHARE), inside(outline.depth, 1.0 / n), 1.0)
    image = picture * sample
    # An almost empty scene receives a disc.
    disc = inside(0.12 - jnp.hypot(x - outline.center[0], y - outline.center[1]), 1.0 / n)
    image = jnp.where(jnp.mean(image) < 0.015, jnp.maximum(image, bright * disc), image)
    return jnp.clip(image * support(x, y, 1.0 / n), 0.0, 1.0)


def view(
    tile: UInt8[Array, "side side"],
    n: int,
    angle: Array | float,
    share: Array | float,
    shift: Array | tuple[float, float] = (0.0, 0.0),
    mirrored: Array | bool = False,
) -> Float[Array, "n n"]:
    """Returns the rotated field of a tile, (n, n), values in [0, 1].

    The tile is interpolated linearly at samples that are at most one of its pixels apart, which are averaged
    over each pixel of the field.

    Args:
        tile: (side, side), values 0 to 255.
        n: Width of the field, pixels; static.
        angle: (), angle of the rotation, rad.
        share: (), side of the field over the side of the tile.
        shift: (2,), shift of the field's centre, -1 to 1; at 1 the support touches the edge of the tile.
        mirrored: (), whether the field is mirrored.
    """
    side = tile.shape[-1]
    samples = math.ceil(side / n)
    x, y = coordinates(n * samples)
    x = jnp.where(mirrored, -x, x)
    field = share * side
    margin = jnp.maximum(0.5 * side - SUPPORT * field, 0.0)
    c, s = jnp.cos(angle), jnp.sin(angle)
    column = (side - 1) / 2 + margin * shift[0] + field * (c * x - s * y)
    row = (side - 1) / 2 + margin * shift[1] - field * (s * x + c * y)
    values = jax.scipy.ndimage.map_coordinates(tile.astype(jnp.float32) / 255, [row, column], 1, "nearest")
    return values.reshape(n, samples, n, samples).mean(axis=(1, 3))
