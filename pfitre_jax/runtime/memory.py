"""How much memory a compiled program takes, and how much there is."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import jax
import numpy as np


class DoesNotFit(ValueError):
    """A run needs more memory or disk space than is free; raised before the run starts."""


@dataclasses.dataclass(frozen=True)
class Needed:
    """Bytes, of one device and of the host beside it. device: on the CPU the host is the device."""

    device: int
    host: int

    @property
    def largest(self) -> int:
        """What is compared with :func:`available`: the sum on a CPU, else the device's."""
        return self.device + self.host if jax.default_backend() == "cpu" else self.device


def needed_by(executable, sinograms: np.ndarray, problem) -> Needed:
    """What a run of ``executable`` on chunks like ``sinograms`` takes.

    On the host lie two chunks, the one that is solved and the next, and two of results.
    """
    sizes = executable.memory_analysis()
    device = 0
    if sizes is not None:
        device = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
        # Of each device; where the host is all of them, they share its memory.
        device *= len(jax.local_devices()) if jax.default_backend() == "cpu" else 1
    image = len(sinograms) * int(np.prod(problem.A.shape)) * 4
    return Needed(device, 4 * sinograms.nbytes + 4 * image)


def available(limit: int | None = None) -> int | None:
    """Bytes free on the device that JAX computes on, or None where that cannot be told.

    limit: that this process may take in all, on the host
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
    """Bytes that this process takes now; 0 where that cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def free_memory() -> int | None:
    """Free bytes of the host's memory, limited by that of the container; None if unknown."""
    candidates = []
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        candidates.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # The kernel frees cached pages of files when memory is needed.
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        candidates.append(int(limit) - int(used) + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        pass
    return max(min(candidates), 0) if candidates else None
