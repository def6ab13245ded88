"""The U-Net of the learned prior: a strided encoder, dilated residual dense blocks at 1/4 resolution.

``init`` and ``apply`` are pure functions of a static :class:`UNetConfig`; flax stays in this folder.
"""

from __future__ import annotations

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pfitre_jax.models.blocks import (
    ConditionedConvolution,
    FiLM,
    ResidualDenseBlock,
    convolution,
    double,
    gelu,
    halve,
    pad_to_multiple,
    random_parameters,
    structure,
    with_arrays,
)

#: A layer's outputs are scaled down at the end of a dense block, so that stacked blocks start near identity.
BLOCK_WEIGHT = 0.2
_SWITCHES = ("turned", "conditioned", "along_rows")
_DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Layout of a U-Net; static and hashable.

    channels: at full, 1/2 and 1/4 resolution
    blocks: number of residual dense blocks at 1/4 resolution, 0 for a plain U-Net
    dilations: of the convolutions of one block
    growth: channels that each convolution of a block adds
    in_channels: channels of the input, the current image first
    condition: length of the condition vector
    embedding: length of the embedding of the condition
    turned: whether images are turned into the frame of the wedge, see :mod:`pfitre_jax.priors.network`;
        conditioned: whether the network is told the condition, else zeros. Off to find out what they are
        worth; the caller does both, and they travel with the weights
    along_rows: whether it is a network of volumes, see :mod:`pfitre_jax.contrib.unet3d`
    compute_dtype: what the network calculates in, e.g. ``"bfloat16"``; ``None`` is the image's own. The
        residual is added in the image's dtype.

    0.33 M parameters by default; (16, 32, 96) with growth 48 has 0.69 M, (32, 64, 128) with growth 64 1.30 M.
    """

    channels: tuple[int, int, int] = (16, 32, 64)
    blocks: int = 2
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    growth: int = 32
    in_channels: int = 2
    condition: int = 2
    embedding: int = 32
    turned: bool = True
    conditioned: bool = True
    along_rows: bool = False
    compute_dtype: str | None = None

    def __post_init__(self):
        # Lists, as they come from JSON, are not hashable.
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if len(self.channels) != 3:
            raise ValueError(
                f"channels is {self.channels}; expected three numbers, for full, 1/2 and 1/4 resolution"
            )
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected true or false")
        if self.compute_dtype not in (None, *_DTYPES):
            raise ValueError(
                f"compute_dtype is {self.compute_dtype!r}; expected none, or one of {', '.join(_DTYPES)}"
            )
        others = {"compute_dtype", *_SWITCHES}
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in others}
        for name, value in sizes.items():
            numbers = value if isinstance(value, tuple) else (value,)
            least = 0 if name == "blocks" else 1
            if not numbers or any(not isinstance(n, int) or n < least for n in numbers):
                raise ValueError(f"{name} is {value!r}; expected whole numbers of at least {least}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UNetConfig:
        """The config of :meth:`to_json`; ``ValueError`` for fields that are not one of it."""
        fields = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not set(fields) <= known:
            unknown = sorted(set(fields) - known) if isinstance(fields, dict) else fields
            raise ValueError(f"a U-Net config has {unknown}; expected fields of {sorted(known)}")
        return cls(**fields)


class UNet(nnx.Module):
    """The layers; what they do with one image."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        full, half, quarter = config.channels
        embedding = config.embedding
        self.embed = nnx.Linear(config.condition, embedding, rngs=rngs)
        self.enter = ConditionedConvolution(config.in_channels, full, embedding, rngs=rngs)
        self.down_half = halve(full, half, rngs=rngs)
        self.encode_half = ConditionedConvolution(half, half, embedding, rngs=rngs)
        self.down_quarter = halve(half, quarter, rngs=rngs)
        self.films = nnx.List(FiLM(embedding, quarter, rngs=rngs) for _ in range(config.blocks))
        self.blocks = nnx.List(
            ResidualDenseBlock(quarter, config.growth, config.dilations, weight=BLOCK_WEIGHT, rngs=rngs)
            for _ in range(config.blocks)
        )
        self.up_half = nnx.Linear(quarter, half, rngs=rngs)
        self.decode_half = ConditionedConvolution(half, half, embedding, rngs=rngs)
        self.up_full = nnx.Linear(half, full, rngs=rngs)
        self.decode_full = ConditionedConvolution(full, full, embedding, rngs=rngs)
        self.leave = convolution(full, 1, rngs=rngs)

    def encode(self, image: Float[Array, "ny nx channels"], e: Float[Array, " embedding"]):
        full = self.enter(pad_to_multiple(image, 4), e)
        half = self.encode_half(self.down_half(full), e)
        return full, half, self.down_quarter(half)

    def __call__(self, image: Float[Array, "ny nx channels"], condition: Float[Array, " k"]):
        ny, nx = image.shape[:2]
        e = gelu(self.embed(condition))
        full, half, quarter = self.encode(image, e)
        for film, block in zip(self.films, self.blocks, strict=True):
            quarter = block(film(quarter, e))
        # Skips are added, not concatenated: at full resolution that halves the decoder's cost.
        half = self.decode_half(half + double(self.up_half(quarter)), e)
        full = self.decode_full(full + double(self.up_full(half)), e)
        return self.leave(full)[:ny, :nx, 0]


