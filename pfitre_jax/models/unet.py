"""U-Net of the learned prior: a strided encoder with dilated residual dense blocks at 1/4 resolution.

:func:`init`, :func:`predict_update` and :func:`predict_log_error` are pure functions of a static
:class:`UNetConfig`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

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
    shuffle_pixels,
    structure,
    unshuffle_pixels,
    with_arrays,
)
from pfitre_jax.models.networks import Network
from pfitre_jax.models.onednn import primitive as onednn
from pfitre_jax.models.onednn.network import Architecture

#: Factor of a dense block's residual, so that a stack of blocks starts near the identity.
BLOCK_WEIGHT = 0.2
#: Expected absolute error of an untrained network, for images of about [0, 1].
INITIAL_ERROR = 0.05
_SWITCHES = ("turned", "conditioned", "along_rows", "unshuffled", "expected_error")
_DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class UNetConfig:
    """Configuration of a U-Net; static and hashable.

    It has 0.33 M parameters by default, 0.69 M with channels (16, 32, 96) and growth 48, and 1.30 M with
    channels (32, 64, 128) and growth 64.

    Attributes:
        channels: Channels at full, 1/2 and 1/4 resolution. With ``unshuffled`` there are no features at full
            resolution, and the first number has no effect.
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
        deep: Channels at 1/8, 1/16, ... resolution, between the first and the second half of the blocks. They
            carry features across the image at little cost.
        unshuffled: Whether four neighbouring pixels are four channels at 1/2 resolution, in the input and in
            the output, instead of convolutions at full resolution.
        expected_error: Whether there is a second output, see :func:`predict_log_error`.

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
    deep: tuple[int, ...] = ()
    unshuffled: bool = False
    expected_error: bool = False

    def __post_init__(self):
        # JSON gives lists, which are not hashable.
        for name in ("channels", "dilations", "deep"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
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
            if (not numbers and name != "deep") or any(not isinstance(n, int) or n < least for n in numbers):
                raise ValueError(f"{name} is {value!r}; expected whole numbers of at least {least}")
        of_images = [name for name in ("deep", "unshuffled", "expected_error") if getattr(self, name)]
        if self.along_rows and of_images:
            raise ValueError(
                f"along_rows is true, and the network has {', '.join(of_images)}, which networks of volumes "
                "cannot have; expected one or the other"
            )

    @property
    def network(self) -> str:
        """Name in :data:`pfitre_jax.models.networks.NETWORKS`."""
        return "unet3d" if self.along_rows else "unet"

    @property
    def least_arrays(self) -> int:
        """Lower bound of the number of parameter arrays."""
        return self.blocks * len(self.dilations)

    @property
    def multiple(self) -> int:
        """Multiple that the sizes of an image are padded to: the scale of the lowest resolution."""
        return 4 * 2 ** len(self.deep)

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


@functools.partial(jax.jit, static_argnums=0)
def init(config: UNetConfig, key: Array) -> dict:
    """Returns random float32 parameters, a nested dict of arrays.

    The last layer is zero, so that the update is zero and the prior starts as the identity. So is what the
    lower resolutions add. The expected error starts as :data:`INITIAL_ERROR` everywhere.
    """
    params = random_parameters(structure(UNet, config)[1], key)
    zero = {name: params[name] for name in ("leave", "deep_up") if name in params}
    params |= jax.tree.map(jnp.zeros_like, zero)
    if not config.expected_error:
        return params
    leave = jax.tree.map(jnp.zeros_like, params["error_head"]["leave"])
    leave["bias"] += math.log(INITIAL_ERROR)
    return params | {"error_head": params["error_head"] | {"leave": leave}}


def predict_update(
    config: UNetConfig,
    params: dict,
    image: Float[Array, "ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "ny nx"]:
    """Returns the update that the network adds to an image, in the image's type.

    A pixel depends on the ``4 * blocks * sum(dilations)`` pixels, and about 12 more, on each side of it: 120
    by default. With ``deep`` it depends on more.

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


def predict_log_error(
    config: UNetConfig,
    params: dict,
    image: Float[Array, "ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "ny nx"]:
    """Returns the logarithm of the absolute error to expect in each pixel of an image.

    It has layers of its own, ``params["error_head"]``, which read the features of the update. Only they
    receive a gradient, so that their training does not change the update.

    Args:
        config: Configuration with ``expected_error``; static.
        params: Parameters of :func:`init`.
        image: (ny, nx, in_channels), as that of :func:`predict_update`.
        condition: (k,).

    Raises:
        ValueError: For a network without this output, and as :func:`predict_update`.
    """
    check_expected_error(config)
    network, cast = assemble(UNet, config, params, image, condition)
    return network.log_error(cast(image), cast(condition)).astype(image.dtype)


def predict_updates(
    config: UNetConfig,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """Returns :func:`predict_update` of each image, on a CPU by :mod:`pfitre_jax.models.onednn` if it can.

    The engine is chosen when a program is compiled, see :mod:`pfitre_jax.models.engines`.
    """
    return _predict("update", config, params, images, condition)


def predict_log_errors(
    config: UNetConfig,
    params: dict,
    images: Float[Array, "n ny nx channels"],
    condition: Float[Array, " k"],
) -> Float[Array, "n ny nx"]:
    """Returns :func:`predict_log_error` of each image, by the engine of :func:`predict_updates`."""
    check_expected_error(config)
    return _predict("log_error", config, params, images, condition)


def _predict(output: str, config: UNetConfig, params: dict, images: Array, condition: Array) -> Array:
    check_inputs(config, images[0], condition)
    dtype = config.compute_dtype or images.dtype.name
    onednn_dtype = engines.onednn_dtype(dtype) if images.size else None
    if onednn_dtype is None:
        one = {"update": predict_update, "log_error": predict_log_error}[output]
        return map_images(one, config, params, images, condition)
    return onednn.predict(architecture(config, params), onednn_dtype, output, params, images, condition)


def architecture(config: UNetConfig, params: dict) -> Architecture:
    """Returns what :mod:`pfitre_jax.models.onednn` has to know about a network."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = tuple(tuple(str(entry.key) for entry in path) for path, _ in leaves)
    c = config
    return Architecture(
        c.channels, c.blocks, c.dilations, c.growth, c.in_channels, c.deep, c.unshuffled, BLOCK_WEIGHT, names
    )


def extend(config: UNetConfig, params: dict, wanted: UNetConfig) -> dict:
    """Returns the parameters of a larger network that predicts the same update.

    The weights of added input channels are zero. Lower resolutions where there were none, and the
    expected error have the weights of :func:`init`. With lower resolutions, images are padded further, which
    changes the update near the lower and the right edge.

    Args:
        config: Configuration of ``params``.
        params: Parameters; leading axes that all arrays share are kept.
        wanted: As ``config``, with as many ``in_channels`` or more, and perhaps ``deep`` and
            ``expected_error``.

    Raises:
        ValueError: Where ``wanted`` differs in anything else.
    """
    more = wanted.in_channels - config.in_channels
    same = dataclasses.replace(
        config,
        in_channels=wanted.in_channels,
        deep=config.deep or wanted.deep,
        expected_error=config.expected_error or wanted.expected_error,
    )
    if more < 0 or same != wanted:
        raise ValueError(
            f"the weights belong to the network {config}; expected the configured network {wanted}, or one "
            "that differs only in having fewer in_channels, no deep levels, expected_error = false or "
            "along_rows = false"
        )
    leading = params["embed"]["bias"].shape[:-1]
    fresh = init(wanted, jax.random.key(0)) if wanted != config else params
    added = {name: part for name, part in fresh.items() if name not in params}
    params = params | jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*leading, *leaf.shape)), added)
    convolution_block = params["enter"]["convolution"]
    kernel = convolution_block["kernel"]
    more *= 4 if config.unshuffled else 1
    kernel = jnp.pad(kernel, [(0, 0)] * (kernel.ndim - 2) + [(0, more), (0, 0)])
    return params | {"enter": params["enter"] | {"convolution": convolution_block | {"kernel": kernel}}}


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


def check_expected_error(config: UNetConfig) -> None:
    """Checks that a network has the expected error as an output.

    Raises:
        ValueError: Where it has not.
    """
    if not config.expected_error:
        raise ValueError(
            "the network has no output for the expected error; expected weights that were trained with "
            "expected_error = true in [network]"
        )


def count(params: dict) -> int:
    """Returns the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


NETWORK = Network(
    config=UNetConfig,
    init=init,
    predict_update=predict_updates,
    reach=lambda config: 0,
    extend=extend,
    predict_log_error=predict_log_errors,
)
