"""Adaptation of a prior to a scan, without its reconstruction."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import resolve_rows
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.priors import files
from pfitre_jax.priors.default import DEFAULT_PRIOR
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior, adapt_to_scan, check_adaptable
from pfitre_jax.reconstruction.method_settings import AUTOMATIC_PRIOR, Settings
from pfitre_jax.reconstruction.scan_axis import with_center
from pfitre_jax.reconstruction.scan_solver import build_for_scan
from pfitre_jax.training.adaptation_settings import AdaptationSettings


def adapt(
    scan: Scan,
    prior: NetworkPrior | str | os.PathLike = DEFAULT_PRIOR,
    *,
    rows: slice | str | None = None,
    settings: AdaptationSettings | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    observe: Callable[[np.ndarray], None] = lambda images: None,
) -> AdaptedPrior:
    """Adapts a prior to one scan, without ground truth (self-supervised).

    The prior is trained to reconstruct images of the scan that are rotated and measured again. Rows that
    it is not trained on and held-out views decide which round of the training is kept; if none passes, the
    prior is unchanged. See :func:`pfitre_jax.training.adaptation.adapt_prior`.
    ``reconstruct(scan, adapt=True)`` does this first.

    Args:
        scan: The scan.
        prior: A prior, or its name or path for :func:`pfitre_jax.priors.files.pretrained`.
        rows: Rows to use, ``slice`` or "A:B"; by default 12 rows, evenly spread over those with signal. A
            prior of neighbouring rows, such as "volume", uses at most 4 slabs of 5 rows of this range.
        settings: Settings of the adaptation.
        progress: Called with the number of steps of the optimiser done and of all steps.
        observe: Called in each round with the reconstructions (rows, n, n), per pixel, in which the
            adaptation sees the scan: without its held-out views.

    Raises:
        ValueError: If the prior is unknown or cannot be adapted, rows are outside the scan, or the scan has
            too few views.
    """
    settings = AdaptationSettings() if settings is None else settings
    network = load_adaptable(prior)
    joint = bool(network.info.reach)
    loop = Settings.create("pfitre", joint=joint, prior=network, adaptation=settings)
    selected = resolve_rows(rows, scan.rows)
    scan = with_center(scan)
    calibration = calibrate(scan, loop.needed_parameter)
    loop = loop.resolve(calibration.tv_weight, calibration.rho)
    _, solver = build_for_scan(loop, scan, calibration)
    picked = None if rows is None else np.arange(selected.start, selected.stop)
    return adapt_to_scan(
        scan, solver, network, calibration, settings, rows=picked, progress=progress, observe=observe
    )


def load_adaptable(prior: NetworkPrior | str | os.PathLike) -> NetworkPrior:
    """A prior that can be adapted, from itself, its name or its path.

    Raises:
        ValueError: See :func:`adapt`.
    """
    if prior == AUTOMATIC_PRIOR:
        Settings.create("pfitre", prior=prior).require_known_prior("an adaptation")
    return check_adaptable(files.pretrained(prior) if isinstance(prior, (str, os.PathLike)) else prior)
