"""U-Net of the learned prior: a strided encoder with dilated residual dense blocks at 1/4 resolution.

:func:`init` and :func:`predict_update` are pure functions of a static :class:`UNetConfig`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.models import engines
from pfitre_jax.models.batching import map_images
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
from pfitre_jax.models.networks import Network
from pfitre_jax.models.onednn import primitive as onednn
from pfitre_jax.models.onednn.network import Architecture

#: Factor of a dense block's residual, so that a stack of blocks starts near the identity.
BLOCK_WEIGHT = 0.2
_SWITCHES = ("turned", "conditioned", "along_rows")
_DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Configuration of a U-Net; static and hashable.

    It has 0.33 M parameters by default, 0.69 M with channels (16, 32, 96) and growth 48, and 1.30 M with
    channels (32, 64, 128) and growth 64.

    Attributes:
        channels: Channels at full, 1/2 and 1/4 resolution.
        blocks: Number of residual dense blocks at 1/4 resolution; 0 for a plain U-Net.
        dilations: Dilations of the convolutions in a block.
        growth: Channels that each convolution of a block adds.
        in_channels: Channels of the input; the first is the current image.
        condition: Length of the condition vector.
        embedding: Length of the embedding of the condition.
        turned: Whether the prior rotates images into the frame of the wedge; otherwise the wedge's centre is
            part of the condition, see :func:`pfitre_jax.priors.network.condition`.
        conditioned: Whether the network receives the condition; otherwise it receives zeros.
        along_rows: Whether it is the network of volumes, :mod:`pfitre_jax.contrib.unet3d`.
        compute_dtype: Type that the network computes in, such as ``"bfloat16"``; ``None`` for that of the
            image. The update is added in the image's type.

    Raises:
        ValueError: For a value that no network can have.
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
        # JSON gives lists, which are not hashable.
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
        no_sizes = {"compute_dtype", *_SWITCHES}
        sizes = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in no_sizes}
        for name, value in sizes.items():
            numbers = value if isinstance(value, tuple) else (value,)
            least = 0 if name == "blocks" else 1
            if not numbers or any(not isinstance(n, int) or n < least for n in numbers):
                raise ValueError(f"{name} is {value!r}; expected whole numbers of at least {least}")

    @property
    def network(self) -> str:
        """Name in :data:`pfitre_jax.models.networks.NETWORKS`."""
        return "unet3d" if self.along_rows else "unet"

    @property
    def least_arrays(self) -> int:
        """Lower bound of the number of parameter arrays."""
        return self.blocks * len(self.dilations)

    def to_json(self) -> str:
        """Returns the fields as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> UNetConfig:
        """Reads the text of :meth:`to_json`.

        Raises:
            ValueError: For an unknown field or an invalid value.
        """
        fields = json.loads(text)
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or not set(fields) <= known:
            unknown = sorted(set(fields) - known) if isinstance(fields, dict) else fields
            raise ValueError(f"a U-Net configuration has {unknown}; expected fields of {sorted(known)}")
        return cls(**fields)


class UNet(nnx.Module):
    """The layers of the U-Net, and the update that they predict for one image."""

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

    def __call__(
        self, image: Float[Array, "ny nx channels"], condition: Float[Array, " k"]
    ) -> Float[Array, "ny nx"]:
        """The update of an image: (ny, nx, channels) and condition (k,) -> (ny, nx)."""
        ny, nx = image.shape[:2]
        e = gelu(self.embed(condition))
        full = self.enter(pad_to_multiple(image, 4), e)
        half = self.encode_half(self.down_half(full), e)
        quarter = self.down_quarter(half)
        for film, block in zip(self.films, self.blocks, strict=True):
            quarter = block(film(quarter, e))
        # Adding the skip connections costs half as much at full resolution as concatenating them.
        half = self.decode_half(half + double(self.up_half(quarter)), e)
        full = self.decode_full(full + double(self.up_full(half)), e)
        return self.leave(full)[:ny, :nx, 0]


