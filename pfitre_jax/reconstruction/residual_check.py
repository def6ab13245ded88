"""Check of the residual of a few rows of a result for the patterns of known faults."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.reconstruction.prior_check import select_rows_with_signal
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.trust.residuals import ResidualStatistics, residual_statistics

#: Number of rows, evenly spread over those with signal, whose residual is checked.
CHECKED_ROWS = 8


class ResidualCheck(NamedTuple):
    """Outcome of :func:`check_residual`.

    Attributes:
        statistics: Statistics of the residual.
        seconds_compile: Wall time of compilation.
    """

    statistics: ResidualStatistics
    seconds_compile: float


def check_residual(
    scan: Scan,
    calibration: Calibration,
    data_model: DataModel,
    rows: slice,
    norms: np.ndarray,
    image: Callable[[int], np.ndarray],
) -> ResidualCheck:
    """Statistics of the residual of at most :data:`CHECKED_ROWS` of the reconstructed rows.

    Column offsets and view gains that the method corrected are corrected here, too, and bins with less than
    half of the full weight in a robust data term do not count.

    Args:
        scan: The scan.
        calibration: Its calibration.
        data_model: Data model of the method.
        rows: The reconstructed rows.
        norms: (rows,), norms of their slices.
        image: Function from a row of the scan to its slice (ny, nx), per pixel.
    """
    chosen = rows.start + select_rows_with_signal(norms, CHECKED_ROWS)
    # A fixed number of rows avoids recompilation; those that are repeated do not count.
    numbers = np.resize(chosen, CHECKED_ROWS)
    read = [scan.source.read(slice(k, k + 1)) for k in numbers.tolist()]
    mask = np.array([valid[:, 0] for _, valid in read], np.float32)
    scale = np.float32(calibration.scale)
    sinograms = mask * np.array([values[:, 0] for values, _ in read]) / scale
    images = np.array([image(k) for k in numbers.tolist()]) / scale
    arguments = as_arrays((calibration.problem, sinograms, mask, images, scale))
    executable, seconds = compiled(_residuals, *arguments, model=data_model)
    residual, predicted, used = (np.asarray(a)[: len(chosen)] for a in executable(*arguments))
    statistics = residual_statistics(
        residual,
        predicted,
        used,
        calibration.noise or 0.0,
        np.asarray(scan.theta_rad),
        calibration.truncated,
        scan.view_numbers,
    )
    return ResidualCheck(statistics, seconds)


@functools.partial(jax.jit, static_argnames="model")
def _residuals(
    problem: SliceProblem, sinograms: Array, masks: Array, images: Array, scale: Array, *, model: DataModel
) -> tuple[Array, Array, Array]:
    """``M(A x - y)``, ``A x`` and the bins that count, each (rows, views, columns)."""

    def one(sinogram, mask, image):
        row = dataclasses.replace(problem, sinogram=sinogram, mask=mask)
        row = model.apply(row, image, scale)
        used = row.mask
        # Poisson weights are no judgement on a bin.
        if model.robust is not None:
            used = used * (row.weights >= 0.5)
        return used * row.residual(image), row.A(image), used

    return jax.vmap(one)(sinograms, masks, images)
