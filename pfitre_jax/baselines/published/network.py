"""Network of the published PFITRE method, as a baseline.

Its encoder has the layers of VGG11, which was made for colour images. Therefore its input is three copies of
the standardised image, and its output the mean of three channels. It has 23 M parameters and is not
conditioned on the missing wedge.

References:
    Zhao, Ge, Yang, Chu & Yan, npj Comput. Mater. 11, 240 (2025).
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pfitre_jax.models.blocks import (
    convolution,
    halve,
    pad_to_multiple,
    random_parameters,
    structure,
    with_arrays,
)

#: Channels of a colour image.
COLOURS = 3

# GELU with the error function, as published.
_gelu = functools.partial(nnx.gelu, approximate=False)


@dataclasses.dataclass(frozen=True)
class PublishedConfig:
    """Configuration of the published network; static and hashable.

    Attributes:
        filters: Channels of the last layer. The encoder has 2, 4 and 8 times as many at full, 1/2 and 1/4
            resolution.
    """

    filters: int = 32


class _DenseBlock(nnx.Module):
    # x + weight * y_n with y_k = conv([y_(k-1), ..., y_1, x]). The last convolution is the result, whereas
    # blocks.ResidualDenseBlock fuses all of them by a 1x1 convolution.
    def __init__(self, channels: int, dilations, *, weight: float, activate_last: bool, rngs: nnx.Rngs):
        self.weight = weight
        self.activate_last = activate_last
        self.convolutions = nnx.List(
            convolution((k + 1) * channels, channels, dilation=dilation, rngs=rngs)
            for k, dilation in enumerate(dilations)
        )

    def __call__(self, x):
        features = x
        for layer in self.convolutions[:-1]:
            features = jnp.concatenate([_gelu(layer(features)), features], axis=-1)
        last = self.convolutions[-1](features)
        return x + self.weight * (_gelu(last) if self.activate_last else last)


class _Decoder(nnx.Module):
    def __init__(self, inputs: int, middle: int, outputs: int, *, rngs: nnx.Rngs):
        self.convolution = convolution(inputs, middle, rngs=rngs)
        self.double = nnx.ConvTranspose(
            middle, outputs, (2, 2), strides=2, padding="VALID", use_bias=False, rngs=rngs
        )

    def __call__(self, x):
        return _gelu(self.double(_gelu(self.convolution(x))))


class _PublishedNetwork(nnx.Module):
    def __init__(self, config: PublishedConfig, *, rngs: nnx.Rngs):
        n = config.filters
        self.encode_full = convolution(COLOURS, 2 * n, rngs=rngs)
        self.down_half = halve(2 * n, 2 * n, rngs=rngs)
        self.encode_half = convolution(2 * n, 4 * n, rngs=rngs)
        self.down_quarter = halve(4 * n, 4 * n, rngs=rngs)
        self.encode_quarter = convolution(4 * n, 8 * n, rngs=rngs)
        self.dilated = _DenseBlock(8 * n, (2, 4, 8, 4, 2, 1), weight=1.0, activate_last=True, rngs=rngs)
        self.dense = _DenseBlock(8 * n, (1, 1, 1, 1, 1), weight=0.2, activate_last=False, rngs=rngs)
        self.decode_half = _Decoder(16 * n, 8 * n, 2 * n, rngs=rngs)
        self.decode_full = _Decoder(6 * n, 4 * n, n, rngs=rngs)
        self.decode = convolution(3 * n, n, rngs=rngs)
        self.leave = nnx.Linear(n, COLOURS, rngs=rngs)

    def __call__(self, image: Float[Array, "ny nx colours"]) -> Float[Array, "ny nx colours"]:
        full = _gelu(self.encode_full(image))
        half = _gelu(self.encode_half(self.down_half(full)))
        quarter = _gelu(self.encode_quarter(self.down_quarter(half)))
        x = quarter
        for _ in range(2):
            x = self.dense(self.dilated(x))
        x = self.decode_half(jnp.concatenate([x, quarter], axis=-1))
        x = self.decode_full(jnp.concatenate([x, half], axis=-1))
        return self.leave(_gelu(self.decode(jnp.concatenate([x, full], axis=-1))))


@functools.partial(jax.jit, static_argnums=0)
def init(config: PublishedConfig, key: Array) -> dict:
    """Returns random float32 parameters, a nested dict of arrays."""
    return random_parameters(structure(_PublishedNetwork, config)[1], key)


def apply(config: PublishedConfig, params: dict, image: Float[Array, "ny nx"]) -> Float[Array, "ny nx"]:
    """Returns ``std * network((image - mean) / std) + mean``, in the type of the image.

    Mean and standard deviation are those of the padded image. The standard deviation of a constant image
    counts as 1.

    Args:
        config: Configuration; static.
        params: Parameters of :func:`init`.
        image: (ny, nx), any size; padded with zeros to a multiple of 4.
    """
    ny, nx = image.shape
    padded = pad_to_multiple(image[..., None], 4)
    mean, std = padded.mean(), padded.std(ddof=1)
    std = jnp.where(std > 0, std, 1)
    network = with_arrays(_PublishedNetwork, config, params, image.dtype)
    colours = jnp.repeat((padded - mean) / std, COLOURS, axis=-1)
    return network(colours).mean(axis=-1)[:ny, :nx] * std + mean
