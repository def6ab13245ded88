"""Prediction of the views at both ends of the angular range by total variation."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.held_out_views import held_out_squares, relative_error
from pfitre_jax.estimation.iteration_selection import HeldOutRows
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Weights of the path to the image, over the weight of the image, see
#: :func:`pfitre_jax.estimation.held_out_views.tv_path`; and iterations of ADMM at each.
PATH, ITERATIONS = np.array([30.0, 10.0, 3.0, 1.0]), 15


def tv_prediction_error(
    scan: Scan, problem: SliceProblem, scale: float, weight: float
) -> tuple[float, float]:
    """Relative error with which total variation predicts the views that the selection of a prior holds out.

    Args:
        scan: The scan.
        problem: The problem that all rows share.
        scale: Value by which the sinograms are divided.
        weight: TV weight, relative to ``||A||^2 = 1``.

    Returns:
        The error, see :func:`pfitre_jax.estimation.held_out_views.relative_error`, and the wall time of
        compilation.
    """
    rows = HeldOutRows.of(scan, scale)
    weights = np.float32(PATH * weight)
    arguments = as_arrays((problem, rows.sinograms, rows.masks, rows.held_out, weights))
    executable, seconds = compiled(_error, *arguments)
    return float(executable(*arguments)), seconds


@jax.jit
def _error(
    problem: SliceProblem,
    sinograms: Float[Array, "rows views columns"],
    masks: Float[Array, "rows views columns"],
    held_out: Float[Array, "folds views"],
    weights: Float[Array, " weights"],
) -> Float[Array, ""]:
    squares = held_out_squares(problem, sinograms, masks, held_out, weights, iterations=ITERATIONS)
    return relative_error(squares[-1], sinograms, masks, held_out)
