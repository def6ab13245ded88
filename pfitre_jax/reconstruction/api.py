"""Main functions: :func:`load_scan` reads a file, and :func:`reconstruct` reconstructs a scan."""

from __future__ import annotations

import dataclasses
import numbers
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pfitre_jax.data.checks import check_columns
from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import leave_out_blank_views, to_scan
from pfitre_jax.data.readers.registry import open_raw, read_raw
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import resolve_rows, resolve_views
from pfitre_jax.data.sign import check_sign
from pfitre_jax.estimation import opposite_views, residual_search
from pfitre_jax.estimation.air import check_air, with_air
from pfitre_jax.estimation.calibrate import sample_rows
from pfitre_jax.estimation.center import find_center
from pfitre_jax.estimation.estimate import Estimate
from pfitre_jax.estimation.roll import find_roll
from pfitre_jax.estimation.support import Faces, Support, SupportShape
from pfitre_jax.estimation.support_selection import select_support
from pfitre_jax.geometry import check_center
from pfitre_jax.plotting.trials import Trial
from pfitre_jax.reconstruction.executor import split_rows
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import automatic_settings
from pfitre_jax.reconstruction.plan import make_plan
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.result_checks import Checks
from pfitre_jax.reconstruction.row_block import concatenate
from pfitre_jax.solvers.solve import check_number
from pfitre_jax.training.adaptation_settings import AdaptationSettings

#: Size of the projections, bytes, above which a preview reads a part of the rows; number of bins of this
#: part, and its smallest number of rows.
PREVIEW_BYTES, PREVIEW_BINS, PREVIEW_ROWS = 2**30, 2**20, 4


def load_scan(
    path: str | os.PathLike,
    *,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    element: str | None = None,
    dataset: str | None = None,
    theta_path: str | None = None,
    axis_order: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float | str = 0.0,
    air: float | str | None = "auto",
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
) -> Scan:
    """Reads a scan into memory and converts it to line integrals.

    Args:
        path: Scan file, or folder with one file for each view, in one of the formats of the page "Scan
            files".
        angles: CSV file with one angle for each view; needed for a TIFF stack.
        angle_unit: Unit of the angles, a key of :data:`pfitre_jax.data.readers.angle_units.RADIANS` such as
            "deg", "rad" or "mrad"; None for the one that the file states, else degrees.
        element: Name of the channel to read, such as "Cu", of a file with several elements.
        dataset: Dataset of the projections of an HDF5 file, if its layout is not known.
        theta_path: Dataset or attribute ("/group@name") of the angles of an HDF5 file.
        axis_order: Names of the axes of the stored projections, such as "row,column,view".
        data: "counts", "transmission" or "absorption"; by default counts where the file holds flats, else
            absorption.
        center: Detector index of the rotation axis. None or "auto": the value in the file; without one,
            :func:`reconstruct` estimates it.
        roll: In-plane roll of the rotation axis, degrees, which is corrected; "auto" estimates it.
        air: Line integral of the air beside the sample, which is subtracted; "auto" estimates it
            (:func:`pfitre_jax.estimation.air.estimate_air`); None or "none" subtracts nothing.
        pixel_size: Size of a detector bin, micrometres; None for the one that the file states.
        views: Views to use, ``slice`` or "A:B[:S]", counted as in the file.
        exclude_views: Views not to use, counted as in the file.
        mask_nan: Whether NaN and infinite bins are masked instead of refused.

    Raises:
        FileNotFoundError: A file does not exist.
        OSError: A file cannot be read.
        ValueError: The content or an argument is invalid; the message states the fix.
    """
    center_value = _center(center)
    if not isinstance(roll, numbers.Real) and roll != "auto":
        raise ValueError(f"roll is {roll!r}; expected a number or 'auto'")
    check_air(air)
    raw = read_raw(
        path,
        angles,
        angle_unit,
        data,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
    )
    check_columns(raw.projections.shape[2])
    used = resolve_views(views, exclude_views, raw.projections.shape[0])

    def prepare(roll_deg: float) -> Scan:
        # The alignment that a file states is applied in the same interpolation as the roll.
        together = raw.transforms is not None
        scan = to_scan(
            raw,
            center=center_value,
            pixel_size=pixel_size,
            mask_nan=mask_nan,
            roll_deg=roll_deg if together else 0.0,
        )
        scan = leave_out_blank_views(scan.take_views(used))
        return with_air(correct_roll(scan, roll_deg) if roll_deg and not together else scan, air)

    scan = prepare(0.0 if isinstance(roll, str) else float(roll))
    check_sign(scan)
    if not isinstance(roll, str):
        return scan
    if raw.transforms is None:
        return with_roll(scan)
    estimate = find_roll(scan)
    return prepare(estimate.value).with_provenance(roll=_roll_text(estimate))


