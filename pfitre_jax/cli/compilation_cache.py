"""Persistent compilation cache of JAX in the user's cache folder, for machines with an accelerator.

On a CPU nothing is cached: there compilation takes 2% of the time of a whole scan (``python -m
benchmarks.engine --only whole``), and XLA does not check reliably whether a cached program was compiled for
the same CPU (jax-ml/jax#38445). ``JAX_COMPILATION_CACHE_DIR`` takes precedence over this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

#: Environment variable from which JAX reads the folder of its cache.
VARIABLE = "JAX_COMPILATION_CACHE_DIR"
#: Size of the cache above which the least recently used programs are removed.
MAX_BYTES = 2 * 2**30


def enable_cache() -> None:
    """Sets the folder of the compilation cache; call it before JAX is imported.

    ``JAX_ENABLE_COMPILATION_CACHE=0`` disables the cache. A folder that cannot be created is ignored.
    """
    if VARIABLE in os.environ or not _expects_accelerator():
        return
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        prune(folder)
        os.environ[VARIABLE] = str(folder)


def cache_folder() -> Path:
    """Returns ``$XDG_CACHE_HOME/pfitre_jax/<machine>``, one folder for each kind of CPU."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "pfitre_jax" / f"{platform.machine()}-{_cpu_hash()}"


def prune(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Removes the least recently used files until the others take at most ``max_bytes``."""
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            stat = path.stat()
            files.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > max_bytes:
            with contextlib.suppress(OSError):
                path.unlink()


def _expects_accelerator() -> bool:
    """Whether JAX, not imported yet, will search for an accelerator."""
    platforms = os.environ.get("JAX_PLATFORMS", "").split(",")
    return platforms[0] != "cpu" and bool(importlib.metadata.entry_points(group="jax_plugins"))


def _cpu_hash() -> str:
    """Returns a short hash of the instruction set of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        features = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        features = platform.processor()
    return hashlib.sha256(features.encode()).hexdigest()[:8]
