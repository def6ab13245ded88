"""Memory that a compiled program needs, and memory that is free."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np


class DoesNotFit(ValueError):
    """A run needs more memory or disk space than is free; raised before the run starts."""


@dataclasses.dataclass(frozen=True)
class Needed:
    """Memory that a program needs.

    Attributes:
        device: Bytes on each device; on a CPU, of all devices together.
        host: Bytes on the host for the arrays outside the program.
    """

    device: int
    host: int

    @property
    def largest(self) -> int:
        """Bytes to compare with :func:`available`: the sum on a CPU, else those on the device."""
        return self.device + self.host if jax.default_backend() == "cpu" else self.device


def needed_by(executable: Any, sinograms: np.ndarray, image_shape: tuple[int, ...]) -> Needed:
    """Memory that a run of a compiled program on chunks of slices needs.

    The host holds two chunks, the one that is solved and the next one, and two chunks of results.

    Args:
        executable: Compiled program.
        sinograms: (slices, views, columns) float32, a chunk.
        image_shape: Shape (ny, nx) of a slice.
    """
    device = device_bytes(executable)
    # The sizes are those of one device; the devices of a CPU share its memory.
    device *= len(jax.local_devices()) if jax.default_backend() == "cpu" else 1
    images = len(sinograms) * int(np.prod(image_shape)) * 4
    return Needed(device, 4 * sinograms.nbytes + 4 * images)


def device_bytes(executable: Any) -> int:
    """Bytes that a compiled program needs on each device; 0 if unknown."""
    sizes = executable.memory_analysis()
    if sizes is None:
        return 0
    return sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes


def available(limit: int | None = None) -> int | None:
    """Free bytes on the device that JAX computes on; None if unknown.

    Args:
        limit: Bytes that this process may use on the host in all.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = free_memory()
    if limit is None:
        return free
    left = max(limit - resident(), 0)
    return left if free is None else min(left, free)


def resident() -> int:
    """Bytes of memory that this process uses; 0 if unknown."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, ValueError, IndexError):
        return 0


def free_memory() -> int | None:
    """Free bytes of the host's memory, limited by that of the container; None if unknown."""
    candidates = []
    try:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        )
        candidates.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (
            (group / name).read_text(encoding="utf-8").strip() for name in ("memory.max", "memory.current")
        )
        # The kernel frees cached pages of files when memory is needed.
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines())
        candidates.append(int(limit) - int(used) + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass
    return max(min(candidates), 0) if candidates else None
