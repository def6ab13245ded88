"""Joint volumes: all rows of a volume, or of overlapping slabs of it, are solved together."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.interfaces import Solver
from pfitre_jax.solvers.loop import Solution, run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem

#: Additional rows on either side of a slab, where a volume does not fit into memory. A prior that couples
#: neighbouring rows has little effect beyond this distance in the usual number of iterations.
HALO = 8


def solve_volume(
    solver: Solver,
    problem: SliceProblem,
    tolerance: float | Array,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    *,
    iterations: int,
    start: Float[Array, "rows ny nx"] | None = None,
) -> tuple[Solution, Float[Array, " rows"]]:
    """Solves neighbouring rows as one volume; pure.

    Args:
        solver: A solver whose prior couples rows.
        problem: Supplies everything but sinogram and mask.
        tolerance: Relative change of the volume at which the loop stops.
        sinograms: (rows, views, columns), line integrals divided by the scale.
        masks: (rows, views, columns), 1 for a valid bin.
        iterations: Number of iterations.
        start: (rows, ny, nx), initial volume; by default 0.

    Returns:
        The solution, whose status and statistics of the volume are repeated for each row, and the relative
        residual of each row, (rows,).
    """
    volume = VolumeProblem.create(problem, sinograms, masks)
    zero = jnp.zeros((len(sinograms), *problem.support.shape), sinograms.dtype)
    start = zero if start is None else start
    solution = run(solver, volume, start, iterations=iterations, tolerance=tolerance)
    # A row without signal has nothing to reconstruct.
    signal = jnp.any(volume.sinogram != 0, axis=(1, 2))
    value = jnp.where(signal[:, None, None], solution.value, 0)
    every = lambda a: jnp.broadcast_to(a, (len(sinograms), *jnp.shape(a)))  # noqa: E731
    stats = {name: every(value) for name, value in solution.stats.items()}
    return Solution(value, every(solution.status), stats), volume.residual_norms(value)


def slab_rows(chunk: int, devices: int, halo: int, rows: int) -> int:
    """Number of rows of a chunk that each device solves: its share and the halo, at most ``rows``."""
    share = chunk // devices
    return max(share, min(share + 2 * halo, rows))


def slabs(block: slice, chunk: int, devices: int, halo: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that each device solves for a block of rows.

    A slab with a halo lies inside the scan: at its first and last row the halo is on the other side. A block
    that is smaller than the chunk is padded with copies of its last row.

    Args:
        block: Rows of the scan.
        chunk: Number of rows that are solved together, on all devices.
        devices: Number of devices.
        halo: Additional rows on either side of a slab.
        rows: Number of rows of the scan.

    Returns:
        The row numbers of each device, (devices, :func:`slab_rows`), and the positions of the block's rows
        among them, (devices, chunk/devices).
    """
    share = np.arange(chunk // devices)
    wanted = np.minimum(block.start + chunk // devices * np.arange(devices)[:, None] + share, block.stop - 1)
    if not halo:
        return wanted, np.broadcast_to(share, wanted.shape)
    size = slab_rows(chunk, devices, halo, rows)
    first = np.clip(wanted[:, :1] - halo, 0, max(rows - size, 0))
    return np.minimum(first + np.arange(size), rows - 1), wanted - first
