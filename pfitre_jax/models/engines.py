"""Choice of the engine that computes the network on a CPU: XLA, or oneDNN through PyTorch.

The environment variable ``PFITRE_NETWORK`` chooses:

- ``xla``: XLA, for every network and derivative.
- ``onednn``: oneDNN for the 2D U-Net of float32 images, in bfloat16 where the processor multiplies it
  (AVX-512 BF16, AMX), else in float32.
- ``onednn-float32``, ``onednn-bfloat16``: oneDNN in this type.

Unset, it is ``onednn`` where PyTorch is installed and the only device is an x86-64 CPU, and
``xla`` elsewhere.
"""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata, util
from pathlib import Path

import jax

#: Environment variable that chooses the engine.
VARIABLE = "PFITRE_NETWORK"
#: Its values.
ENGINES = ("xla", "onednn", "onednn-float32", "onednn-bfloat16")
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def selected() -> str:
    """The engine of the U-Net: xla, onednn-float32 or onednn-bfloat16.

    Raises:
        ValueError: For another value of ``PFITRE_NETWORK``, or for ``onednn`` without CPU or PyTorch.
    """
    wanted = os.environ.get(VARIABLE) or None
    if wanted not in (None, *ENGINES):
        raise ValueError(f"{VARIABLE} is {wanted!r}; expected one of {', '.join(ENGINES)}, or leave it unset")
    if wanted is None:
        wanted = "onednn" if _is_single_x86() and util.find_spec("torch") else "xla"
    elif wanted != "xla":
        _check_onednn(wanted)
    if wanted == "onednn":
        return "onednn-bfloat16" if _multiplies_bfloat16() else "onednn-float32"
    return wanted


def onednn_dtype(dtype: str) -> str | None:
    """Type that oneDNN computes a network of type ``dtype`` in; None where XLA computes it.

    A network that is configured for bfloat16 is computed in bfloat16 by each engine.

    Raises:
        RuntimeError: For a PyTorch without oneDNN.
    """
    engine = selected()
    if engine == "xla" or dtype not in ("float32", "bfloat16"):
        return None
    if not _has_onednn():
        raise RuntimeError(f"PyTorch cannot be imported, or has no oneDNN: repair it, or set {VARIABLE}=xla")
    return "bfloat16" if dtype == "bfloat16" else engine.removeprefix("onednn-")


def engine_versions() -> dict[str, str]:
    """The engine and the version of PyTorch if it is used, to be recorded with results."""
    engine = selected()
    return {"network": engine} | ({} if engine == "xla" else {"torch": metadata.version("torch")})


def _check_onednn(wanted: str) -> None:
    if jax.default_backend() != "cpu":
        backend = jax.default_backend()
        raise ValueError(f"{VARIABLE} is {wanted}, which needs a CPU; JAX runs on {backend}: expected xla")
    if util.find_spec("torch") is None:
        raise ValueError(f"{VARIABLE} is {wanted} and PyTorch is missing: pip install 'pfitre_jax[cpu]'")


def _is_single_x86() -> bool:
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return x86 and jax.default_backend() == "cpu" and jax.device_count() == 1


@functools.cache
def _has_onednn() -> bool:
    # PyTorch takes a second to import: not before a network is computed.
    from pfitre_jax.models.onednn.network import torch

    try:
        return torch().backends.mkldnn.is_available() and hasattr(
            torch().ops.mkldnn, "_convolution_pointwise"
        )
    except (ImportError, OSError):
        return False


@functools.cache
def _multiplies_bfloat16() -> bool:
    information = Path("/proc/cpuinfo")
    return information.exists() and not _BFLOAT16_FLAGS.isdisjoint(information.read_text().split())
