"""The convolutions of VGG11, 13, 16 or 19 (Simonyan & Zisserman, ICLR 2015) with a user's weights.

The file is an ``.npz`` with the arrays of torchvision's state dict, ``features.0.weight`` (outputs, inputs,
3, 3), ``features.0.bias`` (outputs,) and so on; what else it holds is left alone. Made in PyTorch by::

    weights = torchvision.models.vgg16(weights="DEFAULT").features.state_dict()
    np.savez("vgg16.npz", **{f"features.{name}": value.numpy() for name, value in weights.items()})
"""

from __future__ import annotations

import os
import re
import zipfile
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Mean and standard deviation of the colours that torchvision's weights were trained with, images in [0, 1].
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_NAME = re.compile(r"features\.(\d+)\.(weight|bias)")


def load(path: str | os.PathLike) -> tuple[tuple[tuple[Array, Array], ...], ...]:
    """Blocks of ``(kernel (3, 3, inputs, outputs), bias (outputs,))``, between which the image is halved.

    torchvision's numbers tell the layout: two convolutions are 2 apart, and 3 with a pooling between them.
    ``FileNotFoundError`` for no file; ``ValueError``, with what was expected, for any other layout.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files if _NAME.fullmatch(name)}
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read ({error}); expected VGG weights, an .npz file") from error
    numbers = sorted({int(_NAME.fullmatch(name)[1]) for name in arrays})
    lacking = [n for number in numbers for n in _names(number) if n not in arrays]
    if not numbers or numbers[0] != 0 or lacking or any(b - a not in (2, 3) for a, b in pairwise(numbers)):
        raise ValueError(
            f"{path} has the convolutions {numbers} and lacks {lacking}; expected weight and bias of each, "
            "numbered as in torchvision's VGG without batch normalisation: features.0.weight, features.0.bias"
        )
    blocks, inputs = [[]], 3
    for number, before in zip(numbers, [0, *numbers], strict=False):
        kernel, bias = (arrays[name] for name in _names(number))
        if kernel.shape[1:] != (inputs, 3, 3) or bias.shape != kernel.shape[:1]:
            raise ValueError(
                f"{path}: features.{number} has shapes {kernel.shape} and {bias.shape}; expected (outputs, "
                f"{inputs}, 3, 3) and (outputs,)"
            )
        inputs = len(kernel)
        if number - before == 3:
            blocks.append([])
        blocks[-1].append(
            (jnp.asarray(kernel.transpose(2, 3, 1, 0), jnp.float32), jnp.asarray(bias, jnp.float32))
        )
    return tuple(tuple(block) for block in blocks)


def features(blocks, image: Float[Array, "ny nx"]) -> tuple[Array, ...]:
    """The maps ``(ny, nx, channels)`` at the end of each block, after its ReLU; each block halves the size.

    blocks: of :func:`load`
    image: (ny, nx), grey values of about [0, 1]
    """
    x = (image[..., None] - jnp.asarray(MEAN, image.dtype)[None, None]) / jnp.asarray(DEVIATION, image.dtype)[
        None, None
    ]
    maps = []
    for number, block in enumerate(blocks):
        if number:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2, 1), (2, 2, 1), "VALID")
        for kernel, bias in block:
            dims = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x[None], kernel, (1, 1), "SAME", dimension_numbers=dims)[0]
            x = jax.nn.relu(x + bias[None, None])
        maps.append(x)
    return tuple(maps)


def _names(number: int) -> tuple[str, str]:
    return f"features.{number}.weight", f"features.{number}.bias"
