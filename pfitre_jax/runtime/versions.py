"""Versions of Python and of the packages that a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("pfitre_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "h5py", "tifffile")


def package_versions() -> dict[str, str]:
    """Versions by package name, with "python" first."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}
