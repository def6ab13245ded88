"""3D U-Net: the layers of the 2D U-Net in each row, with convolutions along the rows between them.

Each 3x3x3 convolution is factored into one over the image and one over three rows. A network of single images
is therefore the special case whose convolutions along the rows are the identity, and training may start from
its weights.

It needs a sample whose structure continues over neighbouring rows. On the rows that were measured so far it
was no better than ``volume``, which sees neighbouring rows as input channels (docs/measurements/volume.md).

References:
    Tran et al., A closer look at spatiotemporal convolutions for action recognition, CVPR 2018.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pfitre_jax.models import unet
from pfitre_jax.models.blocks import double, gelu, pad_to_multiple, structure
from pfitre_jax.models.networks import Network
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.models.unet_layers import UNet, assemble


def reach(config: UNetConfig) -> int:
    """Returns the number of rows on each side that the convolutions along the rows reach."""
    return 4 + config.blocks


class _AlongRows(nnx.Module):
    """``x[r] + sum_k W[k]^T x[r + k - 1] + b``; the outermost rows are repeated."""

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
    """Returns random float32 parameters in the rows and zeros along the rows; the update is zero."""
    return inflate(config, unet.init(dataclasses.replace(config, along_rows=False), key))


def inflate(config: UNetConfig, plane: dict) -> dict:
    """Returns the parameters of the volume network that treats every row as a network of images does.

    Args:
        config: Configuration of the volume network.
        plane: Parameters of :func:`pfitre_jax.models.unet.init`; leading axes that all arrays share are kept.
    """
    reference = plane["embed"]["bias"]
    along = {name: part for name, part in structure(_UNet3D, config)[1].items() if name != "plane"}
    zeros = lambda leaf: jnp.zeros((*reference.shape[:-1], *leaf.shape), reference.dtype)  # noqa: E731
    return jax.tree.map(zeros, along) | {"plane": plane}


def extend(config: UNetConfig, params: dict, wanted: UNetConfig) -> dict:
    """Returns the parameters of a network with more input channels, or with convolutions along the rows.

    The added weights are zero. Arguments and errors are those of :func:`pfitre_jax.models.unet.extend`;
    ``config`` may be that of a network of images.
    """
    planes = [dataclasses.replace(c, along_rows=False) for c in (config, wanted)]
    if config.along_rows:
        return params | {"plane": unet.extend(planes[0], params["plane"], planes[1])}
    return inflate(wanted, unet.extend(planes[0], params, planes[1]))


def predict_update(
    config: UNetConfig,
    params: dict,
    volume: Float[Array, "rows ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "rows ny nx"]:
    """Returns the update that the network adds to every row of a volume, in the volume's type.

    A row depends on :func:`reach` rows at each side, besides those among its input channels.

    Args:
        config: Configuration; static.
        params: Parameters of :func:`init`.
        volume: (rows, ny, nx, in_channels), any number of rows.
        condition: (k,), see :func:`pfitre_jax.models.unet.predict_update`.

    Raises:
        ValueError: For a wrong number of channels or of conditions.
    """
    network, cast = assemble(_UNet3D, config, params, volume, condition)
    return network(cast(volume), cast(condition)).astype(volume.dtype)


NETWORK = Network(config=UNetConfig, init=init, predict_update=predict_update, reach=reach, extend=extend)
