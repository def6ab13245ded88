"""Many rows of a scan, reconstructed slice by slice with one geometry: vmapped over chunks of rows."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.engine.compiled import as_arrays, compiled
from pfitre_jax.engine.methods import solve_slice
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.solvers.problem import Problem

#: Slices solved together: what the batched projector is fastest with.
CHUNK = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Reconstructed rows, on the host.

    volume: (rows, ny, nx) float32, in units of the sinograms' values per pixel
    status: (rows,) int, :class:`pfitre_jax.loop.Status`
    stats: ``iterations`` (rows,); ``residual``, ``change`` (rows, iterations), NaN where a loop had stopped
    residual: (rows,), ``norm(M(Ax-y))/norm(My)`` of the result
    seconds_compile, seconds_run: wall time
    chunk: rows solved together
    """

    volume: np.ndarray
    status: np.ndarray
    stats: dict[str, np.ndarray]
    residual: np.ndarray
    seconds_compile: float
    seconds_run: float
    chunk: int


def shared_problem(geometry: ParallelGeometry, support) -> tuple[Problem, float]:
    """What all rows have in common: a problem with an empty sinogram, and the seconds its compilation took.

    support: (ny, nx), see :func:`pfitre_jax.engine.support.image_support`
    """
    args = as_arrays((geometry, np.asarray(support, np.float32), Wedge.from_angles(geometry.theta_rad)))
    executable, seconds = compiled(_shared_problem, *args)
    return executable(*args), seconds


@jax.jit
def _shared_problem(geometry, support, wedge):
    A = Projector(geometry, support.shape)
    return Problem.create(A, jnp.zeros(A.sinogram_shape, support.dtype), None, support, wedge)


def reconstruct_rows(
    solver: Any,
    problem: Problem,
    sinograms,
    masks,
    *,
    scale: float,
    iterations: int = 1,
    tolerance: float = 0.0,
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Slices:
    """Solve each row of ``sinograms`` on its own, a chunk of rows at a time in one compiled program.

    Rows are shared out evenly over the chunks, the last one filled up with copies of its last row. A row that
    diverges says so in its status and leaves the others alone. Chunks are made smaller until one fits
    into the memory that is free.

    solver: of :data:`pfitre_jax.engine.methods.METHODS`
    problem: of :func:`shared_problem`; supplies everything but sinogram and mask
    sinograms: (rows, views, columns), line integrals; masks: the same shape, True where a bin is valid
    scale: what image values are divided by while they are solved for
    progress: called with rows done and rows in all, after each chunk

    Raises ``MemoryError`` where not even one row fits.
    """
    rows = len(sinograms)
    solver = as_arrays(solver)
    seconds_compile = 0.0
    while True:
        chunk = -(-rows // -(-rows // chunk))
        first = _chunk(sinograms, masks, slice(0, chunk), chunk, scale)
        solve, seconds = compiled(
            _solve, solver, problem, *first, np.float32(tolerance), iterations=iterations
        )
        seconds_compile += seconds
        needed, free = needed_memory(solve), free_memory()
        if free is None or needed < free:
            break
        if chunk == 1:
            raise MemoryError(
                f"one slice needs {needed / 2**30:.1f} GiB but {free / 2**30:.1f} GiB are free; "
                "use fewer views or columns, or a machine with more memory"
            )
        chunk = -(-chunk // 2)
    start = time.perf_counter()
    parts = []
    for begin in range(0, rows, chunk):
        block = slice(begin, min(begin + chunk, rows))
        arrays = _chunk(sinograms, masks, block, chunk, scale)
        solution, residual = solve(solver, problem, *arrays, np.float32(tolerance))
        part = jax.tree.map(np.asarray, (solution, residual))
        parts.append(jax.tree.map(lambda a: a[: block.stop - block.start], part))  # noqa: B023
        progress(block.stop, rows)
    solution, residual = jax.tree.map(lambda *a: np.concatenate(a), *parts)
    return Slices(
        (solution.value * np.float32(scale)).astype(np.float32),
        solution.status,
        solution.stats,
        residual,
        seconds_compile,
        time.perf_counter() - start,
        chunk,
    )


def _chunk(sinograms, masks, block: slice, size: int, scale: float):
    """The rows of ``block`` scaled, with 0 where invalid, filled up to ``size`` with copies of the last."""
    mask = np.asarray(masks[block])
    sinogram = np.where(mask, np.asarray(sinograms[block], np.float32) / np.float32(scale), np.float32(0))
    fill = ((0, size - len(mask)), (0, 0), (0, 0))
    return np.pad(sinogram, fill, mode="edge"), np.pad(mask.astype(np.float32), fill, mode="edge")


@functools.partial(jax.jit, static_argnames="iterations")
def _solve(solver, problem: Problem, sinograms, masks, tolerance, *, iterations: int):
    def one(sinogram, mask):
        row = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        solution = solve_slice(solver, row, iterations=iterations, tolerance=tolerance)
        # Without any signal there is nothing to reconstruct, and a learned prior would make something up.
        value = jnp.where(jnp.any(sinogram != 0), solution.value, 0)
        return dataclasses.replace(solution, value=value), row.residual(value)

    return jax.vmap(one)(sinograms, masks)


def needed_memory(executable) -> int:
    """Bytes that a run of ``executable`` takes."""
    sizes = executable.memory_analysis()
    if sizes is None:
        return 0
    return sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes


def free_memory() -> int | None:
    """Bytes free on the device that JAX computes on, or None where that cannot be told."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":") for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
