"""Many rows of a scan, reconstructed with one geometry: chunks of rows, each for itself or all together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction.methods import solve_slice
from pfitre_jax.reconstruction.slabs import HALO, slab_rows, slabs, solve_volume
from pfitre_jax.runtime import devices as meshes
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.memory import DoesNotFit, Needed, available, needed_by
from pfitre_jax.solvers.problem import Problem

#: Slices that a device solves together: what the batched projector is fastest with.
CHUNK = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Solved:
    """Reconstructed rows of a chunk, on the host.

    rows: of the scan, without those that the chunk was filled up with
    volume: (rows, ny, nx) float32, in units of the solver: the scan's over its scale
    status: (rows,) int, :class:`pfitre_jax.solvers.loop.Status`
    stats: ``iterations`` (rows,); ``residual``, ``change`` (rows, iterations), NaN where a loop had stopped
    residual: (rows,), ``norm(M(Ax-y))/norm(My)`` of the result
    sinograms, masks: (chunk, views, columns) float32, as they were solved, filled up
    images: (chunk, ny, nx), filled up
    """

    rows: slice
    status: np.ndarray
    stats: dict[str, np.ndarray]
    residual: np.ndarray
    sinograms: np.ndarray
    masks: np.ndarray
    images: np.ndarray

    @property
    def volume(self) -> np.ndarray:
        """(rows, ny, nx), the images without those that fill up."""
        return self.images[: self.rows.stop - self.rows.start]


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What solves a chunk of rows, compiled; :func:`make_program`.

    chunk: rows solved together, on all devices of ``mesh``
    rows: of the scan; halo: neighbouring rows that are solved with a chunk, on either side, and left out
    needed: memory that a run takes
    seconds_compile: wall time
    """

    executable: Callable
    solver: Any
    problem: Problem
    scale: float
    tolerance: float
    chunk: int
    rows: int
    halo: int
    mesh: Mesh | None
    needed: Needed
    seconds_compile: float


def make_program(
    solver: Any,
    problem: Problem,
    rows: int,
    *,
    scale: float,
    iterations: int = 1,
    tolerance: float = 0.0,
    joint: bool = False,
    there: int | None = None,
    chunk: int | None = None,
    limit: int | None = None,
) -> Program:
    """Compile a solver for chunks of rows that fit into memory, shared by the local devices.

    solver: of :data:`pfitre_jax.reconstruction.methods.METHODS`
    problem: of :func:`pfitre_jax.estimation.calibrate.calibrate`; supplies everything but sinogram and mask
    rows: to solve; they are shared out evenly over the chunks
    scale: what image values are divided by while they are solved for
    joint: whether all rows of a chunk are one volume; by default all rows are one chunk, and where there are
        more, they overlap
    there: rows of the scan, default ``rows``
    chunk: rows solved together at most, default :data:`CHUNK` on each device; made smaller until it fits
    limit: bytes that this process may take, default what is free

    Raises :class:`DoesNotFit` with the numbers where not even one row on each device fits.
    """
    mesh = meshes.local_mesh()
    devices = meshes.size(mesh)
    solver, shared = meshes.everywhere((as_arrays(solver), problem), mesh)
    function = solve_volume if joint else _solve
    solve = meshes.over_slices(function, mesh, 3, 2, (("iterations", iterations),))
    seconds_compile = 0.0
    there = rows if there is None else there
    if chunk is None:
        chunk = rows if joint else CHUNK * devices
    while True:
        chunk = evenly(rows, chunk, devices)
        halo = HALO if joint and (devices > 1 or chunk < rows) else 0
        solved = devices * slab_rows(chunk, devices, halo, there)
        blank = np.zeros((solved, *problem.A.sinogram_shape), np.float32)
        executable, seconds = compiled(solve, solver, shared, np.float32(tolerance), blank, blank)
        seconds_compile += seconds
        needed, free = needed_by(executable, blank, problem), available(limit)
        if free is None or needed.largest <= free:
            return Program(
                executable,
                solver,
                shared,
                scale,
                tolerance,
                chunk,
                there,
                halo,
                mesh,
                needed,
                seconds_compile,
            )
        if chunk <= devices:
            raise DoesNotFit(
                f"{solved} slices of {problem.A.shape[1]} x {problem.A.shape[0]} from "
                f"{problem.A.sinogram_shape[0]} views need {needed.largest / 2**30:.1f} GiB, and "
                f"{free / 2**30:.1f} GiB are there: use fewer views or columns, a larger --memory, or a "
                "machine with more"
            )
        # What a run takes grows with the rows, nearly in proportion.
        chunk = max(devices, min(chunk - devices, int(chunk * free / needed.largest)))


def evenly(rows: int, chunk: int, devices: int = 1) -> int:
    """The least chunk that needs as few of them as ``chunk``, a multiple of ``devices``."""
    chunk = max(chunk, devices)
    least = -(-rows // -(-rows // chunk))
    return -(-least // devices) * devices


def blocks(rows: slice, chunk: int) -> list[slice]:
    """``rows`` of a scan in chunks; the last one may be smaller."""
    return [slice(b, min(b + chunk, rows.stop)) for b in range(rows.start, rows.stop, chunk)]


def solve_blocks(program: Program, read: Callable[[slice], Scan], todo: Iterable[slice]) -> Iterator[Solved]:
    """Each of these blocks of rows, solved; the next one is read meanwhile.

    A row that diverges says so in its status and leaves the others alone; one without signal is 0. A block
    that is smaller than the chunk is filled up with copies of its last row.

    read: rows of a scan -> these rows, such as ``scan.select_rows``
    """
    todo = list(todo)
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        prepare = functools.partial(_prepare, program, read)
        following = pool.submit(prepare, todo[0]) if todo else None
        for number, block in enumerate(todo):
            sinograms, masks, own = following.result()
            if number + 1 < len(todo):
                following = pool.submit(prepare, todo[number + 1])
            out = program.executable(
                program.solver, program.problem, np.float32(program.tolerance), sinograms, masks
            )
            kept = lambda a, own=own: np.asarray(a)[own]  # noqa: E731
            solution, residual = jax.tree.map(kept, out)
            cut = lambda a, n=block.stop - block.start: a[:n]  # noqa: E731
            yield Solved(
                block,
                cut(solution.status),
                jax.tree.map(cut, solution.stats),
                cut(residual),
                kept(sinograms),
                kept(masks),
                solution.value,
            )


def _prepare(program: Program, read, block: slice):
    """The rows that are solved for ``block``, scaled, with 0 where invalid, and which of them are its own."""
    numbers, own = slabs(block, program.chunk, meshes.size(program.mesh), program.halo, program.rows)
    own = (own + numbers.shape[1] * np.arange(len(numbers))[:, None]).ravel()
    first = int(numbers.min())
    scan = read(slice(first, int(numbers.max()) + 1))
    masks = np.moveaxis(scan.mask, 1, 0)[numbers.ravel() - first]
    values = np.moveaxis(scan.projections, 1, 0)[numbers.ravel() - first] / np.float32(program.scale)
    return np.where(masks, values, np.float32(0)), masks.astype(np.float32), own


def _solve(solver, problem: Problem, tolerance, sinograms, masks, *, iterations: int):
    def one(sinogram, mask):
        row = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        solution = solve_slice(solver, row, iterations=iterations, tolerance=tolerance)
        # Without any signal there is nothing to reconstruct, and a learned prior would make something up.
        value = jnp.where(jnp.any(sinogram != 0), solution.value, 0)
        return dataclasses.replace(solution, value=value), row.residual(value)

    return jax.vmap(one)(sinograms, masks)
