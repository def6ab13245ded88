"""Reconstruction plan: compiled programs and calibration of one scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.estimation.calibrate import Calibration, TVWeightSource, calibrate
from pfitre_jax.estimation.iteration_selection import select_iterations
from pfitre_jax.estimation.support import SupportShape
from pfitre_jax.priors.card_summary import summarise_card
from pfitre_jax.reconstruction import executor
from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior, adapt_to_scan, check_adaptable
from pfitre_jax.reconstruction.calibrated_intervals import CalibratedIntervals, interval_warning
from pfitre_jax.reconstruction.interval_program import make_interval_program
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.reconstruction.prior_check import check_prior
from pfitre_jax.reconstruction.prior_selection import select_prior
from pfitre_jax.reconstruction.residual_check import check_residual
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.row_block import RowBlock
from pfitre_jax.reconstruction.scan_solver import build_for_scan
from pfitre_jax.runtime import drop_programs_near_limit
from pfitre_jax.solvers.loop import SETTLED, Status

#: Missing degrees from which filtered backprojection lowers the level of a sample noticeably.
LEVEL_WEDGE_DEG = 5.0
#: Share of truncated views above which the data are probably of another kind.
MAX_TRUNCATED_SHARE = 0.8
#: What such data may be instead of their stated or assumed kind.
OTHER_KINDS = {
    "absorption": "if these data are not line integrals, use data='counts' or data='transmission'",
    "counts": "if the sample is within the field of view, the beam is weaker than in the flat frames: check "
    "their exposure, or give the line integral of the air (air=...)",
    "transmission": "if these data are no transmission but line integrals, use data='absorption'",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Compiled programs and calibration of one scan; made by :func:`make_plan`.

    Attributes:
        scan: The scan.
        settings: Settings of the method, without "auto".
        prior: The learned prior, restricted to the field of view; None for a method without one.
        calibration: Calibration of the scan.
        selection: What was chosen, by whom ("auto", "stated" or "default"), and the errors of the
            candidates, as JSON values: ``support``; ``iterations``, if the method has any; ``adaptation``, if
            the prior was adapted to the scan; ``prior``, if the scan chose it.
        program: Compiled program that solves its rows.
        adapted: The prior after its adaptation to the scan; None where it was not to be adapted.
    """

    scan: Scan
    settings: Settings
    prior: Any
    calibration: Calibration
    selection: dict[str, Any]
    program: executor.Program
    adapted: AdaptedPrior | None = None

    @property
    def seconds_compile(self) -> float:
        """Wall time of compilation."""
        intervals = self.program.intervals
        of_intervals = 0.0 if intervals is None else intervals.seconds_compile
        return self.calibration.seconds_compile + self.program.seconds_compile + of_intervals

    @property
    def intervals(self) -> CalibratedIntervals | None:
        """The intervals of the pixels; None without."""
        return None if self.program.intervals is None else self.program.intervals.calibrated

    @property
    def chunk(self) -> int:
        """Number of rows that are solved together."""
        return self.program.chunk

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (ny, nx) of a slice."""
        return self.calibration.problem.support.shape

    def solve(self, blocks: Iterable[slice]) -> Iterator[RowBlock]:
        """Solves blocks of rows, at most :attr:`chunk` each, one after the other."""
        return executor.solve_blocks(self.program, self.scan, blocks)

    def result(self, block: RowBlock, seconds: float = 0.0, seconds_run: float = 0.0) -> Result:
        """Returns the result of solved rows.

        Args:
            block: All rows of the result.
            seconds: Wall time since the start of the run.
            seconds_run: Wall time spent on solving the rows.
        """
        scan, settings, rows, unit = self.scan, self.settings, block.rows, self.program.pixel_size
        rho = float(settings.rho or 0)
        if settings.method == "pfitre-original":
            rho = rho / float(self.calibration.problem.norm_squared)
        check = check_prior(
            self.prior,
            scan,
            self.calibration,
            settings.data_model,
            rho,
            rows,
            block.norm,
            lambda row: np.float32(unit) * block.volume[row - rows.start],
        )
        residual = check_residual(
            scan,
            self.calibration,
            settings.data_model,
            rows,
            block.norm,
            lambda row: np.float32(unit) * block.volume[row - rows.start],
        )
        faults = residual.statistics.faults if METHODS[settings.method].fits_data else []
        intervals = None
        if self.intervals is not None:
            intervals = self.intervals.record(block.half_width, block.wider, check.score)
        middle = len(block) // 2
        sinogram, residual_sinogram = self._residual_sinogram(rows.start + middle, block.volume[middle])
        device = jax.devices()[0]
        return Result(
            volume=block.volume,
            measured=block.measured,
            lower=None if intervals is None else block.lower,
            upper=None if intervals is None else block.upper,
            rows=scan.row0 + np.arange(rows.start, rows.stop),
            method=settings.method,
            parameters=settings.record(),
            theta_rad=scan.theta_rad,
            center=float(self.calibration.center),
            roll_deg=scan.roll_deg,
            columns=scan.columns,
            raw_rows=scan.raw_rows,
            pixel_size=scan.pixel_size,
            status=block.status,
            iterations=block.iterations,
            residual=block.residual,
            supplied=block.supplied,
            residual_history=block.residual_history,
            change_history=block.change_history,
            gains=block.gains,
            stripes=block.stripes,
            view_weights=block.view_weights,
            sinogram=sinogram,
            residual_sinogram=residual_sinogram,
            support=self.calibration.support > 0,
            support_text=self.calibration.selected_support.support.text,
            selection=self.selection,
            scale=self.calibration.scale,
            domain_score=check.score,
            residual_statistics=residual.statistics.record(),
            resolution=None,
            validation=None,
            intervals=intervals,
            chunk=self.chunk,
            warnings=self._warnings(block)
            + check.warnings
            + interval_warning(intervals)
            + [fault.text for fault in faults],
            timings={
                "seconds_prepare": max(seconds - self.seconds_compile - seconds_run, 0.0),
                "seconds_compile": self.seconds_compile + check.seconds_compile + residual.seconds_compile,
                "seconds_run": seconds_run,
            },
            provenance=scan.provenance | self._calibration_texts(),
            device=f"{device.platform}: {device.device_kind}",
            prior_card=None if self.prior is None else summarise_card(self.prior.info.card),
            versions=settings.versions(),
        )

    def _calibration_texts(self) -> dict[str, str]:
        """The estimated noise, and the automatic TV weight or rho and how it was chosen, in words."""
        calibration, texts = self.calibration, {}
        if calibration.noise is not None:
            texts["noise"] = f"standard deviation {calibration.noise:.3g} of the scale in a bin"
        chosen = ("tv_weight", self.settings.weight), ("rho", self.settings.rho)
        for name, value in chosen:
            automatic = getattr(calibration, name)
            if automatic is not None and value == automatic:
                texts[name] = f"{automatic:.3g}, from {calibration.tv_weight_source}"
        return texts

    def _residual_sinogram(self, row: int, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sinogram (views, columns) of a row, and ``M(A x - y)`` of its slice (ny, nx)."""
        projections, mask = self.scan.source.read(slice(row, row + 1))
        sinogram = projections[:, 0]
        predicted = np.asarray(
            _project(self.calibration.problem.A, np.float32(self.program.pixel_size) * image)
        )
        return sinogram, np.where(mask[:, 0], predicted - sinogram, 0)

    def _unconverged(self, block: RowBlock) -> np.ndarray:
        """Indices of the rows in ``block`` that did not converge to the method's tolerance.

        A row counts as converged if its residual has settled and its last change is within twice the
        tolerance: more iterations would only fit the noise.
        """
        tolerance, history = METHODS[self.settings.method].tolerance, block.residual_history
        count = history.shape[1]
        if tolerance == 0 or count == 0:
            return np.zeros(0, int)
        last = history[:, -1]
        falling = np.abs(history[:, 9 * (count - 1) // 10] - last) > SETTLED * last
        falling &= last > tolerance
        unfinished = block.status == int(Status.ITERATIONS)
        return np.flatnonzero(unfinished & (falling | (block.change_history[:, -1] > 2 * tolerance)))

    def _warnings(self, block: RowBlock) -> list[str]:
        scan, truncated = self.scan, self.calibration.truncated
        warnings = list(scan.warnings)
        shape, row0 = self.image_shape, scan.row0 + block.rows.start
        missing = scan.wedge.width_deg
        if missing > 179.9:
            warnings.append(
                "all views have the same angle, so that the slices have no resolution along the beam; "
                "expected different angles: check the angles of the scan"
            )
        elif self.settings.method == "fbp" and missing > LEVEL_WEDGE_DEG:
            warnings.append(
                f"filtered backprojection of {180 - missing:.0f} degrees lowers the level of the sample: in "
                f"the middle of a disc to {100 * (1 - missing / 180):.0f}%; use an iterative method for "
                "absolute values"
            )
        if truncated.any():
            image = (
                f"the image is extended to {shape[1]} x {shape[0]} pixels and is less certain near and beyond"
                if shape[1] > scan.columns
                else "the image is limited to the detector's disc (support='extended' extends it) and is "
                "less certain near"
            )
            beam = scan.provenance.get("data") in ("counts", "transmission") and truncated.mean() < 0.5
            cause = ", or have a weaker beam than the others" if beam else ""
            views = format_ranges(scan.view_numbers[truncated])
            warnings.append(
                f"views {views} of {scan.views} extend beyond the field of view{cause}; {image} the edge of "
                "the field"
            )
        if truncated.mean() > MAX_TRUNCATED_SHARE and scan.provenance.get("data") in OTHER_KINDS:
            warnings.append(
                f"nearly all views have signal at their edges: {OTHER_KINDS[scan.provenance['data']]}"
            )
        if not self.calibration.selected_support.casts_shadow:
            warnings.append(
                "the sample casts a wider shadow than its part between the stated faces: the faces cut it; "
                "expected columns from the rotation axis along the middle of the missing directions"
            )
        unconverged = self._unconverged(block)
        if unconverged.size:
            count = block.change_history.shape[1]
            change = np.max(block.change_history[unconverged, -1])
            warnings.append(
                f"{unconverged.size} of {len(block)} rows did not converge in {count} iterations (rows "
                f"{format_ranges(row0 + unconverged)}): the last iteration changed the image by "
                f"{change:.1e} of its norm, expected at most {METHODS[self.settings.method].tolerance:.0e}; "
                f"use iterations={3 * count}"
            )
        empty = np.flatnonzero(block.empty)
        if empty.size:
            warnings.append(f"rows {format_ranges(row0 + empty)} have no valid bin; their slices are 0")
        diverged = np.flatnonzero(block.status == int(Status.DIVERGED))
        if diverged.size:
            warnings.append(
                f"rows {format_ranges(row0 + diverged)} diverged; their slices are the last finite iterates"
            )
        return warnings


def make_plan(
    scan: Scan,
    settings: Settings,
    rows: int,
    *,
    scale: float | None = None,
    noise: float | None = None,
    tv_weight: float | None = None,
    tv_weight_source: TVWeightSource | None = None,
    support: SupportShape | None = None,
    iterations: int | None = None,
    selection: dict[str, Any] | None = None,
    adapted: AdaptedPrior | None = None,
    intervals: Intervals | None = None,
    chunk: int | None = None,
    limit: int | None = None,
    adapting: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Calibrates a scan whose centre is known, and compiles the programs that solve ``rows`` of it.

    Args:
        scan: The scan.
        settings: Settings of the method.
        rows: Number of rows to solve.
        scale: A known scale, see :func:`pfitre_jax.estimation.calibrate.calibrate`.
        noise: A known noise.
        tv_weight: The TV weight that was estimated with the known noise.
        tv_weight_source: How it was estimated.
        support: A known shape of the support, in place of the selection for ``settings.support``.
        iterations: A known number of iterations, in place of an automatic one.
        selection: How the known support, iterations and prior were chosen, see :class:`Plan`.
        adapted: The prior that was adapted to the scan before, if ``settings`` ask for an adaptation.
        intervals: What the intervals of the pixels are made of; None for no intervals.
        chunk: Largest number of rows that are solved together, see
            :func:`pfitre_jax.reconstruction.executor.make_program`.
        limit: Bytes that this process may use; by default the free memory.
        adapting: Called while the prior is adapted, with the number of steps done and of all steps.

    Raises:
        DoesNotFit: One row on each device needs more memory than is available.
        ValueError: The scan has too few views for the adaptation of a prior.
    """
    drop_programs_near_limit()
    choice, trial = None, None
    if settings.prior_candidates:
        choice = select_prior(scan, settings, scale=scale)
        settings, trial = settings.with_candidate(choice.chosen), choice.trial
        if intervals is not None:
            intervals = intervals.of_settings(settings)
    if trial is None:
        calibration = calibrate(
            scan,
            settings.needed_parameter,
            support=support or settings.support,
            scale=scale,
            noise=noise,
            tv_weight=tv_weight,
            tv_weight_source=tv_weight_source,
        )
    else:
        calibration = trial.calibration
    record = {"support": calibration.selected_support.record()}
    settings = settings.resolve(calibration.tv_weight, calibration.rho)
    windowed, solver = build_for_scan(settings, scan, calibration)
    if settings.adaptation is not None:
        if adapted is None:
            parent = check_adaptable(settings.prior)
            adapted = adapt_to_scan(scan, solver, parent, calibration, settings.adaptation, progress=adapting)
            record["adaptation"] = adapted.record
        settings = dataclasses.replace(settings, prior=adapted.prior)
        windowed, solver = build_for_scan(settings, scan, calibration)
    if "iterations" in METHODS[settings.method].defaults:
        by = "default" if settings.iterations_by_default else "stated"
        record["iterations"] = {"by": by, "chosen": settings.iterations}
    if settings.automatic_iterations:
        if trial is not None:
            iterations, record["iterations"] = trial.iterations.iterations, trial.iterations.record()
        if iterations is None:
            tried = select_iterations(
                scan, calibration.problem, solver, calibration.scale, settings.iterations
            )
            iterations = tried.iterations
            record["iterations"] = tried.record()
            seconds = calibration.seconds_compile + tried.seconds_compile
            calibration = dataclasses.replace(calibration, seconds_compile=seconds)
        settings = dataclasses.replace(settings, iterations=iterations, automatic_iterations=False)
    if choice is not None:
        record["prior"] = choice.record()
    program = executor.make_program(
        solver,
        calibration.problem,
        rows,
        scale=calibration.scale,
        noise=0.0 if calibration.noise is None else calibration.noise,
        pixel_size=scan.pixel_size,
        iterations=settings.iterations,
        tolerance=METHODS[settings.method].tolerance,
        joint=settings.joint,
        data_model=settings.data_model,
        scan_rows=scan.rows,
        chunk=chunk,
        limit=limit,
    )
    if intervals is not None:
        interval_program = make_interval_program(
            CalibratedIntervals.create(intervals, scan, calibration, settings),
            settings,
            windowed.prior,
            program.problem,
            scale=program.scale,
            noise=program.noise,
            slices=program.slices,
            data_model=settings.data_model,
            mesh=program.mesh,
        )
        program = dataclasses.replace(program, intervals=interval_program)
    return Plan(scan, settings, windowed.prior, calibration, selection or record, program, adapted)


@jax.jit
def _project(A, image):
    return A(image)
