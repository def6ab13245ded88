"""Scenes cut from pictures: a bank of square tiles on the device, and the scenes drawn from it."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from numpy.typing import ArrayLike

from pfitre_jax.twin.scenes import outlines
from pfitre_jax.twin.scenes.shapes import SUPPORT, Draw, coordinates, inside, support

#: Default number of pixels along a side of a tile: a field of 128 pixels, drawn twice as fine.
SIDE = 256
#: Range of the side of a scene's field, as a share of the side of its tile; log-uniform.
FIELD = (0.7, 1.0)
#: Share of the scenes that are cut to an outline.
FRAMED = 0.7
#: Standard deviation of a tile's values in [0, 1] below which the tile counts as flat.
FLAT = 0.03


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Bank:
    """Square tiles on the device.

    A pytree: pass it to a jitted program as an argument, so that the tiles are not compiled into it.

    Attributes:
        tiles: (count, side, side), 255 for the value 1.
    """

    tiles: UInt8[Array, "count side side"]

    @classmethod
    def create(cls, tiles: ArrayLike) -> Bank:
        """Returns the bank of pictures.

        Args:
            tiles: (count, side, side), values in [0, 1].

        Raises:
            ValueError: For another shape or for values outside [0, 1].
        """
        values = np.asarray(tiles)
        if (
            values.ndim != 3
            or values.shape[0] < 1
            or values.shape[1] != values.shape[2]
            or values.shape[1] < 2
        ):
            raise ValueError(f"tiles have the shape {values.shape}; expected (count, side, side)")
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"tiles lie in [{values.min():g}, {values.max():g}]; expected [0, 1]")
        return cls(jnp.asarray(np.round(255 * values).astype(np.uint8)))


@functools.partial(jax.jit, static_argnums=2)
def bank_scene(bank: Bank, key: Array, n: int) -> Float[Array, "n n"]:
    """Draws one scene from a random tile: (n, n), float32 in [0, 1], 0 outside the disc of radius ``0.48 n``.

    The tile is rotated by any angle, mirrored, magnified and shifted (:data:`FIELD`). Its gray values get a
    random gamma, are sometimes inverted, and are rescaled. Most scenes are cut to the outline of a sample
    (:data:`FRAMED`) and are 0 around it. A key gives the same picture at every ``n``.

    Args:
        bank: The tiles.
        key: Random key.
        n: Width, pixels; static.

    >>> bank_scene(Bank.create(jnp.ones((1, 32, 32))), jax.random.key(0), 48).shape
    (48, 48)
    """
    d = Draw(jax.random.uniform(key, (100,)))
    x, y = coordinates(n)
    count = bank.tiles.shape[0]
    tile = bank.tiles[jnp.minimum((d.uniform() * count).astype(int), count - 1)]
    angle, share = 2 * jnp.pi * d.uniform(), d.log(*FIELD)
    picture = view(tile, n, angle, share, 2 * d.array(2) - 1, d.chance(0.5))

    # Gray values: gamma, sometimes the negative, then levels for the darkest and the brightest.
    picture = jnp.maximum(picture, 1e-6) ** d.log(0.6, 1.7)
    picture = jnp.where(d.chance(0.25), 1 - picture, picture)
    dark = d.chance(0.4) * d.uniform(0.0, 0.3)
    bright = jnp.where(d.chance(0.6), 1.0, d.uniform(0.6, 1.0))
    picture = dark + (bright - dark) * picture

    outline = outlines.outline(d, angle, x, y)
    sample = jnp.where(d.chance(FRAMED), inside(outline.depth, 1.0 / n), 1.0)
    image = picture * sample
    # A nearly empty scene gets a disc.
    disc = inside(0.12 - jnp.hypot(x - outline.middle[0], y - outline.middle[1]), 1.0 / n)
    image = jnp.where(jnp.mean(image) < 0.015, jnp.maximum(image, bright * disc), image)
    return jnp.clip(image * support(x, y, 1.0 / n), 0.0, 1.0)


def view(
    tile: UInt8[Array, "side side"],
    n: int,
    angle: Array | float,
    share: Array | float,
    place: Array | tuple[float, float] = (0.0, 0.0),
    mirrored: Array | bool = False,
) -> Float[Array, "n n"]:
    """Resamples a part of a tile as an image: (n, n), values in [0, 1].

    Interpolation is linear, and each pixel is the mean of samples at most one tile pixel apart.

    Args:
        tile: (side, side), 255 for the value 1.
        n: Width of the image, pixels.
        angle: (), rotation of the field on the tile, radians.
        share: (), side of the field as a share of the side of the tile.
        place: Position of the middle of the field along columns and rows, each in [-1, 1]. At -1 and 1 the
            disc of the support touches the edge of the tile.
        mirrored: Whether the image is mirrored.
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