@functools.partial(jax.jit, static_argnums=0)
def init(config: UNetConfig, key: Array) -> dict:
    """Returns random float32 parameters, a nested dict of arrays.

    The last layer is zero, so that the update is zero and the prior starts as the identity.
    """
    params = random_parameters(structure(UNet, config)[1], key)
    return params | {"leave": jax.tree.map(jnp.zeros_like, params["leave"])}


def predict_update(
    config: UNetConfig,
    params: dict,
    image: Float[Array, "ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "ny nx"]:
    """Returns the update that the network adds to an image, in the image's type.

    A pixel depends on the ``4 * blocks * sum(dilations)`` pixels, and about 12 more, on each side of it: 120
    by default.

    Args:
        config: Configuration; static.
        params: Parameters of :func:`init`.
        image: (ny, nx, in_channels), any size: the current image, the data correction, neighbouring rows.
        condition: (k,), numbers of order one that scale and shift the channels of every level (FiLM).

    Raises:
        ValueError: For a wrong number of channels or of conditions.
    """
    network, cast = assemble(UNet, config, params, image, condition)
    return network(cast(image), cast(condition)).astype(image.dtype)


def predict_updates(
    config: UNetConfig,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """Returns :func:`predict_update` of each image, on a CPU by :mod:`pfitre_jax.models.onednn` if it can.

    The engine is chosen when a program is compiled, see :mod:`pfitre_jax.models.engines`.
    """
    check_inputs(config, images[0], condition)
    dtype = config.compute_dtype or images.dtype.name
    onednn_dtype = engines.onednn_dtype(dtype) if images.size else None
    if onednn_dtype is None:
        return map_images(predict_update, config, params, images, condition)
    return onednn.predict_updates(architecture(config, params), onednn_dtype, params, images, condition)


def architecture(config: UNetConfig, params: dict) -> Architecture:
    """Returns what :mod:`pfitre_jax.models.onednn` has to know about a network."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = tuple(tuple(str(entry.key) for entry in path) for path, _ in leaves)
    c = config
    return Architecture(c.channels, c.blocks, c.dilations, c.growth, c.in_channels, BLOCK_WEIGHT, names)


def extend(config: UNetConfig, params: dict, wanted: UNetConfig) -> dict:
    """Returns the parameters of a network with more input channels, whose weights are zero.

    Args:
        config: Configuration of ``params``.
        params: Parameters; leading axes that all arrays share are kept.
        wanted: As ``config``, with as many ``in_channels`` or more.

    Raises:
        ValueError: Where ``wanted`` differs in anything else.
    """
    more = wanted.in_channels - config.in_channels
    if more < 0 or dataclasses.replace(config, in_channels=wanted.in_channels) != wanted:
        raise ValueError(
            f"the weights belong to the network {config}; expected the configured network {wanted}, or one "
            "that differs only in having fewer in_channels or along_rows = false"
        )
    convolution_block = params["enter"]["convolution"]
    kernel = convolution_block["kernel"]
    kernel = jnp.pad(kernel, [(0, 0)] * (kernel.ndim - 2) + [(0, more), (0, 0)])
    return params | {"enter": params["enter"] | {"convolution": convolution_block | {"kernel": kernel}}}


def assemble(
    network: type[nnx.Module], config: UNetConfig, params: dict, inputs: Array, condition: Array
) -> tuple[nnx.Module, Callable[[ArrayLike], Array]]:
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


def check_inputs(config: UNetConfig, inputs: Array, condition: Array) -> None:
    """Checks the shapes of an image (ny, nx, in_channels) or volume, and of a condition (k,).

    Raises:
        ValueError: For a wrong number of axes, channels or conditions.
    """
    kind, axes = ("volume", "rows, ny, nx") if config.along_rows else ("image", "ny, nx")
    if inputs.ndim != 3 + config.along_rows or inputs.shape[-1] != config.in_channels:
        raise ValueError(f"the {kind} has shape {inputs.shape}; expected ({axes}, {config.in_channels})")
    if condition.shape != (config.condition,):
        raise ValueError(f"the condition has shape {condition.shape}; expected ({config.condition},)")


def count(params: dict) -> int:
    """Returns the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


NETWORK = Network(
    config=UNetConfig, init=init, predict_update=predict_updates, reach=lambda config: 0, extend=extend
)
