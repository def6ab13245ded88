"""Check whether a learned prior suits a scan, on a few rows of the result."""

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
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior
from pfitre_jax.reconstruction.data_model import DataModel
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.trust.domain import check_domain, disagreement, domain_score
from pfitre_jax.trust.image_statistics import statistics

#: Number of rows, evenly spread over those with signal, on which a prior is checked.
CHECKED_ROWS = 4
#: A row has signal if the norm of its slice is at least this share of the largest norm; slices of air contain
#: only noise.
SIGNAL_SHARE = 0.25


class PriorCheck(NamedTuple):
    """Outcome of :func:`check_prior`.

    Attributes:
        warnings: Warnings for the user.
        score: Out-of-distribution score of the result; None if the card of the prior has no reference.
        seconds_compile: Wall time of compilation.
    """

    warnings: list[str]
    score: float | None
    seconds_compile: float


def check_prior(
    prior: Prior | None,
    scan: Scan,
    calibration: Calibration,
    data_model: DataModel,
    rho: float,
    rows: slice,
    norms: np.ndarray,
    image: Callable[[int], np.ndarray],
) -> PriorCheck:
    """Checks a prior on a few of the reconstructed rows.

    Args:
        prior: The prior as the solver uses it. None, or a prior without a card, is not checked.
        scan: The scan.
        calibration: Its calibration.
        data_model: Data model of the method.
        rho: Strength of the prior, relative to ``||A||^2 = 1``.
        rows: The reconstructed rows.
        norms: (rows,), norms of their slices.
        image: Function from a row of the scan to its slice (ny, nx), per pixel.
    """
    if prior is None or not prior.info.card:
        return PriorCheck([], None, 0.0)
    card, reach = prior.info.card, prior.info.reach
    # A fixed number of rows avoids recompilation.
    checked = np.resize(select_rows_with_signal(norms, CHECKED_ROWS), CHECKED_ROWS)
    # Each row with the neighbours that the prior uses; beyond the ends the first or last row is repeated.
    numbers = np.clip(checked[:, None] + np.arange(-reach, reach + 1), 0, rows.stop - rows.start - 1)
    read = [[scan.source.read(slice(k, k + 1)) for k in near] for near in (rows.start + numbers).tolist()]
    mask = np.array([[valid[:, 0] for _, valid in near] for near in read], np.float32)
    scale = np.float32(calibration.scale)
    sinogram = mask * np.array([[values[:, 0] for values, _ in near] for near in read]) / scale
    images = np.array([[image(k) for k in near] for near in (rows.start + numbers).tolist()]) / scale
    arguments = as_arrays((prior, calibration.problem, sinogram, mask, images, np.float32(rho), scale))
    executable, seconds = compiled(_check_rows, *arguments, model=data_model)
    disagreements, row_statistics = jax.tree.map(np.asarray, executable(*arguments))
    wedge = calibration.problem.wedge
    wedge = Wedge(float(wedge.center_rad), float(wedge.width_rad))
    score = domain_score(card, row_statistics)
    return PriorCheck(check_domain(card, wedge, scan.views, rho, disagreements, score), score, seconds)


def select_rows_with_signal(norms: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` rows, evenly spread over those whose ``norms (rows,)`` are above that of noise."""
    strong = np.flatnonzero(norms >= SIGNAL_SHARE * np.max(norms))
    return strong[np.unique(np.linspace(0, len(strong) - 1, count).round().astype(int))]


@functools.partial(jax.jit, static_argnames="model")
def _check_rows(
    prior: Prior,
    problem: SliceProblem,
    sinograms: Array,
    masks: Array,
    images: Array,
    rho: Array,
    scale: Array,
    *,
    model: DataModel,
) -> tuple[Array, Array]:
    """Disagreement and statistics of rows with their neighbours; arrays are (checked, neighbours, ...)."""

    def one(sinogram, mask, images):
        row: SliceProblem | VolumeProblem
        if len(images) == 1:
            row, image = dataclasses.replace(problem, sinogram=sinogram[0], mask=mask[0]), images[0]
        else:
            row, image = VolumeProblem.create(problem, sinogram, mask), images
        row = model.apply(row, image, scale)
        return disagreement(prior, row, image, rho), statistics(images[len(images) // 2])

    return jax.vmap(one)(sinograms, masks, images)
