"""Layers of the U-Net of the learned prior.

They are a strided encoder with dilated residual dense blocks at 1/4 resolution, and a decoder. Lower
resolutions and a second decoder for the expected error are optional.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.models.blocks import (
    ConditionedConvolution,
    FiLM,
    ResidualDenseBlock,
    convolution,
    double,
    gelu,
    halve,
    pad_to_multiple,
    shuffle_pixels,
    unshuffle_pixels,
    with_arrays,
)
from pfitre_jax.models.unet_config import UNetConfig, check_inputs

#: Factor of a dense block's residual, so that a stack of blocks starts near the identity.
BLOCK_WEIGHT = 0.2
#: Name of the layers of the expected error among the parameters.
ERROR_HEAD = "error_head"
#: Features at the finest, at 1/2 and at 1/4 resolution; with ``unshuffled`` the finest are those at 1/2.
_Features = tuple[Float[Array, "ny nx a"], Float[Array, "ny2 nx2 b"], Float[Array, "ny4 nx4 c"]]


class UNet(nnx.Module):
    """The layers of the U-Net, and its outputs for one image."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        full, half, quarter = config.channels
        embedding = config.embedding
        conditioned = functools.partial(ConditionedConvolution, embedding=embedding, rngs=rngs)
        self.multiple, self.unshuffled = config.multiple, config.unshuffled
        self.embed = nnx.Linear(config.condition, embedding, rngs=rngs)
        if config.unshuffled:
            self.enter = conditioned(4 * config.in_channels, half)
        else:
            self.enter = conditioned(config.in_channels, full)
            self.down_half = halve(full, half, rngs=rngs)
        self.encode_half = conditioned(half, half)
        self.down_quarter = halve(half, quarter, rngs=rngs)
        self.films = nnx.List(FiLM(embedding, quarter, rngs=rngs) for _ in range(config.blocks))
        self.blocks = nnx.List(
            ResidualDenseBlock(quarter, config.growth, config.dilations, weight=BLOCK_WEIGHT, rngs=rngs)
            for _ in range(config.blocks)
        )
        if config.deep:
            levels = list(itertools.pairwise((quarter, *config.deep)))
            self.deep_down = nnx.List(halve(above, below, rngs=rngs) for above, below in levels)
            self.deep_encode = nnx.List(conditioned(below, below) for _, below in levels)
            self.deep_decode = nnx.List(conditioned(below, below) for _, below in levels)
            self.deep_up = nnx.List(nnx.Linear(below, above, rngs=rngs) for above, below in levels)
        self.depth = len(config.deep)
        self.up_half = nnx.Linear(quarter, half, rngs=rngs)
        self.decode_half = conditioned(half, half)
        if config.unshuffled:
            self.leave = convolution(half, 4, rngs=rngs)
        else:
            self.up_full = nnx.Linear(half, full, rngs=rngs)
            self.decode_full = conditioned(full, full)
            self.leave = convolution(full, 1, rngs=rngs)
        if config.expected_error:
            self.error_head = _ErrorHead(config, rngs=rngs)

    def __call__(
        self, image: Float[Array, "ny nx channels"], condition: Float[Array, " k"]
    ) -> Float[Array, "ny nx"]:
        """The update of an image: (ny, nx, channels) and condition (k,) -> (ny, nx)."""
        return self._crop(self.leave(self._features(image, condition)[0]), image)

    def log_error(
        self, image: Float[Array, "ny nx channels"], condition: Float[Array, " k"]
    ) -> Float[Array, "ny nx"]:
        """The logarithm of the expected error: (ny, nx, channels) and condition (k,) -> (ny, nx)."""
        features = jax.lax.stop_gradient(self._features(image, condition))
        return self._crop(self.error_head(features), image)

    def _features(self, image: Float[Array, "ny nx channels"], condition: Float[Array, " k"]) -> _Features:
        e = gelu(self.embed(condition))
        image = pad_to_multiple(image, self.multiple)
        finest = self.enter(unshuffle_pixels(image) if self.unshuffled else image, e)
        half = self.encode_half(finest if self.unshuffled else self.down_half(finest), e)
        quarter = self.down_quarter(half)
        for k, (film, block) in enumerate(zip(self.films, self.blocks, strict=True)):
            if k == len(self.blocks) // 2:
                quarter = self._deepen(quarter, e)
            quarter = block(film(quarter, e))
        if not self.blocks:
            quarter = self._deepen(quarter, e)
        # Adding the skip connections costs half as much at full resolution as concatenating them.
        half = self.decode_half(half + double(self.up_half(quarter)), e)
        if self.unshuffled:
            return half, half, quarter
        return self.decode_full(finest + double(self.up_full(half)), e), half, quarter

    def _deepen(self, x: Float[Array, "ny nx c"], e: Float[Array, " e"], level: int = 0):
        if level == self.depth:
            return x
        below = self._deepen(self.deep_encode[level](self.deep_down[level](x), e), e, level + 1)
        return x + double(self.deep_up[level](self.deep_decode[level](below, e)))

    def _crop(self, output: Float[Array, "ny2 nx2 c"], image: Array) -> Float[Array, "ny nx"]:
        output = shuffle_pixels(output) if self.unshuffled else output
        return output[: image.shape[0], : image.shape[1], 0]


class _ErrorHead(nnx.Module):
    """A decoder of its own, from the features of all resolutions to the logarithm of the expected error."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        full, half, quarter = config.channels
        self.unshuffled = config.unshuffled
        self.up_half = nnx.Linear(quarter, half, rngs=rngs)
        self.decode_half = convolution(half, half, rngs=rngs)
        if config.unshuffled:
            self.leave = convolution(half, 4, rngs=rngs)
        else:
            self.up_full = nnx.Linear(half, full, rngs=rngs)
            self.decode_full = convolution(full, full, rngs=rngs)
            self.leave = convolution(full, 1, rngs=rngs)

    def __call__(self, features: _Features) -> Float[Array, "ny nx outputs"]:
        finest, half, quarter = features
        half = gelu(self.decode_half(half + double(self.up_half(quarter))))
        if self.unshuffled:
            return self.leave(half)
        return self.leave(gelu(self.decode_full(finest + double(self.up_full(half)))))


def assemble(
    network: type[nnx.Module], config: UNetConfig, params: dict, inputs: Array, condition: Array
) -> tuple[Any, Callable[[ArrayLike], Array]]:
    """Returns a network with its arrays, and the function that casts to the type that it computes in.

    Args:
        network: Class of the network.
        config: Configuration; static.
        params: Parameters.
        inputs: An image (ny, nx, in_channels), or with ``along_rows`` a volume (rows, ny, nx, in_channels).
        condition: (k,).

    Raises:
        ValueError: For a wrong number of axes, channels or conditions.
    """
    check_inputs(config, inputs, condition)
    dtype = config.compute_dtype or inputs.dtype
    return with_arrays(network, config, params, dtype), lambda a: jnp.asarray(a, dtype)
