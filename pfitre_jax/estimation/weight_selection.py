"""TV weight of a scan, selected by the prediction of held-out views.

The noise law (:func:`pfitre_jax.solvers.tv_weight_from_noise`) holds for white noise. Where the noise is
correlated along the columns (a blurred detector, interpolated or rotated data) or views disagree (changing
intensity, shifts), held-out views still show which weight brings the image closest to the sample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pfitre_jax.estimation.binning import bin_down
from pfitre_jax.estimation.curve_minimum import minimum_position
from pfitre_jax.estimation.held_out_views import held_out_squares, interleaved_folds
from pfitre_jax.estimation.shared_problem import shared_problem
from pfitre_jax.estimation.strongest_rows import strongest_rows
from pfitre_jax.operators.resolution import binned_geometry
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.parameters.tv_weight import SMALLEST_WEIGHT
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Exponents of the candidate weights, ``10^exponent``.
EXPONENTS = np.arange(-2.0, -4.75, -0.5)
#: Every fourth view in angular order is held out. Views at the ends of the angular range would be
#: predicted better by far too small weights: they ask for an extrapolation that no weight of TV can give.
EVERY = 4
#: Power of the bin size ``b`` by which the weight for the detector's bins exceeds that for the larger ones.
#: The same image minimises both at power 1: the data term ``||A x - y||^2 / ||A||^2`` grows as ``b^2``, the
#: length of the edges as ``b``. Small pixels need more: on four simulated scans of 256 columns, in bins of 2
#: and 4, the power is 0.5 to 1.9 and 1.3 in the mean.
BINNING_POWER = 1.3
#: Smallest number of views at which some are held out.
MIN_VIEWS = 8
#: Largest numbers of rows and of columns that are reconstructed; wider detectors are binned.
ROWS, COLUMNS = 4, 256


def select_tv_weight(
    problem: SliceProblem,
    sinograms: Float[np.ndarray, "slices views columns"],
    masks: Float[np.ndarray, "slices views columns"],
) -> tuple[float | None, float]:
    """TV weight at which short reconstructions from three quarters of the views predict the others best.

    Args:
        problem: Geometry and support; its sinogram and mask are ignored.
        sinograms: (slices, views, columns), divided by the scale of the scan. The row with the largest energy
            of each of :data:`ROWS` equal parts is used.
        masks: (slices, views, columns), 1 for a valid bin.

    Returns:
        The weight relative to ``||A||^2 = 1``, at least
        :data:`~pfitre_jax.solvers.parameters.tv_weight.SMALLEST_WEIGHT`, or None without signal or with less
        than :data:`MIN_VIEWS` views; and the seconds of compilation.
    """
    rows = strongest_rows(np.moveaxis(sinograms * masks, 0, 1), ROWS)
    rows = rows[np.any(masks[rows] * sinograms[rows] != 0, axis=(1, 2))]
    sinograms, masks = sinograms[rows], masks[rows]
    if len(rows) == 0 or sinograms.shape[1] < MIN_VIEWS:
        return None, 0.0
    factor = -(-sinograms.shape[-1] // COLUMNS)
    seconds_binned = 0.0
    if factor > 1:
        problem, seconds_binned = _binned_problem(problem, factor)
        means, valid = bin_down(sinograms, masks > 0, factor)
        # Image values stay those per pixel of the detector.
        sinograms, masks = (means / factor).astype(np.float32), valid.astype(np.float32)
    held_out = interleaved_folds(problem.A.geometry.theta_rad, EVERY, 1)
    weights = np.float32(10.0**EXPONENTS)
    arguments = as_arrays((problem, sinograms, masks, held_out, weights))
    executable, seconds = compiled(held_out_squares, *arguments, without_stripes=True)
    squares = np.asarray(executable(*arguments), float).sum(axis=(1, 2))
    weight = factor**BINNING_POWER * 10 ** minimum_position(EXPONENTS, squares)
    # Errors that are alike in neighbouring views, such as scatter, escape the prediction.
    return float(max(weight, SMALLEST_WEIGHT)), seconds + seconds_binned


def _binned_problem(problem: SliceProblem, factor: int) -> tuple[SliceProblem, float]:
    """The problem in bins and pixels of ``factor`` columns, and its seconds of compilation."""
    support = np.asarray(problem.support)
    margins = [(-side % factor // 2, -side % factor - -side % factor // 2) for side in support.shape]
    support = np.pad(support, margins)
    ny, nx = (side // factor for side in support.shape)
    support = support.reshape(ny, factor, nx, factor).max(axis=(1, 3))
    return shared_problem(binned_geometry(problem.A.geometry, factor), support)
