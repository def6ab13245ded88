"""The U-Net of a volume: the layers of :mod:`pfitre_jax.models.unet` in the plane, others along the rows.

A 3x3x3 convolution is split into one over the plane and one over three rows (Tran et al., CVPR 2018), so
that a network of single images is a network of volumes whose layers along the rows do nothing yet.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pfitre_jax.models import unet
from pfitre_jax.models.blocks import double, gelu, pad_to_multiple, structure
from pfitre_jax.models.unet import UNet, UNetConfig


def reach(config: UNetConfig) -> int:
    """Rows on either side that the layers along the rows carry to one."""
    return 4 + config.blocks if config.along_rows else 0


class _AlongRows(nnx.Module):
    """``x[r] + sum_k W[k]^T x[r + k - 1] + b``; the outermost rows go on."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros_init()
        self.kernel = nnx.Param(zeros(rngs.params(), (3, channels, channels)))
        self.bias = nnx.Param(zeros(rngs.params(), (channels,)))

    def __call__(self, x: Float[Array, "rows ny nx c"]) -> Float[Array, "rows ny nx c"]:
        below, above = jnp.concatenate([x[:1], x[:-1]]), jnp.concatenate([x[1:], x[-1:]])
        kernel = self.kernel[...]
        return x + below @ kernel[0] + x @ kernel[1] + above @ kernel[2] + self.bias[...][None, None, None]


class _UNet3D(nnx.Module):
    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        full, half, quarter = config.channels
        self.plane = UNet(config, rngs=rngs)
        self.encode = nnx.List(_AlongRows(channels, rngs=rngs) for channels in (full, half))
        self.blocks = nnx.List(_AlongRows(quarter, rngs=rngs) for _ in range(config.blocks))
        self.decode = nnx.List(_AlongRows(channels, rngs=rngs) for channels in (half, full))

    def __call__(self, volume: Float[Array, "rows ny nx channels"], condition: Float[Array, " k"]):
        ny, nx = volume.shape[1:3]
        plane = self.plane
        e = gelu(plane.embed(condition))
        full = self.encode[0](jax.vmap(lambda x: plane.enter(pad_to_multiple(x, 4), e))(volume))
        half = self.encode[1](jax.vmap(lambda x: plane.encode_half(plane.down_half(x), e))(full))
        quarter = jax.vmap(plane.down_quarter)(half)
        for film, block, along in zip(plane.films, plane.blocks, self.blocks, strict=True):
            quarter = along(jax.vmap(lambda x, film=film, block=block: block(film(x, e)))(quarter))
        up = lambda layer, x: jax.vmap(lambda image: double(layer(image)))(x)  # noqa: E731
        half = half + up(plane.up_half, quarter)
        half = self.decode[0](jax.vmap(lambda x: plane.decode_half(x, e))(half))
        full = full + up(plane.up_full, half)
        full = self.decode[1](jax.vmap(lambda x: plane.decode_full(x, e))(full))
        return jax.vmap(plane.leave)(full)[:, :ny, :nx, 0]


def init(config: UNetConfig, key: Array) -> dict:
    """Random float32 parameters in the plane, none along the rows: it starts as the identity."""
    return inflated(config, unet.init(dataclasses.replace(config, along_rows=False), key))


def inflated(config: UNetConfig, plane: dict) -> dict:
    """The parameters of the volume's network that does with every row what ``plane``, of a network of single
    images, does with an image. Leading axes that all its parameters share are kept.
    """
    like = plane["embed"]["bias"]
    along = {name: part for name, part in structure(_UNet3D, config)[1].items() if name != "plane"}
    zeros = lambda leaf: jnp.zeros((*like.shape[:-1], *leaf.shape), like.dtype)  # noqa: E731
    return jax.tree.map(zeros, along) | {"plane": plane}


def correct(
    config: UNetConfig,
    params: dict,
    volume: Float[Array, "rows ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "rows ny nx"]:
    """What the network adds to every row of a volume, of its dtype.

    volume: (rows, ny, nx, in_channels), as many rows as one likes; condition: (k,), see
        :func:`pfitre_jax.models.unet.correct`

    A row sees :func:`reach` rows to each side, besides those among its input channels. ``ValueError`` for a
    wrong number of channels or of conditions.
    """
    network, cast = unet.assembled(_UNet3D, config, params, volume, condition)
    return network(cast(volume), cast(condition)).astype(volume.dtype)