def open_scan(
    path: str | os.PathLike,
    *,
    angles: str | os.PathLike | None = None,
    angle_unit: str | None = None,
    element: str | None = None,
    dataset: str | None = None,
    theta_path: str | None = None,
    axis_order: str | None = None,
    data: str | None = None,
    center: float | str | None = None,
    roll: float = 0.0,
    air: float | str | None = "auto",
    pixel_size: float | None = None,
    views: slice | str | None = None,
    exclude_views: slice | str | None = None,
    mask_nan: bool = False,
    preview: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Opens a scan whose rows are read on demand, so that it may be larger than memory.

    All rows are read twice, a few at a time. An unknown centre is estimated from a sample of the rows.

    Args:
        path: See :func:`load_scan`, as for the other arguments.
        angles: CSV file with one angle for each view.
        angle_unit: Unit of the angles.
        element: Name of the channel.
        dataset: Dataset of the projections.
        theta_path: Dataset or attribute of the angles.
        axis_order: Names of the axes of the stored projections.
        data: "counts", "transmission" or "absorption".
        center: Detector index of the rotation axis, None or "auto".
        roll: In-plane roll of the rotation axis, degrees; it must be known.
        air: Line integral of the air beside the sample, "auto" or "none".
        pixel_size: Size of a detector bin, micrometres; None for the one that the file states.
        views: Views to use.
        exclude_views: Views not to use.
        mask_nan: Whether NaN and infinite bins are masked instead of refused.
        preview: Whether a scan of more than :data:`PREVIEW_BYTES` is represented by some of its rows, spread
            over it, with about :data:`PREVIEW_BINS` bins; ``provenance["rows"]`` states them.
        progress: Called with the number of rows read and the number of rows.

    Raises:
        FileNotFoundError: A file does not exist.
        OSError: A file cannot be read.
        ValueError: The content or an argument is invalid; the message states the fix.
    """
    center_value = _center(center)
    if not isinstance(roll, numbers.Real):
        raise ValueError(f"roll is {roll!r}; expected a number, because the scan is not read into memory")
    check_air(air)
    raw = open_raw(
        path,
        angles,
        angle_unit,
        data,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
    )
    check_columns(raw.projections.shape[2])
    count, all_rows, columns = raw.projections.shape
    if preview and raw.nbytes > PREVIEW_BYTES and raw.transforms is None:
        part = raw.sample_rows(max(PREVIEW_BINS // (count * columns), PREVIEW_ROWS))
        text = f"{part.projections.shape[1]} of {all_rows}, spread over the scan; warnings count these rows"
        raw = dataclasses.replace(part, provenance={**part.provenance, "rows": text})
    rows = raw.projections.shape[1]
    spread = np.linspace(0, rows - 1, min(rows, opposite_views.ROWS)).round().astype(int)
    used = resolve_views(views, exclude_views, raw.projections.shape[0])
    scan = open_lazily(
        raw,
        used_views=used,
        center=center_value,
        roll_deg=roll,
        pixel_size=pixel_size,
        mask_nan=mask_nan,
        kept_rows=np.union1d(sample_rows(rows), spread),
        strongest_rows=residual_search.ROWS,
        progress=progress,
    )
    scan = with_air(leave_out_blank_views(scan), air)
    check_sign(scan)
    return dataclasses.replace(scan, raw_rows=all_rows)


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


def with_center(scan: Scan) -> Scan:
    """The scan with a known rotation axis: its own, or the estimate of :func:`find_center`.

    ``provenance["center"]`` describes the estimate.

    Raises:
        ValueError: The scan does not determine its centre.
    """
    if scan.center is not None:
        return scan
    estimate = find_center(scan.sample())
    text = f"{estimate.value:.2f} +- {estimate.uncertainty:.2g}, estimated from {estimate.method}"
    return scan.with_center(estimate.value).with_provenance(center=text)


def with_roll(scan: Scan) -> Scan:
    """The scan corrected for the roll that :func:`find_roll` estimates.

    ``provenance["roll"]`` describes the estimate.

    Raises:
        ValueError: The scan does not determine its roll.
    """
    estimate = find_roll(scan)
    return correct_roll(scan, estimate.value).with_provenance(roll=_roll_text(estimate))


def try_values(
    scan: Scan,
    parameter: str,
    values: Sequence[float] | np.ndarray,
    *,
    row: int | None = None,
    method: str = "cgls",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Trial]:
    """Reconstructs one row with each of several centres or rolls, for a visual comparison.

    Args:
        scan: The scan.
        parameter: "center", for detector indices; or "roll", for degrees, of a scan without a correction of
            the roll.
        values: The values to try.
        row: Row of the scan, by default the middle one.
        method: Reconstruction method.
        progress: Called with the number of values done and the number of values.

    Returns:
        Image and residual for each value.

    Raises:
        ValueError: See :func:`check_trials`.
    """
    row = check_trials(scan, parameter, values, row)
    if parameter == "roll":
        scan = with_center(scan)
    trial_scan = Scan.with_center if parameter == "center" else correct_roll
    trials: list[Trial] = []
    # All trials have the support that suits the middle value, drawn about their own axis.
    middle = trial_scan(scan, values[len(values) // 2])
    fixed: dict[str, Any] = {"support": select_support(middle).support.shape}
    automatic = (*automatic_settings(method), "iterations")
    for value in values:
        trial = trial_scan(scan, value)
        result = reconstruct(trial, method, rows=slice(row, row + 1), intervals="off", **fixed)
        # Scale, noise and iterations hardly depend on the axis; all trials use those of the first one.
        fixed |= {name: result.parameters[name] for name in automatic if name in result.parameters}
        fixed["scale"] = result.scale
        trials.append(Trial(float(value), result.volume[0], float(result.residual[0])))
        progress(len(trials), len(values))
    return trials


def check_trials(
    scan: Scan, parameter: str, values: Sequence[float] | np.ndarray, row: int | None = None
) -> int:
    """Checks the arguments of :func:`try_values`.

    Returns:
        The row to reconstruct.

    Raises:
        ValueError: The row is outside the scan, a centre outside the detector, a roll not below 90 degrees,
            or rolls are tried in a scan that was already corrected for a roll.
    """
    if parameter not in ("center", "roll"):
        raise ValueError(f"the parameter to try is {parameter!r}; expected 'center' or 'roll'")
    row = scan.rows // 2 if row is None else row
    if not 0 <= row < scan.rows:
        raise ValueError(f"row {row} is outside the scan; expected 0 to {scan.rows - 1}")
    if parameter == "center":
        for value in values:
            check_center(value, scan.columns)
        return row
    if scan.roll_deg:
        raise ValueError(
            f"the scan was corrected for a roll of {scan.roll_deg:g} degrees already; expected a scan loaded "
            "without a roll, because the values are rolls of the measured scan"
        )
    for value in values:
        if not abs(value) < 90:
            raise ValueError(f"the roll is {value:g}; expected degrees between -90 and 90")
    return row


def _center(center: float | str | None) -> float | None:
    """A number, or None for "auto"."""
    if center is None or center == "auto":
        return None
    if not isinstance(center, numbers.Real):
        raise ValueError(f"center is {center!r}; expected a number or 'auto'")
    return float(center)


def _roll_text(estimate: Estimate) -> str:
    """Description of an estimated roll."""
    return f"{estimate.value:.2f} +- {estimate.uncertainty:.2g} degrees, estimated from {estimate.method}"
