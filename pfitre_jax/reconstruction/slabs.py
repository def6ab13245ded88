"""All rows of a volume, or of a slab of it, solved together: they meet in the prior."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from pfitre_jax.solvers.loop import Solution, run
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.volume_problem import VolumeProblem

#: Rows that a slab is solved with on either side of those that are kept, where the volume does not fit
#: into memory: a prior that couples neighbours carries little further in as many iterations as are made.
HALO = 8


def solve_volume(solver, problem: Problem, tolerance, sinograms, masks, *, iterations: int, start=None):
    """``(solution, residuals (rows,))`` of neighbouring rows by a method; the solution's status and stats,
    which are those of all rows together, are given to each of them. Pure.

    problem: supplies everything but sinogram and mask; sinograms, masks: (rows, views, columns)
    start: (rows, ny, nx), default 0
    """
    volume = VolumeProblem.create(problem, sinograms, masks)
    zero = jnp.zeros((len(sinograms), *problem.A.shape), sinograms.dtype)
    start = zero if start is None else start
    solution = run(solver, volume, start, iterations=iterations, tolerance=tolerance)
    # Without any signal there is nothing to reconstruct.
    signal = jnp.any(volume.sinogram != 0, axis=(1, 2))
    value = jnp.where(signal[:, None, None], solution.value, 0)
    every = lambda a: jnp.broadcast_to(a, (len(sinograms), *jnp.shape(a)))  # noqa: E731
    stats = {name: every(value) for name, value in solution.stats.items()}
    return Solution(value, every(solution.status), stats), volume.residuals(value)


def slab_rows(chunk: int, devices: int, halo: int, rows: int) -> int:
    """Rows that each device solves of a chunk: its own and the halo on either side; no more than ``rows``."""
    own = chunk // devices
    return max(own, min(own + 2 * halo, rows))


def slabs(block: slice, chunk: int, devices: int, halo: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that each device solves of a block, (devices, :func:`slab_rows`), and which of
    these, (devices, chunk/devices), are of the block.

    A slab with a halo lies inside the scan, of ``rows``: at its ends the halo is on the other side. What
    there is not of a block that is smaller than the chunk is its last row again.
    """
    own = np.arange(chunk // devices)
    wanted = np.minimum(block.start + chunk // devices * np.arange(devices)[:, None] + own, block.stop - 1)
    if not halo:
        return wanted, np.broadcast_to(own, wanted.shape)
    size = slab_rows(chunk, devices, halo, rows)
    first = np.clip(wanted[:, :1] - halo, 0, max(rows - size, 0))
    return np.minimum(first + np.arange(size), rows - 1), wanted - first
