"""Execution of a solver on many rows of a scan: in chunks that fit into memory, on all local devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction.data_model import LEAST_SQUARES, DataModel
from pfitre_jax.reconstruction.decompose import decompose
from pfitre_jax.reconstruction.interval_program import IntervalProgram
from pfitre_jax.reconstruction.row_block import RowBlock
from pfitre_jax.reconstruction.slabs import HALO, slab_rows, slabs, solve_volume
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.runtime.devices import device_count, jit_over_slices, local_mesh, replicate
from pfitre_jax.runtime.memory import DoesNotFit, Needed, available, needed_by
from pfitre_jax.solvers.loop import Solution, Status, run
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Number of slices per batch on each device; the batched projector is fastest with this number.
CHUNK = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Compiled program that solves a chunk of rows; made by :func:`make_program`.

    Attributes:
        solve: Executable that solves the slices of a chunk.
        decompose: Executable of :func:`pfitre_jax.reconstruction.decompose.decompose` for a chunk.
        solver: The solver, on the devices.
        problem: The problem that all rows share, on the devices.
        scale: Value by which sinograms are divided.
        noise: Standard deviation of the noise in a bin, in units of the scale.
        pixel_size: Pixel size in micrometres, by which image values per pixel are divided; 1 keeps them.
        tolerance: Relative change of the image at which the loop stops.
        chunk: Number of rows that are solved together, on all devices of ``mesh``.
        rows: Number of rows of the scan.
        halo: Number of neighbouring rows on either side that are solved together with a chunk.
        mesh: The local devices; None for a single device.
        needed: Memory that a run needs.
        seconds_compile: Wall time of compilation.
        intervals: Programs of the intervals of the pixels; None without intervals.
    """

    solve: Callable
    decompose: Callable
    solver: Any
    problem: SliceProblem
    scale: float
    noise: float
    pixel_size: float
    tolerance: float
    chunk: int
    rows: int
    halo: int
    mesh: Mesh | None
    needed: Needed
    seconds_compile: float
    intervals: IntervalProgram | None = None

    def __call__(self, sinograms: np.ndarray, masks: np.ndarray) -> tuple[Solution, Array]:
        """Solution and residuals (slices,) of a chunk of :func:`load_chunk`."""
        return self.solve(self.solver, self.problem, np.float32(self.tolerance), sinograms, masks)

    @property
    def slices(self) -> int:
        """Number of slices of :func:`load_chunk`, with the halos."""
        devices = device_count(self.mesh)
        return devices * slab_rows(self.chunk, devices, self.halo, self.rows)


