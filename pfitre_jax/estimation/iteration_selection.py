"""Number of iterations of a loop with a learned prior, by held-out views."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.held_out_views import MIN_VIEWS, end_folds, relative_error
from pfitre_jax.estimation.strongest_rows import strongest_rows
from pfitre_jax.interfaces import Solver
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Largest number of iterations. On the shipped sample (``pfitre recon --sample chip``) 12, 24 and 40
#: iterations give 19.3, 19.9 and 20.0 dB in the mean over the rows.
MAX_ITERATIONS = 24
#: The error still falls if the chosen number is in this last share of the iterations.
LAST_SHARE = 0.25
#: Largest number of bins of a view, over the rows and both folds: fewer rows of a wide detector are used.
ROW_BINS = 1024
#: The first iteration is chosen whose error exceeds the smallest one by at most this fraction.
TOLERANCE = 0.002


@dataclasses.dataclass(frozen=True, eq=False)
class IterationSelection:
    """A number of iterations, and how it was chosen.

    Attributes:
        iterations: The number.
        errors: (iterations,), relative prediction error of the held-out views after each iteration; empty if
            views could not be held out.
        seconds_compile: Wall time of compilation.
    """

    iterations: int
    errors: Float[np.ndarray, " iterations"]
    seconds_compile: float = 0.0

    @property
    def still_falls(self) -> bool:
        """Whether the error still falls at the largest number of iterations that was tried."""
        return bool(self.iterations > (1 - LAST_SHARE) * len(self.errors) > 0)

    def record(self) -> dict[str, Any]:
        """The choice as JSON values: by whom, what, the errors, and whether they still fall."""
        return {
            "by": "auto" if self.errors.size else "default",
            "chosen": self.iterations,
            "errors": [float(error) for error in self.errors],
            "still_falls": self.still_falls,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOutRows:
    """The strongest rows of a scan, and the views at both ends of its range that are held out.

    Attributes:
        sinograms: (rows, views, columns), divided by the scale of the scan.
        masks: (rows, views, columns), 1 for a valid bin.
        held_out: (folds, views), 1 for a held-out view.
    """

    sinograms: Float[np.ndarray, "rows views columns"]
    masks: Float[np.ndarray, "rows views columns"]
    held_out: Float[np.ndarray, "folds views"]

    @classmethod
    def of(cls, scan: Scan, scale: float) -> HeldOutRows:
        """Those of a scan; ``scale`` is the value by which the sinograms are divided."""
        sample = scan.sample()
        rows = sample.take_rows(strongest_rows(sample.projections, max(ROW_BINS // (2 * scan.columns), 1)))
        masks = np.moveaxis(rows.mask, 1, 0)
        sinograms = np.where(masks, np.moveaxis(rows.projections, 1, 0) / np.float32(scale), np.float32(0))
        return cls(sinograms, masks.astype(np.float32), end_folds(scan.theta_rad))


def select_iterations(
    scan: Scan, problem: SliceProblem, solver: Solver, scale: float, default: int
) -> IterationSelection:
    """Chooses the number of iterations that predicts held-out views best.

    A learned prior that does not suit a sample adds structure with each iteration, although the image agrees
    with the data; its agreement with views that it has not seen then becomes worse. A few rows are solved
    without the views at one end of the angular range, and without those at the other end.

    Args:
        scan: The scan.
        problem: The problem that all rows share.
        solver: The solver.
        scale: Value by which the sinograms are divided.
        default: Number of iterations for a scan of too few views.
    """
    if scan.views < MIN_VIEWS:
        return IterationSelection(default, np.zeros(0))
    rows = HeldOutRows.of(scan, scale)
    arguments = as_arrays((solver, problem, rows.sinograms, rows.masks, rows.held_out))
    executable, seconds = compiled(_held_out_errors, *arguments, iterations=MAX_ITERATIONS)
    errors = np.asarray(executable(*arguments))
    if not np.all(np.isfinite(errors)):
        return IterationSelection(default, np.zeros(0), seconds)
    return IterationSelection(first_of_smallest(errors) + 1, errors, seconds)


def first_of_smallest(errors: Float[np.ndarray, " n"]) -> int:
    """Index of the first error that exceeds the smallest one by at most :data:`TOLERANCE`."""
    return int(np.argmax(errors <= (1 + TOLERANCE) * errors.min()))


@functools.partial(jax.jit, static_argnames="iterations")
def _held_out_errors(
    solver: Any,
    problem: SliceProblem,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    held_out: Float[Array, "folds views"],
    *,
    iterations: int,
) -> Float[Array, " iterations"]:
    """:func:`relative_error` of the held-out views after each iteration."""
    blank = jnp.zeros(problem.A.shape, sinograms.dtype)

    def row_squares(sinogram, mask, views):
        predicted = problem.with_sinogram(sinogram, views[:, None] * mask)
        row = problem.with_sinogram(sinogram, (1 - views)[:, None] * mask)

        def error(iterate, state):
            return jnp.sum(predicted.residual(solver.finish(row, iterate, state)) ** 2)

        return run(solver, row, blank, iterations=iterations, differentiate="checkpoint", keep=error).stats[
            "kept"
        ]

    folds, rows = held_out.shape[0], sinograms.shape[0]
    views = jnp.repeat(held_out, rows, axis=0)
    each = jax.vmap(row_squares)(jnp.tile(sinograms, (folds, 1, 1)), jnp.tile(masks, (folds, 1, 1)), views)
    squares = each.reshape(folds, rows, -1).transpose(2, 0, 1)
    return relative_error(squares, sinograms, masks, held_out)
