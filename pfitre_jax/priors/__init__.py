"""Priors: classical ones with an exact prox, and learned ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfitre_jax.priors.directional_tv import DirectionalTV as DirectionalTV
    from pfitre_jax.priors.files import available as available
    from pfitre_jax.priors.files import pretrained as pretrained
    from pfitre_jax.priors.gradient_step import GradientStep as GradientStep
    from pfitre_jax.priors.network import NetworkPrior as NetworkPrior
    from pfitre_jax.priors.nonnegative import Nonnegative as Nonnegative
    from pfitre_jax.priors.planes import Planes as Planes
    from pfitre_jax.priors.tv import TV as TV
    from pfitre_jax.priors.unrolled import UnrolledPrior as UnrolledPrior
    from pfitre_jax.priors.wavelet import Wavelet as Wavelet

# Flax is slow to import, and only the learned priors need it.
_HOMES = {
    "TV": "tv",
    "DirectionalTV": "directional_tv",
    "GradientStep": "gradient_step",
    "NetworkPrior": "network",
    "Nonnegative": "nonnegative",
    "Planes": "planes",
    "UnrolledPrior": "unrolled",
    "Wavelet": "wavelet",
    "available": "files",
    "pretrained": "files",
}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
