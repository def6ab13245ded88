"""The published PFITRE network with the weights of its PyTorch checkpoint, as a prior for the published loop.

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

from pfitre_jax.baselines.published import network as original
from pfitre_jax.baselines.published.network import OriginalConfig
from pfitre_jax.interfaces import Card, Prior, PriorInfo

#: How the files of PyTorch end.
SUFFIXES = (".pth", ".pt", ".ckpt")
# What a checkpoint may hold the weights under; the authors' training writes the first.
_WRAPPINGS = ("net_state_dict", "state_dict", "model_state_dict", "model")
# DataParallel puts this before every name.
_PARALLEL = "module."

#: Our layers by their names in the checkpoint.
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
# Layers that the published class has and never runs; ``encoder`` holds the first ones a second time.
_IDLE = ("encoder.", "conv3.", "conv4s.", "conv4.", "conv5s.", "conv5.", "center.", "dec5.", "dec4.")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OriginalPrior(Prior):
    """The published network; a pytree whose leaves are the parameters. It does not know the wedge.

    params: nested dict of arrays; config: layout, static; card: its name, static
    """

    params: Any
    config: OriginalConfig = dataclasses.field(metadata={"static": True})
    card: Card = dataclasses.field(default_factory=Card, metadata={"static": True})

    @property
    def info(self) -> PriorInfo:
        """The name of the checkpoint, as its model card."""
        return PriorInfo(card=self.card)

    def denoise(self, v: Float[Array, "ny nx"], *, correction=None, wedge=None, rho=None):
        """The image (ny, nx) that the network proposes for ``v``; the rest is not looked at."""
        return original.apply(self.config, self.params, v)


def load(path: str | os.PathLike) -> OriginalPrior:
    """Read a checkpoint of the published network; nothing that is in the file is executed.

    Raises ``FileNotFoundError`` for no file, ``ValueError`` where PyTorch is missing, for a file that holds
    more than arrays, and for arrays that :func:`from_state_dict` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; expected a file that torch.save wrote")
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path.name} is a PyTorch checkpoint and PyTorch is not installed; expected it to read the "
            "file: pip install 'pfitre_jax[torch]'"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Whatever a damaged or foreign file makes PyTorch raise.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as arrays only ({type(error).__name__}); expected a state dict that "
            "torch.save wrote: save model.state_dict(), not the model"
        ) from error
    for name in _WRAPPINGS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ValueError(
            f"{path} holds no state dict; expected one, or one under {', '.join(_WRAPPINGS)}: save "
            "model.state_dict()"
        )
    return from_state_dict({n: v.float().numpy() for n, v in content.items()}, name=path.name)


def from_state_dict(state: Mapping[str, np.ndarray], name: str = "published") -> OriginalPrior:
    """The prior of a state dict of arrays: kernels (outputs, inputs, 3, 3), those of ``dec3.block.1`` and
    ``dec2.block.1`` (inputs, outputs, 2, 2).

    ``ValueError`` that lists what is missing, unknown or of another shape.
    """
    given = {key.removeprefix(_PARALLEL): np.asarray(value) for key, value in state.items()}
    last = given.get("final.weight")
    config = OriginalConfig(int(last.shape[1]) if last is not None and last.ndim == 4 else 32)
    expected = jax.eval_shape(lambda: original.init(config, jax.random.key(0)))
    flat, structure = jax.tree_util.tree_flatten_with_path(expected)
    leaves, missing, wrong, used = [], [], [], set()
    for path, leaf in flat:
        layer, kind = jax.tree_util.keystr(path, simple=True, separator="/").rsplit("/", 1)
        key = f"{LAYERS[layer]}.{'weight' if kind == 'kernel' else 'bias'}"
        used.add(key)
        if key not in given:
            missing.append(key)
            continue
        array = _converted(layer, given[key])
        if array.shape != leaf.shape:
            wrong.append(f"{key} {given[key].shape}")
        leaves.append(jnp.asarray(array))
    unknown = sorted(key for key in set(given) - used if not key.startswith(_IDLE))
    if missing or wrong or unknown:
        raise ValueError(
            f"{name} lacks {missing}, has the unknown {unknown}, and of another shape {wrong}; expected the "
            f"state dict of the published PFITRE_net with {config.filters} filters"
        )
    return OriginalPrior(jax.tree_util.tree_unflatten(structure, leaves), config, Card({"name": name}))


def _converted(layer: str, array: np.ndarray) -> np.ndarray:
    """An array in flax's order of axes: (ny, nx, inputs, outputs), (inputs, outputs) for the last layer."""
    if array.ndim != 4:
        return array
    if layer.endswith("/double"):
        # Of a transposed convolution, and mirrored: flax correlates with what PyTorch spreads out.
        return array.transpose(2, 3, 0, 1)[::-1, ::-1]
    kernel = array.transpose(2, 3, 1, 0)
    return kernel[0, 0] if layer == "leave" and kernel.shape[:2] == (1, 1) else kernel
