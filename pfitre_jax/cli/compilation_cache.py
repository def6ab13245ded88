"""Compiled programs are kept from run to run, in the user's cache folder, where JAX has an accelerator.

Not on a CPU: there compiling takes 2% of a whole scan (``python -m benchmarks.engine --only whole``), and XLA
checks badly whether what it reads back was compiled for this machine (jax-ml/jax#38445). A result that may
differ from one run to the next is worse than these seconds. Who sets ``JAX_COMPILATION_CACHE_DIR`` decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path

#: What JAX asks for its own cache; whoever sets it decides.
VARIABLE = "JAX_COMPILATION_CACHE_DIR"
#: The programs used longest ago go where all together are larger.
LARGEST_BYTES = 2 * 2**30


def use_cache() -> None:
    """Tell JAX, before it is imported, where to keep compiled programs (JAX_ENABLE_COMPILATION_CACHE=0: not).

    Not an error where there is no such folder: then everything is compiled anew.
    """
    if VARIABLE in os.environ or not _has_accelerator():
        return
    with contextlib.suppress(OSError, RuntimeError):
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        prune(folder)
        os.environ[VARIABLE] = str(folder)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pfitre_jax/<machine>``: programs for one processor may not run on another."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "pfitre_jax" / f"{platform.machine()}-{_processor()}"


def prune(folder: Path, largest: int = LARGEST_BYTES) -> None:
    """Remove the files that were used longest ago until the others take at most ``largest`` bytes."""
    files = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            stat = path.stat()
            files.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
    total = 0
    for _, size, path in sorted(files, reverse=True):
        total += size
        if total > largest:
            with contextlib.suppress(OSError):
                path.unlink()


def _has_accelerator() -> bool:
    """Whether JAX, which is not imported yet, will look for one: has a plugin, and is not told otherwise."""
    asked = os.environ.get("JAX_PLATFORMS", "").split(",")[0]
    return asked != "cpu" and bool(importlib.metadata.entry_points(group="jax_plugins"))


def _processor() -> str:
    """What a processor can do, as a short word."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        told = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        told = platform.processor()
    return hashlib.sha256(told.encode()).hexdigest()[:8]