@functools.partial(jax.jit, static_argnums=0)
def init(config: UNetConfig, key: Array) -> dict:
    """Random float32 parameters: a nested dict of arrays. :func:`apply` starts as the identity.

    The last layer is zero, so that the correction is.
    """
    params = random_parameters(structure(UNet, config)[1], key)
    return params | {"leave": jax.tree.map(jnp.zeros_like, params["leave"])}


def widen(params: dict, channels: int) -> dict:
    """The parameters of the network with so many more input channels, the last, which count for nothing."""
    enter = params["enter"]
    first = enter["convolution"]
    kernel = jnp.pad(first["kernel"], [(0, 0)] * (first["kernel"].ndim - 2) + [(0, channels), (0, 0)])
    return params | {"enter": enter | {"convolution": first | {"kernel": kernel}}}


def apply(
    config: UNetConfig,
    params: dict,
    image: Float[Array, "ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "ny nx"]:
    """``image[..., 0] + correct(image, condition)``."""
    return image[..., 0] + correct(config, params, image, condition)


def correct(
    config: UNetConfig,
    params: dict,
    image: Float[Array, "ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "ny nx"]:
    """What the network adds to an image, of the image's dtype.

    image: (ny, nx, in_channels), any size; the current image first, then what the prior adds (the
        data-gradient image)
    condition: (k,), numbers of order one that scale and shift every level's channels (FiLM)

    A pixel of the result sees ``4 * blocks * sum(dilations)`` pixels, and about 12 more, to each side: by
    default 120. ``ValueError`` for a wrong number of channels or of conditions.
    """
    network, cast = assembled(UNet, config, params, image, condition)
    return network(cast(image), cast(condition)).astype(image.dtype)


def assembled(network: type[nnx.Module], config: UNetConfig, params: dict, given, condition):
    """``network`` of a layout with its arrays, and the cast to what it calculates in.

    Raises ``ValueError`` where ``given``, an image (ny, nx, in_channels) or of a network along the rows a
    volume (rows, ny, nx, in_channels), or the condition does not fit.
    """
    what, axes = ("volume", "rows, ny, nx") if config.along_rows else ("image", "ny, nx")
    if given.ndim != 3 + config.along_rows or given.shape[-1] != config.in_channels:
        raise ValueError(f"the {what} has shape {given.shape}; expected ({axes}, {config.in_channels})")
    if condition.shape != (config.condition,):
        raise ValueError(f"the condition has shape {condition.shape}; expected ({config.condition},)")
    dtype = config.compute_dtype or given.dtype
    return with_arrays(network, config, params, dtype), lambda a: jnp.asarray(a, dtype)


def count(params: dict) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
