"""Reconstruction of a scan in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import resolve_rows
from pfitre_jax.data.sign import check_sign
from pfitre_jax.estimation.support import Faces, Support, SupportShape
from pfitre_jax.reconstruction.executor import split_rows
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import make_plan
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.result_checks import Checks
from pfitre_jax.reconstruction.row_block import concatenate
from pfitre_jax.reconstruction.scan_axis import with_center
from pfitre_jax.solvers.solve import check_number
from pfitre_jax.training.adaptation_settings import AdaptationSettings


def reconstruct(
    scan: Scan,
    method: str = "pfitre",
    *,
    rows: slice | str | None = None,
    prior: Any = None,
    iterations: int | None = None,
    rho: float | str | None = None,
    weight: float | str | None = None,
    scale: float | None = None,
    joint: bool = False,
    robust: str | None = None,
    photons: float | None = None,
    stripes: bool = False,
    gains: bool = False,
    support: str | os.PathLike | np.ndarray | Faces | SupportShape | Support = "auto",
    adapt: bool | AdaptationSettings = False,
    validate: bool = False,
    resolution: bool = False,
    intervals: str = "quick",
    chunk: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Reconstructs rows of a scan, each as a separate slice, or all as one volume.

    An unknown rotation axis is estimated by :func:`with_center`. A row that diverges is marked in ``status``.

    Args:
        scan: The scan.
        method: A name in :data:`pfitre_jax.reconstruction.methods.METHODS`.
        rows: ``slice`` or "A:B"; by default all.
        prior: Learned prior: a name or path for :func:`pfitre_jax.priors.files.pretrained`, or a prior;
            "auto" if held-out views of the scan are to choose a shipped prior or total variation, see
            :func:`pfitre_jax.reconstruction.prior_selection.select_prior`; ``selection["prior"]`` of the
            result tells what was chosen and why.
        iterations: Number of iterations; by default that of the method, as for ``rho`` and ``weight``.
        rho: Prior strength, relative to ``||A||^2 = 1``, or "auto": from the noise of the scan.
        weight: TV weight, or "auto": the weight that predicts held-out views of the scan best.
        scale: Image value that becomes 1 in the solver; by default estimated, see
            :func:`pfitre_jax.estimation.calibrate.calibrate`.
        joint: Whether the rows are one volume, whose prior couples neighbouring rows: total variation also
            has differences along the rows, and the default prior is "volume".
        robust: Robust data term instead of least squares: "huber" (:class:`pfitre_jax.solvers.Huber`) or
            "student-t" (:class:`pfitre_jax.solvers.StudentT`) for outlying bins, "views"
            (:class:`pfitre_jax.solvers.WholeViews`) for outlying views.
        photons: Photons per bin in the flat beam, more than 1: bins are weighted by Poisson statistics
            (:class:`pfitre_jax.solvers.Poisson`).
        stripes: Whether column offsets are estimated and corrected between the iterations.
        gains: Whether view gains are estimated and corrected between the iterations.
        support: Where the image may differ from 0: "auto", from the sample's shadows and held-out views, see
            :func:`pfitre_jax.estimation.select_support`; "disc", which every view sees; "extended", beyond
            the field of view; "faces:LOW,HIGH" or :class:`pfitre_jax.estimation.Faces`, the known faces of a
            flat sample; a :class:`pfitre_jax.estimation.SupportShape`; or an image (n, n), or the path of
            one, that is not 0 there.
        adapt: Whether the prior is adapted to the scan first, without ground truth, see
            :func:`pfitre_jax.adapt`; or the settings of the adaptation. It takes minutes.
            ``selection["adaptation"]`` of the result tells what was decided and why.
        validate: Whether held-out views are predicted by the method and by FISTA-TV; the result uses all
            views, see :func:`pfitre_jax.reconstruction.validation.validate`.
        resolution: Whether the resolution is estimated from half sets of the views, see
            :func:`pfitre_jax.reconstruction.half_set_resolution.resolution_of`.
        intervals: Intervals that contain 90% of the true values of the pixels, ``lower`` and ``upper`` of the
            result: "quick", from the error that the prior expects, where the prior has this output and a
            calibrated table; "full", with 20 draws of an equivariant bootstrap, about 25 times slower, where
            there is a table for it; or "off". See :mod:`pfitre_jax.trust.intervals`.
        chunk: Largest number of rows that are solved together; by default all rows of a joint reconstruction,
            else 32 on each device, and in both cases at most as many as fit into memory.
        progress: Called with the number of rows done and the number of rows.

    Raises:
        ValueError: A method, setting or row is invalid, the scan does not determine its centre, its line
            integrals are negative as a whole, it has too few views to hold some out, or ``intervals="full"``
            has no calibrated table.
    """
    start = time.perf_counter()
    settings = Settings.create(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=rho,
        weight=weight,
        robust=robust,
        photons=photons,
        stripes=stripes,
        gains=gains,
        support=support,
        adaptation=AdaptationSettings() if adapt is True else adapt or None,
    )
    if scale is not None:
        check_number("scale", scale)
    if chunk is not None and chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected the number of rows solved together, at least 1")
    chosen, reason = Intervals.choose(settings, intervals)
    if intervals == "full" and chosen is None:
        raise ValueError(f"intervals='full', but {reason}; use intervals='off'")
    selected = resolve_rows(rows, scan.rows)
    count = selected.stop - selected.start
    check_sign(scan)
    scan = with_center(scan)
    checks = Checks(validate, resolution)
    checks.require_views(scan, settings)
    plan = make_plan(scan, settings, count, scale=scale, intervals=chosen, chunk=chunk)
    run = time.perf_counter()
    blocks = []
    for block in plan.solve(split_rows(selected, plan.chunk)):
        blocks.append(block)
        progress(block.rows.stop - selected.start, count)
    end = time.perf_counter()
    result = plan.result(concatenate(blocks), end - start, end - run)
    return checks.add_to(result, scan, settings, selected)
