"""Building blocks of the networks: FiLM-conditioned convolutions, residual dense blocks, random parameters.

Images are (ny, nx, channels). Convolutions pad with zeros, because air surrounds the image. Without batch
normalisation and dropout, a network is a pure function of its parameters and one image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PyTree

#: GELU in its tanh form, two to three times cheaper on a CPU than with the error function.
gelu = functools.partial(nnx.gelu, approximate=True)


def convolution(inputs: int, outputs: int, *, rngs: nnx.Rngs, dilation: int = 1) -> nnx.Conv:
    """Returns a 3x3 convolution (ny, nx, inputs) -> (ny, nx, outputs) with zero padding."""
    return _Convolution(inputs, outputs, (3, 3), kernel_dilation=dilation, padding="SAME", rngs=rngs)


class _Convolution(nnx.Conv):
    # Without the option ``out_sharding``.
    def __call__(self, x: Array) -> Array:  # type: ignore[override]
        assert self.bias is not None
        return _convolve(x, self.kernel[...], self.kernel_dilation) + self.bias[...][None, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve(x, kernel, dilation: int):
    """``sum_ij kernel[i, j]^T x[p + dilation (i-1, j-1)]``, as ``nnx.Conv`` but with a faster gradient.

    XLA computes the gradient with respect to the kernel as a convolution whose window is as large as the
    image. On a CPU that costs four times the forward pass for a wide kernel, and ten times inside a loop,
    where XLA does not reorder the axes of a convolution (jax issue 12868). One matrix product with the nine
    shifted cotangents costs as much as the forward pass.
    """
    dims = ("NHWC", "HWIO", "NHWC")
    steps = (dilation, dilation)
    return jax.lax.conv_general_dilated(x[None], kernel, (1, 1), "SAME", None, steps, dims)[0]


def _convolve_forward(x, kernel, dilation):
    return _convolve(x, kernel, dilation), (x, kernel)


def _convolve_backward(dilation, saved, cotangent):
    x, kernel = saved
    ny, nx = x.shape[:2]
    padded = jnp.pad(cotangent, ((dilation, dilation), (dilation, dilation), (0, 0)))
    corners = [(i * dilation, j * dilation) for i in (2, 1, 0) for j in (2, 1, 0)]
    shifted = jnp.concatenate([padded[i : i + ny, j : j + nx] for i, j in corners], axis=-1)
    products = jnp.einsum("hwi,hwo->io", x, shifted)
    to_kernel = jnp.moveaxis(products.reshape(x.shape[-1], 3, 3, -1), 0, 2)
    to_x = _convolve(cotangent, jnp.swapaxes(kernel[::-1, ::-1], 2, 3), dilation)
    return to_x, to_kernel


_convolve.defvjp(_convolve_forward, _convolve_backward)


def halve(inputs: int, outputs: int, *, rngs: nnx.Rngs) -> nnx.Conv:
    """Returns a 2x2 convolution of stride 2: (ny, nx, inputs) -> (ny/2, nx/2, outputs), even sizes."""
    return _Halving(inputs, outputs, (2, 2), strides=2, padding="VALID", rngs=rngs)


class _Halving(nnx.Conv):
    # A matrix product, whose gradient is fast inside a loop; without the option ``out_sharding``.
    def __call__(self, x: Array) -> Array:  # type: ignore[override]
        assert self.bias is not None
        ny, nx, channels = x.shape
        patches = jnp.swapaxes(x.reshape(ny // 2, 2, nx // 2, 2, channels), 1, 2)
        patches = patches.reshape(ny // 2, nx // 2, 4 * channels)
        return patches @ self.kernel[...].reshape(4 * channels, -1) + self.bias[...][None, None]


def double(x: Float[Array, "ny nx channels"]) -> Float[Array, "2*ny 2*nx channels"]:
    """Nearest-neighbour upsampling; followed by a 3x3 convolution it shows no checkerboard artifacts."""
    return jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)


def unshuffle_pixels(x: Float[Array, "2*ny 2*nx channels"]) -> Float[Array, "ny nx 4*channels"]:
    """Four neighbouring pixels as channels ``4 c + 2 i + j``, row ``i`` and column ``j``; even sizes."""
    ny, nx, channels = x.shape
    patches = x.reshape(ny // 2, 2, nx // 2, 2, channels)
    return jnp.transpose(patches, (0, 2, 4, 1, 3)).reshape(ny // 2, nx // 2, 4 * channels)


def shuffle_pixels(x: Float[Array, "ny nx 4*channels"]) -> Float[Array, "2*ny 2*nx channels"]:
    """Inverse of :func:`unshuffle_pixels`."""
    ny, nx, channels = x.shape[0], x.shape[1], x.shape[2] // 4
    patches = jnp.transpose(x.reshape(ny, nx, channels, 2, 2), (0, 3, 1, 4, 2))
    return patches.reshape(2 * ny, 2 * nx, channels)


def pad_to_multiple(x: Float[Array, "ny nx channels"], multiple: int) -> Float[Array, "ny2 nx2 channels"]:
    """Pads with zeros below and to the right until both sizes are multiples of ``multiple``."""
    ny, nx = x.shape[:2]
    return jnp.pad(x, ((0, -ny % multiple), (0, -nx % multiple), (0, 0)))


class FiLM(nnx.Module):
    """Feature-wise linear modulation ``x * (1 + scale(e)) + shift(e)`` of each channel.

    All levels share the embedding ``e`` of the condition.

    References:
        Perez et al., FiLM: visual reasoning with a general conditioning layer, AAAI 2018.
    """

    def __init__(self, embedding: int, channels: int, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(embedding, 2 * channels, rngs=rngs)

    def __call__(self, x: Float[Array, "ny nx c"], embedding: Float[Array, " e"]) -> Float[Array, "ny nx c"]:
        """Modulated channels: (ny, nx, c) -> (ny, nx, c)."""
        scale, shift = jnp.split(self.dense(embedding), 2)
        return x * (1 + scale)[None, None] + shift[None, None]


class ConditionedConvolution(nnx.Module):
    """``gelu(FiLM(conv3x3(x)))``."""

    def __init__(self, inputs: int, outputs: int, embedding: int, *, rngs: nnx.Rngs):
        self.convolution = convolution(inputs, outputs, rngs=rngs)
        self.film = FiLM(embedding, outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "ny nx c"], embedding: Float[Array, " e"]) -> Float[Array, "ny nx d"]:
        """Convolved and modulated channels: (ny, nx, c) -> (ny, nx, d)."""
        return gelu(self.film(self.convolution(x), embedding))


class ResidualDenseBlock(nnx.Module):
    """``x + weight * fuse([x, y_1, ..., y_n])`` with ``y_k = gelu(conv([x, y_1, ..., y_(k-1)]))``.

    The 3x3 convolutions are dilated. The receptive field is ``sum(dilations)`` pixels on each side; the
    number of channels does not change.

    References:
        Zhang et al., Residual dense network for image super-resolution, CVPR 2018.
    """

    def __init__(
        self, channels: int, growth: int, dilations: tuple[int, ...], *, weight: float = 1.0, rngs: nnx.Rngs
    ):
        self.weight = weight
        self.convolutions = nnx.List(
            convolution(channels + k * growth, growth, dilation=dilation, rngs=rngs)
            for k, dilation in enumerate(dilations)
        )
        self.fuse = nnx.Linear(channels + len(dilations) * growth, channels, rngs=rngs)

    def __call__(self, x: Float[Array, "ny nx c"]) -> Float[Array, "ny nx c"]:
        """Output of the block: (ny, nx, c) -> (ny, nx, c)."""
        features = x
        for layer in self.convolutions:
            features = jnp.concatenate([features, gelu(layer(features))], axis=-1)
        return x + self.weight * self.fuse(features)


def random_parameters(abstract: PyTree[jax.ShapeDtypeStruct], key: Array) -> PyTree[Array]:
    """Returns truncated normal kernels (..., inputs, outputs) of variance ``1/fan_in``, and zero biases.

    All kernels come from one draw, because XLA needs about 20 s to compile a generator for each layer.
    """
    leaves, structure = jax.tree.flatten(abstract)
    sizes = [leaf.size if leaf.ndim > 1 else 0 for leaf in leaves]
    # The factor restores unit variance after the truncation at two standard deviations.
    draw = jax.random.truncated_normal(key, -2.0, 2.0, (sum(sizes),)) / 0.8796
    parameters, start = [], 0
    for leaf, size in zip(leaves, sizes, strict=True):
        if size:
            scale = math.prod(leaf.shape[:-1]) ** -0.5
            parameters.append(scale * draw[start : start + size].reshape(leaf.shape))
        else:
            parameters.append(jnp.zeros(leaf.shape))
        start += size
    return jax.tree.unflatten(structure, parameters)


@functools.lru_cache
def structure(network: Callable[..., nnx.Module], config: Any) -> tuple[nnx.GraphDef, dict]:
    """Returns ``network(config)`` without its arrays, and the shapes of the arrays."""
    graph, state = nnx.split(nnx.eval_shape(lambda: network(config, rngs=nnx.Rngs(params=0))))
    return graph, nnx.to_pure_dict(state)


def with_arrays(network: Callable[..., nnx.Module], config: Any, params: dict, dtype: Any) -> Any:
    """Returns ``network(config)`` with the arrays ``params``, cast to ``dtype``."""
    cast = jax.tree.map(lambda a: jnp.asarray(a, dtype), params)
    return nnx.merge(structure(network, config)[0], nnx.State(cast))