def make_program(
    solver: Any,
    problem: SliceProblem,
    rows: int,
    *,
    scale: float,
    noise: float = 0.0,
    pixel_size: float | None = None,
    iterations: int = 1,
    tolerance: float = 0.0,
    joint: bool = False,
    data_model: DataModel = LEAST_SQUARES,
    scan_rows: int | None = None,
    chunk: int | None = None,
    limit: int | None = None,
) -> Program:
    """Compiles a solver for chunks of rows that fit into memory, shared by the local devices.

    Args:
        solver: The solver, see :func:`pfitre_jax.reconstruction.scan_solver.build`.
        problem: The problem that all rows share; supplies everything but sinogram and mask.
        rows: Number of rows to solve; they are distributed evenly over the chunks.
        scale: Value by which sinograms are divided.
        noise: Standard deviation of the noise in a bin, in units of the scale.
        pixel_size: Pixel size in micrometres; image values are then per micrometre. None: per pixel.
        iterations: Number of iterations.
        tolerance: Relative change of the image at which the loop stops; 0 for all iterations.
        joint: Whether the rows of a chunk are solved as one volume. The default chunk is then all rows;
            smaller chunks overlap.
        data_model: Data model of the solver.
        scan_rows: Number of rows of the scan; by default ``rows``.
        chunk: Largest number of rows that are solved together, by default :data:`CHUNK` on each device;
            reduced until the program fits into memory.
        limit: Bytes that this process may use; by default the free memory.

    Raises:
        DoesNotFit: One row on each device needs more memory than is available.
    """
    mesh = local_mesh()
    devices = device_count(mesh)
    solver, shared = replicate((as_arrays(solver), problem), mesh)
    function = solve_volume if joint else _solve_slices
    solve = jit_over_slices(function, mesh, 3, 2, (("iterations", iterations),))
    seconds_compile = 0.0
    scan_rows = rows if scan_rows is None else scan_rows
    if chunk is None:
        chunk = rows if joint else CHUNK * devices
    while True:
        chunk = balanced_chunk(rows, chunk, devices)
        halo = HALO if joint and (devices > 1 or chunk < rows) else 0
        solved = devices * slab_rows(chunk, devices, halo, scan_rows)
        blank = np.zeros((solved, *problem.A.sinogram_shape), np.float32)
        executable, seconds = compiled(solve, solver, shared, np.float32(tolerance), blank, blank)
        seconds_compile += seconds
        needed, free = needed_by(executable, blank, problem.support.shape), available(limit)
        if free is None or needed.largest <= free:
            break
        if chunk <= devices:
            raise DoesNotFit(
                f"{solved} slices of {problem.support.shape[1]} x {problem.support.shape[0]} from "
                f"{problem.A.sinogram_shape[0]} views need {needed.largest / 2**30:.1f} GiB, and "
                f"{free / 2**30:.1f} GiB are free: use fewer views or columns, a higher memory limit, or a "
                "machine with more memory"
            )
        # Memory is nearly proportional to the number of rows.
        chunk = max(devices, min(chunk - devices, int(chunk * free / needed.largest)))
    number, blank = np.float32(0), np.zeros((chunk, *problem.A.sinogram_shape), np.float32)
    images = np.zeros((chunk, *problem.support.shape), np.float32)
    split = jit_over_slices(decompose, mesh, 3, 3, (("model", data_model),))
    decomposition, seconds = compiled(split, shared, number, number, blank, blank, images)
    return Program(
        solve=executable,
        decompose=decomposition,
        solver=solver,
        problem=shared,
        scale=scale,
        noise=noise,
        pixel_size=1.0 if pixel_size is None else pixel_size,
        tolerance=tolerance,
        chunk=chunk,
        rows=scan_rows,
        halo=halo,
        mesh=mesh,
        needed=needed,
        seconds_compile=seconds_compile + seconds,
    )


