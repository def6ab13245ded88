"""PyTorch checkpoints of the published PFITRE network, loaded as a prior.

The names and the order of the layers are those of the class ``PFITRE_net`` in the authors' ``PFITRE_Net.py``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.baselines.published import network
from pfitre_jax.baselines.published.network import PublishedConfig
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, Prior, PriorInfo

#: Suffixes of PyTorch files.
SUFFIXES = (".pth", ".pt", ".ckpt")
# Keys of the state dict in a checkpoint; the authors' training writes the first.
_STATE_DICT_KEYS = ("net_state_dict", "state_dict", "model_state_dict", "model")
# Prefix that DataParallel adds to every name.
_PARALLEL_PREFIX = "module."

#: Names of the layers in the checkpoint by their names here.
LAYERS = {
    "encode_full": "conv1",
    "down_half": "pool1",
    "encode_half": "conv2",
    "down_quarter": "pool2",
    "encode_quarter": "conv3s",
    **{f"dilated/convolutions/{k}": f"ResBlock.conv{k + 1}" for k in range(6)},
    **{f"dense/convolutions/{k}": f"ResidualDenseBlock.conv{k + 1}" for k in range(5)},
    "decode_half/convolution": "dec3.block.0.conv",
    "decode_half/double": "dec3.block.1",
    "decode_full/convolution": "dec2.block.0.conv",
    "decode_full/double": "dec2.block.1",
    "decode": "dec1.conv",
    "leave": "final",
}
# Layers that the published class defines and never runs; ``encoder`` repeats the first ones.
_UNUSED = ("encoder.", "conv3.", "conv4s.", "conv4.", "conv5s.", "conv5.", "center.", "dec5.", "dec4.")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PublishedPrior(Prior):
    """The published network; a pytree whose leaves are the parameters. It ignores the wedge.

    Attributes:
        params: Parameters, a nested dict of arrays.
        config: Configuration; static.
        card: Model card with the name of the checkpoint; static.
    """

    params: Any
    config: PublishedConfig = dataclasses.field(metadata={"static": True})
    card: Card = dataclasses.field(default_factory=Card, metadata={"static": True})

    @property
    def info(self) -> PriorInfo:
        """A model card with the name of the checkpoint."""
        return PriorInfo(card=self.card)

    def denoise(
        self, v: Float[Array, "ny nx"], *, correction: Array, wedge: Wedge, rho: Array | float
    ) -> Float[Array, "ny nx"]:
        """The image (ny, nx) that the network proposes for ``v``; the other arguments are not used."""
        return network.apply(self.config, self.params, v)


def load(path: str | os.PathLike) -> PublishedPrior:
    """Loads a checkpoint of the published network, without executing code from the file.

    Raises:
        FileNotFoundError: For a missing file.
        ValueError: Where PyTorch is not installed; for a file that holds more than arrays; for arrays that
            :func:`from_state_dict` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; expected a file that torch.save wrote")
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path.name} is a PyTorch checkpoint and PyTorch is not installed; install PyTorch to read "
            "it: pip install '.[torch]' in a copy of the repository"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # PyTorch raises many kinds of errors for damaged and foreign files.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as arrays only ({type(error).__name__}); expected a state dict that "
            "torch.save wrote: save model.state_dict(), not the model"
        ) from error
    for name in _STATE_DICT_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ValueError(
            f"{path} holds no state dict; expected one, or one under {', '.join(_STATE_DICT_KEYS)}: save "
            "model.state_dict()"
        )
    return from_state_dict({n: v.float().numpy() for n, v in content.items()}, name=path.name)


def from_state_dict(state: Mapping[str, np.ndarray], name: str = "published") -> PublishedPrior:
    """Returns the prior of a state dict.

    Args:
        state: Arrays by their names. Kernels are (outputs, inputs, 3, 3), those of ``dec3.block.1`` and
            ``dec2.block.1`` (inputs, outputs, 2, 2).
        name: Name of the prior in its card and in messages.

    Raises:
        ValueError: For missing and unknown arrays and for other shapes, with their names.
    """
    arrays = {key.removeprefix(_PARALLEL_PREFIX): np.asarray(value) for key, value in state.items()}
    last = arrays.get("final.weight")
    config = PublishedConfig(int(last.shape[1]) if last is not None and last.ndim == 4 else 32)
    expected = jax.eval_shape(lambda: network.init(config, jax.random.key(0)))
    flat, structure = jax.tree_util.tree_flatten_with_path(expected)
    leaves, missing, wrong, used = [], [], [], set()
    for path, leaf in flat:
        layer, kind = jax.tree_util.keystr(path, simple=True, separator="/").rsplit("/", 1)
        key = f"{LAYERS[layer]}.{'weight' if kind == 'kernel' else 'bias'}"
        used.add(key)
        if key not in arrays:
            missing.append(key)
            continue
        array = _to_flax(layer, arrays[key])
        if array.shape != leaf.shape:
            wrong.append(f"{key} {arrays[key].shape}")
        leaves.append(jnp.asarray(array))
    unknown = sorted(key for key in set(arrays) - used if not key.startswith(_UNUSED))
    if missing or wrong or unknown:
        raise ValueError(
            f"{name} lacks {missing}, has the unknown {unknown}, and arrays of another shape {wrong}; "
            f"expected the state dict of the published PFITRE_net with {config.filters} filters"
        )
    return PublishedPrior(jax.tree_util.tree_unflatten(structure, leaves), config, Card({"name": name}))


def _to_flax(layer: str, array: np.ndarray) -> np.ndarray:
    """An array in the axis order of flax: (ny, nx, inputs, outputs), (inputs, outputs) for the last layer."""
    if array.ndim != 4:
        return array
    if layer.endswith("/double"):
        # PyTorch and flax mirror the kernel of a transposed convolution differently.
        return array.transpose(2, 3, 0, 1)[::-1, ::-1]
    kernel = array.transpose(2, 3, 1, 0)
    return kernel[0, 0] if layer == "leave" and kernel.shape[:2] == (1, 1) else kernel
