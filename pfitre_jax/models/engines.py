"""Choice of the engine that computes the network on a CPU: XLA, or oneDNN through PyTorch.

The environment variable ``PFITRE_NETWORK`` chooses:

- ``xla``: XLA, for every network and derivative.
- ``onednn``: oneDNN for the 2D U-Net of float32 images, in bfloat16 where the processor multiplies it
  (AVX-512 BF16, AMX), else in float32.
- ``onednn-float32``, ``onednn-bfloat16``: oneDNN in this type.

Unset, it is ``onednn`` where a PyTorch that works is installed and the only device is an x86-64 CPU, and
``xla`` elsewhere.
"""

from __future__ import annotations

import functools
import os
import platform
import warnings
from importlib import metadata, util
from pathlib import Path
from typing import Any

import jax

#: Environment variable that chooses the engine.
VARIABLE = "PFITRE_NETWORK"
#: Command that installs PyTorch.
_INSTALL = "pip install '.[cpu]' in a copy of the repository"
#: Its values.
ENGINES = ("xla", "onednn", "onednn-float32", "onednn-bfloat16")
#: Networks, by their names in :data:`pfitre_jax.models.networks.NETWORKS`, that oneDNN computes.
ONEDNN_NETWORKS = ("unet",)
#: What the engine uses of PyTorch and old or broken versions lack.
_PYTORCH_NAMES = (
    "backends.mkldnn",
    "ops.mkldnn._convolution_pointwise",
    "nn.functional.gelu",
    "channels_last",
    "bfloat16",
)
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def select_engine() -> str:
    """The engine of the 2D U-Net: xla, onednn-float32 or onednn-bfloat16.

    Where ``PFITRE_NETWORK`` is unset and the installed PyTorch cannot be used, it is xla, with a warning.

    Raises:
        ValueError: For another value of ``PFITRE_NETWORK``, or for ``onednn`` without CPU or PyTorch, or with
            a PyTorch that cannot be used.
    """
    name = os.environ.get(VARIABLE) or None
    if name not in (None, *ENGINES):
        raise ValueError(f"{VARIABLE} is {name!r}; expected one of {', '.join(ENGINES)}, or leave it unset")
    if name is None:
        name = "onednn" if _is_single_x86() and util.find_spec("torch") and _pytorch_works() else "xla"
    elif name != "xla":
        _check_onednn(name)
    if name == "onednn":
        return "onednn-bfloat16" if _multiplies_bfloat16() else "onednn-float32"
    return name


def onednn_dtype(dtype: str) -> str | None:
    """Type that oneDNN computes a network of type ``dtype`` in; None where XLA computes it.

    A network that is configured for bfloat16 is computed in bfloat16 by each engine.
    """
    engine = select_engine()
    if engine == "xla" or dtype not in ("float32", "bfloat16"):
        return None
    return "bfloat16" if dtype == "bfloat16" else engine.removeprefix("onednn-")


def engine_of(network: str, compute_dtype: str | None) -> str:
    """The engine that computes a network on float32 images.

    Args:
        network: Name of the network in :data:`pfitre_jax.models.networks.NETWORKS`.
        compute_dtype: Type that it is configured to compute in, or None for that of the images.
    """
    dtype = onednn_dtype(compute_dtype or "float32") if network in ONEDNN_NETWORKS else None
    return "xla" if dtype is None else f"onednn-{dtype}"


def engine_versions(engine: str) -> dict[str, str]:
    """An engine, and the version of PyTorch if it uses it, to be recorded with results."""
    return {"network": engine} | ({} if engine == "xla" else {"torch": metadata.version("torch")})


def _check_onednn(name: str) -> None:
    if jax.default_backend() != "cpu":
        backend = jax.default_backend()
        raise ValueError(f"{VARIABLE} is {name}, which needs a CPU; JAX runs on {backend}: expected xla")
    if util.find_spec("torch") is None:
        raise ValueError(f"{VARIABLE} is {name} and PyTorch is missing: {_INSTALL}")
    error = _pytorch_error()
    if error is not None:
        raise ValueError(
            f"{VARIABLE} is {name} and the installed PyTorch cannot be used ({error}): repair it with "
            f"{_INSTALL}, or set {VARIABLE}=xla"
        )


@functools.cache
def _pytorch_works() -> bool:
    """Whether the installed PyTorch can be used; warns, once, if it cannot."""
    error = _pytorch_error()
    if error is not None:
        message = (
            f"XLA computes the network, which is slower, because the installed PyTorch cannot be used "
            f"({error}); repair it with {_INSTALL}, or set {VARIABLE}=xla"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return error is None


@functools.cache
def _pytorch_error() -> str | None:
    """Why the installed PyTorch cannot compute the network, or None if it can."""
    # PyTorch takes a second to import: not before a network is computed.
    from pfitre_jax.models.onednn.network import torch

    # A broken installation raises almost anything: ImportError, OSError, AttributeError, RuntimeError.
    try:
        missing = [name for name in _PYTORCH_NAMES if not _has(torch(), name)]
        if missing:
            return f"version {metadata.version('torch')} has no torch.{missing[0]}"
        return None if torch().backends.mkldnn.is_available() else "it was built without oneDNN"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'import failed'}"


def _has(module: Any, name: str) -> bool:
    """Whether a module has an attribute with a dotted name."""
    for part in name.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _is_single_x86() -> bool:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and jax.default_backend() == "cpu" and jax.device_count() == 1


@functools.cache
def _multiplies_bfloat16() -> bool:
    information = Path("/proc/cpuinfo")
    return information.exists() and not _BFLOAT16_FLAGS.isdisjoint(
        information.read_text(encoding="utf-8").split()
    )
