"""U-Net of the learned prior: its parameters and what it predicts.

:func:`init`, :func:`predict_update` and :func:`predict_log_error` are pure functions of a static
:class:`pfitre_jax.models.unet_config.UNetConfig`. The layers are :mod:`pfitre_jax.models.unet_layers`.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.models import engines
from pfitre_jax.models.batching import map_images
from pfitre_jax.models.blocks import random_parameters, structure
from pfitre_jax.models.networks import Network
from pfitre_jax.models.onednn import primitive as onednn
from pfitre_jax.models.onednn.network import Architecture
from pfitre_jax.models.unet_config import UNetConfig, check_expected_error, check_inputs
from pfitre_jax.models.unet_layers import BLOCK_WEIGHT, ERROR_HEAD, UNet, assemble

#: Expected absolute error of an untrained network, for images of about [0, 1].
INITIAL_ERROR = 0.05


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
    leave = jax.tree.map(jnp.zeros_like, params[ERROR_HEAD]["leave"])
    leave["bias"] += math.log(INITIAL_ERROR)
    return params | {ERROR_HEAD: params[ERROR_HEAD] | {"leave": leave}}


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