def balanced_chunk(rows: int, chunk: int, devices: int = 1) -> int:
    """Smallest multiple of ``devices`` that splits ``rows`` into as few chunks as ``chunk`` does."""
    chunk = max(chunk, devices)
    least = -(-rows // -(-rows // chunk))
    return -(-least // devices) * devices


def split_rows(rows: slice, chunk: int) -> list[slice]:
    """Splits ``rows`` of a scan into blocks of ``chunk`` rows; the last block may be smaller."""
    return [slice(b, min(b + chunk, rows.stop)) for b in range(rows.start, rows.stop, chunk)]


def solve_blocks(program: Program, scan: Scan, blocks: Iterable[slice]) -> Iterator[RowBlock]:
    """Solves blocks of rows one after the other; the next block is read at the same time.

    A row that diverges gets the status ``DIVERGED`` and does not affect the others. The slice of a row
    without signal is 0. A block that is smaller than the chunk is padded with copies of its last row.

    Args:
        program: The compiled program.
        scan: The scan whose rows are solved.
        blocks: Blocks of rows of the scan, each at most a chunk.
    """
    blocks = list(blocks)
    with ThreadPoolExecutor(1, thread_name_prefix="read") as pool:
        pending = [pool.submit(load_chunk, program, scan, block) for block in blocks[:1]]
        for number, block in enumerate(blocks):
            sinograms, masks, kept = pending.pop().result()
            if number + 1 < len(blocks):
                pending.append(pool.submit(load_chunk, program, scan, blocks[number + 1]))
            yield _solve_chunk(program, block, sinograms, masks, kept)


def load_chunk(program: Program, scan: Scan, block: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reads and scales the rows that are solved for a block.

    Args:
        program: The compiled program.
        scan: The scan.
        block: Rows of the scan.

    Returns:
        The sinograms (slices, views, columns) divided by the scale, 0 where invalid; the masks of the same
        shape, 1 for a valid bin; and the positions (chunk,) of the block's rows among the slices.
    """
    numbers, kept = slabs(block, program.chunk, device_count(program.mesh), program.halo, program.rows)
    kept = (kept + numbers.shape[1] * np.arange(len(numbers))[:, None]).ravel()
    first = int(numbers.min())
    projections, valid = scan.source.read(slice(first, int(numbers.max()) + 1))
    masks = np.moveaxis(valid, 1, 0)[numbers.ravel() - first]
    values = np.moveaxis(projections, 1, 0)[numbers.ravel() - first] / np.float32(program.scale)
    return np.where(masks, values, np.float32(0)), masks.astype(np.float32), kept


def _solve_chunk(
    program: Program, block: slice, sinograms: np.ndarray, masks: np.ndarray, kept: np.ndarray
) -> RowBlock:
    """Solves a chunk of :func:`load_chunk` and returns its block in the units of the result."""
    count = block.stop - block.start
    solved = program(sinograms, masks)
    solution, residual = jax.tree.map(lambda a: np.asarray(a)[kept], solved)
    half_width = _half_width(program, block, sinograms, masks, solved[0].value)
    sinograms, masks = sinograms[kept], masks[kept]
    parts = program.decompose(
        program.problem,
        np.float32(program.noise),
        np.float32(program.scale),
        sinograms,
        masks,
        solution.value,
    )
    measured, supplied, gains, stripes, view_weights = (np.asarray(a)[:count] for a in parts)
    unit = np.float32(program.scale / program.pixel_size)
    volume, status = unit * solution.value[:count], solution.status[:count]
    empty = ~np.any(masks[:count], axis=(1, 2))
    limits: dict[str, np.ndarray] = {name: np.zeros((count, 0, 0), np.float32) for name in ("lower", "upper")}
    limits |= {name: np.full(count, np.nan, np.float32) for name in ("half_width", "wider")}
    if program.intervals is not None and half_width is not None:
        valid = ~empty & (status != int(Status.DIVERGED))
        limits = program.intervals.limits(volume, unit * half_width[kept][:count], valid)
    return RowBlock(
        rows=block,
        volume=volume,
        measured=unit * measured,
        supplied=supplied,
        status=status,
        iterations=solution.stats["iterations"][:count],
        residual=residual[:count],
        residual_history=solution.stats["residual"][:count],
        change_history=solution.stats["change"][:count],
        norm=np.sqrt(np.sum(np.square(volume, dtype=float), axis=(1, 2))),
        empty=empty,
        gains=gains,
        stripes=np.float32(program.scale) * stripes,
        view_weights=view_weights,
        **limits,
    )


def _half_width(
    program: Program, block: slice, sinograms: np.ndarray, masks: np.ndarray, images: Array
) -> np.ndarray | None:
    """Half widths (slices, ny, nx) of the intervals of a chunk, in units of the scale, or None."""
    if program.intervals is None:
        return None
    numbers, _ = slabs(block, program.chunk, device_count(program.mesh), program.halo, program.rows)

    def solve(problem: SliceProblem, new: Array) -> Array:
        return program.solve(program.solver, problem, np.float32(program.tolerance), new, masks)[0].value

    return np.asarray(program.intervals.half_width(solve, sinograms, masks, images, numbers.ravel()))


def _solve_slices(
    solver: Any,
    problem: SliceProblem,
    tolerance: Array,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    *,
    iterations: int,
) -> tuple[Solution, Float[Array, " slices"]]:
    """Solution and residual of each slice; pure."""

    def one(sinogram, mask):
        row = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        zero = jnp.zeros(row.A.shape, sinogram.dtype)
        solution = run(solver, row, zero, iterations=iterations, tolerance=tolerance)
        # Without signal there is nothing to reconstruct, and a learned prior could invent structure.
        value = jnp.where(jnp.any(sinogram != 0), solution.value, 0)
        return dataclasses.replace(solution, value=value), row.residual_norm(value)

    return jax.vmap(one)(sinograms, masks)
