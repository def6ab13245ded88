"""The U-Net of :mod:`pfitre_jax.models.unet` in PyTorch, whose convolutions are those of oneDNN.

Images are (n, channels, ny, nx) here, in memory (n, ny, nx, channels) as in JAX ("channels last").
"""

from __future__ import annotations

import dataclasses
import functools
import os
import types
from typing import Any

import numpy as np

#: Elements of a single image up to which PyTorch does not use oneDNN.
_SMALL = 20480
#: Layers whose parameters stay in float32: those at full resolution, and those that the condition scales
#: (FiLM) before they are rounded.
_EXACT = (
    "embed",
    "enter",
    "encode_half",
    "films",
    "deep_encode",
    "deep_decode",
    "decode_half",
    "decode_full",
    "leave",
    "error_head",
)


@functools.lru_cache
def torch() -> types.ModuleType:
    """PyTorch, imported when the engine is first used."""
    # Threads that wait must leave the processors to XLA. OpenMP reads this once, when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    return torch


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the U-Net computes, beside the shapes of its parameters.

    Attributes:
        channels: Channels at full, 1/2 and 1/4 resolution.
        blocks: Number of residual dense blocks.
        dilations: Dilations of the convolutions in a block.
        growth: Channels that each convolution of a block adds.
        in_channels: Channels of the input.
        deep: Channels at 1/8, 1/16, ... resolution.
        unshuffled: Whether neighbouring pixels are channels at 1/2 resolution.
        block_weight: Factor of a block's residual.
        names: Path of each parameter in their nested dict, in the order of its leaves.
    """

    channels: tuple[int, int, int]
    blocks: int
    dilations: tuple[int, ...]
    growth: int
    in_channels: int
    deep: tuple[int, ...]
    unshuffled: bool
    block_weight: float
    names: tuple[tuple[str, ...], ...]


class Weights:
    """Parameters of a network as tensors in the layout and type of oneDNN, leaves of PyTorch's gradient.

    Attributes:
        tree: Nested dict of tensors, as the parameters of the network.
        leaves: Its tensors, in the order of the parameters.
    """

    def __init__(self, architecture: Architecture, parameters: list[np.ndarray], dtype: str):
        self.tree: dict = {}
        self.leaves = []
        for path, parameter in zip(architecture.names, parameters, strict=True):
            node = self.tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
            exact = path[0] in _EXACT
            node[path[-1]] = _as_leaf(parameter, "float32" if exact else dtype)
            self.leaves.append(node[path[-1]])


def _as_leaf(parameter: np.ndarray, dtype: str) -> Any:
    # A copy: the caller's array is a view of a buffer that XLA will use again.
    tensor = torch().from_numpy(np.array(parameter))
    if tensor.ndim == 4:
        tensor = tensor.permute(3, 2, 0, 1).contiguous(memory_format=torch().channels_last)
    elif tensor.ndim == 2:
        tensor = tensor.t().contiguous()
    return tensor.to(getattr(torch(), dtype)).requires_grad_()


def as_parameter(gradient: Any) -> Any:
    """The gradient to a tensor of :class:`Weights`, in the layout of the parameters of JAX."""
    if gradient.ndim == 4:
        return gradient.permute(2, 3, 1, 0)
    return gradient.t() if gradient.ndim == 2 else gradient


def predict(
    architecture: Architecture, weights: dict, images: Any, conditions: Any, dtype: str, output: str
) -> Any:
    """The output for each image, as :mod:`pfitre_jax.models.unet` predicts it.

    Args:
        architecture: Architecture of the network.
        weights: ``tree`` of :class:`Weights`.
        images: (n, ny, nx, in_channels), float32 tensor.
        conditions: (1, k) for all images or (n, k), float32 tensor.
        dtype: Type of the convolutions at 1/2 resolution and below, float32 or bfloat16.
        output: ``"update"``, or ``"log_error"`` for the logarithm of the expected error.

    Returns:
        (n, ny, nx) in float32.
    """
    F = torch().nn.functional
    number, ny, nx = images.shape[:3]
    # PyTorch has no gradient by oneDNN for a single small image, but for two.
    if torch().is_grad_enabled() and number == 1 and ny * nx * _narrowest(architecture) <= _SMALL:
        images = torch().cat([images, torch().zeros_like(images)])
    x = images.permute(0, 3, 1, 2)
    multiple = 4 * 2 ** len(architecture.deep)
    if ny % multiple or nx % multiple:
        x = _channels_last(F.pad(x, (0, -nx % multiple, 0, -ny % multiple)))
    if architecture.unshuffled:
        x = _channels_last(F.pixel_unshuffle(x, 2))
    if output == "update":
        result = _convolve(weights["leave"], _features(architecture, weights, x, conditions)[0])
    else:
        # The features receive no gradient.
        with torch().no_grad():
            features = _features(architecture, weights, x, conditions)
        result = _log_error(architecture, weights["error_head"], *(f.float() for f in features))
    if architecture.unshuffled:
        result = F.pixel_shuffle(result, 2)
    return result[:number, 0, :ny, :nx].float()


def _narrowest(architecture: Architecture) -> float:
    """Least number of channels of a layer, over the square of the scale of its resolution."""
    full, half, quarter = architecture.channels
    numbers = [architecture.in_channels, half / 4, quarter / 16]
    numbers += [] if architecture.unshuffled else [full]
    return min(numbers + [channels / 4 ** (3 + k) for k, channels in enumerate(architecture.deep)])


def _channels_last(x: Any) -> Any:
    return x.contiguous(memory_format=torch().channels_last)


def _features(architecture: Architecture, weights: dict, x: Any, conditions: Any) -> tuple[Any, Any, Any]:
    """The features at the finest, at 1/2 and at 1/4 resolution that the outputs are made of."""
    e = torch().nn.functional.gelu(_dense(weights["embed"], conditions), approximate="tanh")
    # The layers at full resolution are exact: they cost little, and their rounding is most of the error.
    finest = _conditioned(weights["enter"], x, e)
    dtype = weights["down_quarter"]["kernel"].dtype
    entered = (
        finest.to(dtype) if architecture.unshuffled else _convolve(weights["down_half"], finest, stride=2)
    )
    half = _conditioned(weights["encode_half"], entered, e)
    quarter = _convolve(weights["down_quarter"], half, stride=2)
    for k in range(architecture.blocks):
        if k == architecture.blocks // 2:
            quarter = _deepen(architecture, weights, quarter, e)
        quarter = _block(
            architecture, weights["blocks"][str(k)], _modulate(weights["films"][str(k)], quarter, e)
        )
    if not architecture.blocks:
        quarter = _deepen(architecture, weights, quarter, e)
    half = _conditioned(weights["decode_half"], _skip(weights["up_half"], half, quarter), e)
    if architecture.unshuffled:
        return half, half, quarter
    return _conditioned(weights["decode_full"], _skip(weights["up_full"], finest, half), e), half, quarter


def _deepen(architecture: Architecture, weights: dict, x: Any, e: Any, level: int = 0) -> Any:
    if level == len(architecture.deep):
        return x
    down, encode, decode, up = (
        weights[f"deep_{part}"][str(level)] for part in ("down", "encode", "decode", "up")
    )
    below = _conditioned(encode, _convolve(down, x, stride=2), e)
    below = _conditioned(decode, _deepen(architecture, weights, below, e, level + 1), e)
    return _skip(up, x, below)


def _log_error(architecture: Architecture, weights: dict, finest: Any, half: Any, quarter: Any) -> Any:
    def decode(name: str, fine: Any, coarse: Any) -> Any:
        layer = weights[f"decode_{name}"]
        return _convolve_gelu(_skip(weights[f"up_{name}"], fine, coarse), layer["kernel"], layer["bias"])

    x = decode("half", half, quarter)
    return _convolve(weights["leave"], x if architecture.unshuffled else decode("full", finest, x))


def _dense(weights: dict, x: Any) -> Any:
    return torch().nn.functional.linear(x, weights["kernel"], weights["bias"])


def _convolve(weights: dict, x: Any, *, stride: int = 1, dilation: int = 1) -> Any:
    kernel = weights["kernel"]
    padding = dilation if kernel.shape[-1] == 3 else 0
    return torch().conv2d(x.to(kernel.dtype), kernel, weights["bias"], stride, padding, dilation)


def _convolve_gelu(x: Any, kernel: Any, bias: Any, dilation: int = 1) -> Any:
    """``gelu(conv3x3(x))``; without a gradient oneDNN applies the function while it writes the result."""
    if torch().is_grad_enabled():
        return _gelu()(torch().conv2d(x, kernel, bias, 1, dilation, dilation))
    fused = torch().ops.mkldnn._convolution_pointwise
    around = [dilation, dilation]
    return fused(x, kernel, bias, around, [1, 1], around, 1, "gelu", [], "tanh")


@functools.lru_cache
def _gelu() -> Any:
    forward, backward = torch().nn.functional.gelu, torch().ops.aten.gelu_backward

    class Gelu(torch().autograd.Function):  # type: ignore[misc]
        # PyTorch's own gradient is ten times slower where the cotangent is a slice of a block's features.
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x, approximate="tanh")

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            cotangent = cotangent.contiguous(memory_format=torch().channels_last)
            return backward(cotangent, x, approximate="tanh")

    return Gelu.apply


def _film(weights: dict, e: Any) -> tuple[Any, Any]:
    scale, shift = _dense(weights["dense"], e).chunk(2, dim=-1)
    return 1 + scale, shift


def _modulate(weights: dict, x: Any, e: Any) -> Any:
    scale, shift = (a.to(x.dtype)[:, :, None, None] for a in _film(weights, e))
    return torch().addcmul(shift, x, scale)


def _conditioned(weights: dict, x: Any, e: Any) -> Any:
    kernel, bias = (weights["convolution"][name] for name in ("kernel", "bias"))
    if len(e) > 1:
        x = torch().conv2d(x, kernel.to(x.dtype), bias.to(x.dtype), 1, 1)
        x = _modulate(weights["film"], x, e)
        return _gelu()(x) if torch().is_grad_enabled() else torch().nn.functional.gelu(x, approximate="tanh")
    # One condition for all images scales the kernel instead of the images.
    scale, shift = (a[0] for a in _film(weights["film"], e))
    kernel = (kernel * scale[:, None, None, None]).to(x.dtype)
    return _convolve_gelu(x, kernel, (bias * scale + shift).to(x.dtype))


def _block(architecture: Architecture, weights: dict, x: Any) -> Any:
    features = x
    for k, dilation in enumerate(architecture.dilations):
        layer = weights["convolutions"][str(k)]
        new = _convolve_gelu(features, layer["kernel"], layer["bias"], dilation)
        features = torch().cat([features, new], dim=1)
    kernel, bias = (architecture.block_weight * weights["fuse"][name] for name in ("kernel", "bias"))
    return x + _project(kernel, bias, features)


def _skip(weights: dict, fine: Any, coarse: Any) -> Any:
    coarse = _project(weights["kernel"], weights["bias"], coarse)
    return fine + torch().nn.functional.interpolate(coarse, scale_factor=2, mode="nearest")


def _project(kernel: Any, bias: Any, x: Any) -> Any:
    return torch().conv2d(x, kernel[:, :, None, None], bias)


def graph_bytes(architecture: Architecture, images: int, ny: int, nx: int, dtype: str) -> int:
    """Bytes of the intermediate results that a gradient needs, roughly."""
    full, half, quarter = architecture.channels
    layers = len(architecture.dilations)
    # The inputs of the convolutions and of the activations, and the inputs of a block's layers.
    features = sum(quarter + k * architecture.growth for k in range(1, layers + 1))
    block = 3 * quarter + features + layers * 2 * architecture.growth
    per_pixel = 6 * half / 4 + (quarter + architecture.blocks * block) / 16
    per_pixel += 4 * half / 4 if architecture.unshuffled else 6 * full
    per_pixel += sum(8 * channels / 4 ** (3 + k) for k, channels in enumerate(architecture.deep))
    return int(images * ny * nx * per_pixel * (2 if dtype == "bfloat16" else 4))
