"""Trial reconstructions inside supports, judged by their prediction of held-out views."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.held_out_views import end_folds, held_out_squares, relative_error
from pfitre_jax.estimation.strongest_rows import strongest_rows
from pfitre_jax.estimation.support import pixel_grid
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.operators.resolution import binned_geometry
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.parameters.scale import estimate_scale
from pfitre_jax.solvers.slice_problem import SliceProblem

#: TV weight of the trial reconstructions.
TV_WEIGHT = 4e-4


@dataclasses.dataclass(frozen=True, eq=False)
class TrialErrors:
    """Relative prediction errors of the held-out views, see :func:`relative_error`.

    Attributes:
        total: (shapes,), all rows and folds.
        by_fold: (shapes, folds), all rows.
        by_row: (shapes, rows), both folds.
    """

    total: Float[np.ndarray, " shapes"]
    by_fold: Float[np.ndarray, "shapes folds"]
    by_row: Float[np.ndarray, "shapes rows"]


@dataclasses.dataclass(eq=False)
class SupportTrials:
    """Binned rows of a scan from which images are reconstructed inside supports.

    Attributes:
        geometry: Geometry of the bins.
        factor: Columns of a bin.
        sinograms: (rows, views, bins).
        masks: (rows, views, bins), 1 for a valid bin.
        held_out: (folds, views), 1 for a held-out view.
        seconds_compile: Wall time of compilation so far.
    """

    geometry: ParallelGeometry
    factor: int
    sinograms: Float[np.ndarray, "rows views bins"]
    masks: Float[np.ndarray, "rows views bins"]
    held_out: Float[np.ndarray, "folds views"]
    seconds_compile: float = 0.0

    @classmethod
    def from_scan(cls, scan: Scan, bins: int, rows: int) -> SupportTrials:
        """The strongest rows of a scan whose centre is known, at most ``rows``, in at most ``bins`` bins."""
        factor = -(-scan.columns // bins)
        sample = scan.sample()
        sample = sample.take_rows(strongest_rows(sample.projections, rows))
        values, valid = bin_down(
            np.moveaxis(sample.projections, 1, 0), np.moveaxis(sample.mask, 1, 0), factor
        )
        return cls(
            binned_geometry(scan.geometry(), factor),
            factor,
            np.where(valid, values, 0).astype(np.float32),
            valid.astype(np.float32),
            end_folds(scan.theta_rad),
        )

    def blocks(self, rows: int) -> list[SupportTrials]:
        """The same trials in blocks of ``rows`` rows; the last block repeats its last row."""
        blocks = []
        for start in range(0, len(self.sinograms), rows):
            chosen = np.minimum(start + np.arange(rows), len(self.sinograms) - 1)
            blocks.append(
                dataclasses.replace(self, sinograms=self.sinograms[chosen], masks=self.masks[chosen])
            )
        return blocks

    def grid(self, diameter: float) -> tuple[Float[np.ndarray, "1 n"], Float[np.ndarray, "n 1"]]:
        """Coordinates x and y of the pixels of an image, at least ``diameter`` wide, in detector columns."""
        bins = self.sinograms.shape[-1]
        x, y = pixel_grid(bins + 2 * max(int(np.ceil((diameter / self.factor - bins) / 2)), 0))
        return self.factor * x, self.factor * y

    def errors(
        self,
        supports: Float[np.ndarray, "shapes n n"],
        iterations: int,
        *,
        reference: Bool[np.ndarray, "n n"] | None = None,
        batch: int = 1,
    ) -> TrialErrors:
        """Errors of the held-out views with each support.

        Args:
            supports: (shapes, n, n), 1 where the image may differ from 0.
            iterations: Iterations of ADMM.
            reference: (n, n), the support by which the rows are scaled; None: the first support. Errors can
                only be compared at one scale, because the TV weight is relative to it.
            batch: Number of supports that are tried together; the program is compiled for this number.
        """
        reference = supports[0] if reference is None else reference.astype(np.float32)
        size, errors = batch if batch > 1 else len(supports), []
        for first in range(0, len(supports), size):
            part = supports[first : first + size]
            part = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            arguments = as_arrays((self.geometry, part, reference, self.sinograms, self.masks, self.held_out))
            executable, seconds = compiled(_held_out_errors, *arguments, iterations=iterations, batch=batch)
            self.seconds_compile += seconds
            errors.append(executable(*arguments))
        return TrialErrors(*(np.concatenate(part)[: len(supports)] for part in zip(*errors, strict=True)))


@functools.partial(jax.jit, static_argnames=("iterations", "batch"))
def _held_out_errors(
    geometry: ParallelGeometry,
    supports: Float[Array, "shapes n n"],
    reference: Float[Array, "n n"],
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    held_out: Float[Array, "folds views"],
    *,
    iterations: int,
    batch: int,
) -> tuple[Array, Array, Array]:
    """The fields of :class:`TrialErrors`."""
    n = supports.shape[-1]
    A = Projector(geometry, (n, n))
    problem = SliceProblem.create(A, sinograms[0], masks[0], reference)
    # Each row has its own scale: the TV weight of the strongest row would remove everything from a weak one.
    scale = jax.vmap(lambda y, mask: estimate_scale(problem, y[None], mask[None]))(sinograms, masks)
    sinograms = sinograms / scale[:, None, None]
    weights = jnp.full(1, TV_WEIGHT, sinograms.dtype)

    def one(support: Array) -> tuple[Array, Array, Array]:
        supported = problem.with_support(support)
        squares = held_out_squares(supported, sinograms, masks, held_out, weights, iterations=iterations)[0]
        folds = jax.vmap(lambda s, held: relative_error(s[None], sinograms, masks, held[None]))
        rows = jax.vmap(lambda s, y, mask: relative_error(s[:, None], y[None], mask[None], held_out))
        total = relative_error(squares, sinograms, masks, held_out)
        return total, folds(squares, held_out), rows(squares.T, sinograms, masks)

    return jax.lax.map(one, supports, batch_size=batch if batch > 1 else None)
