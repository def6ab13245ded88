"""``pfitre recon``: reconstruction of a scan."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli import options
from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command, command_line
from pfitre_jax.cli.console import describe_scan
from pfitre_jax.cli.errors import ComputationError, computation, in_options
from pfitre_jax.cli.options import parse_number
from pfitre_jax.cli.progress import ProgressReporter
from pfitre_jax.cli.samples import read_truth, sample_path

if TYPE_CHECKING:
    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.methods import Settings
    from pfitre_jax.reconstruction.result import Result
    from pfitre_jax.runtime.devices import Team


@command(RECONSTRUCTION_PANEL)
def recon(
    ctx: typer.Context,
    scan: options.OptionalScanPath = None,
    *,
    sample: options.Sample = None,
    angles: options.Angles = None,
    angle_unit: options.AngleUnit = None,
    data: options.Data = None,
    rows: options.Rows = None,
    views: options.Views = None,
    exclude_views: options.ExcludeViews = None,
    mask_nan: options.MaskNan = False,
    center: options.Center = "auto",
    roll: options.Roll = "0",
    pixel_size: options.PixelSize = None,
    method: options.Method = "pfitre",
    prior: options.Prior = None,
    iterations: options.Iterations = None,
    rho: options.Rho = None,
    tv_weight: options.TVWeight = None,
    joint: options.Joint = False,
    robust: options.Robust = None,
    photons: options.Photons = None,
    stripes: options.Stripes = False,
    gains: options.Gains = False,
    align: options.Align = False,
    drift: options.Drift = False,
    alignment: options.AlignmentFile = None,
    out: options.OutFolder,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    json_log: options.JsonLog = False,
    memory: options.Memory = None,
    memory_check: options.MemoryCheck = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
) -> None:
    """Reconstruct a scan.

    Reads SCAN and writes to DIR: recon.h5 and recon.tif (slices),
    preview.png, summary.json, and alignment.csv and .png if views were
    aligned. An interrupted run resumes when the command is repeated.

    Examples:
    pfitre recon --sample chip --out out
    pfitre recon scan.tiff --angles angles.csv --center 75 --out out
    """
    from pfitre_jax.data.atomic_write import check_output_folder
    from pfitre_jax.reconstruction.file_names import RESULT_FILES

    source = _source(scan, sample)
    if memory is not None and not 0 < memory < 1e6:
        raise ValueError(f"--memory is {memory:g}; expected GiB, more than 0")
    check_output_folder(out, [*RESULT_FILES, "preview.png", *alignment_step.NAMES])
    center_value = parse_number(center, "--center", None)
    roll_value = parse_number(roll, "--roll", "auto")
    rho_value = parse_number(rho, "--rho", "auto")
    weight_value = parse_number(tv_weight, "--tv-weight", "auto")
    aligned = align or alignment is not None
    motion = _check_alignment(align, drift, alignment, center_value, roll_value)
    if motion is not None:
        center_value = motion.center
    start = time.perf_counter()

    from pfitre_jax.data.selection import resolve_rows
    from pfitre_jax.reconstruction import api, checkpoint, methods
    from pfitre_jax.runtime.devices import join

    # Processes are joined before anything, such as a prior's weights, is put on a device.
    team = join(coordinator, num_processes, process_id)
    settings = methods.Settings.create(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=rho_value,
        weight=weight_value,
        robust=robust,
        photons=photons,
        stripes=stripes,
        gains=gains,
    )
    read_options = {
        "angle_unit": angle_unit,
        "data": data,
        "center": center_value,
        "roll": roll_value,
        "pixel_size": pixel_size,
        "views": views,
        "exclude_views": exclude_views,
        "mask_nan": mask_nan,
    }
    identity = checkpoint.identify(
        {"scan": source, "angles": angles, "alignment": alignment},
        read_options | {"rows": rows, "joint": joint or None, "align": align or None, "drift": drift or None},
        settings,
    )
    if checkpoint.is_complete(out, identity, overwrite) and not memory_check:
        # The previous run may have been killed before it removed its intermediate files.
        checkpoint.remove_partial(out)
        ProgressReporter(quiet, json_log).note(
            f"{out} already contains this result; use --overwrite to compute it again"
        )
        return
    reporter = ProgressReporter(quiet or not team.first, json_log)
    # The roll of an aligned scan is corrected together with the shifts, by a single interpolation.
    read_roll = 0.0 if aligned else roll_value
    loaded = _open(source, angles, read_options | {"roll": read_roll}, aligned, reporter)
    picked = resolve_rows(rows, loaded.rows)
    loaded = api.with_center(loaded)
    reporter.note(describe_scan(loaded))
    limit = None if memory is None else int(memory * 2**30)
    if memory_check:
        from pfitre_jax.cli.memory_check import print_memory_check

        print_memory_check(loaded, settings, picked, limit=limit, out=out)
        return
    if overwrite and team.first:
        checkpoint.remove_partial(out)
    run = _Run(
        out=out,
        scan_name=source.name,
        command=command_line(ctx),
        settings=settings,
        rows=picked,
        limit=limit,
        overwrite=overwrite,
        identity=identity,
        team=team,
        reporter=reporter,
    )
    alignment_result = run.align(loaded, motion, align, drift, roll_value) if aligned else None
    loaded = loaded if alignment_result is None else alignment_result.scan
    result = run.reconstruct(loaded, alignment_result)
    if result is None:
        return
    # Preparation is all time that is not counted otherwise. Timings of a resumed run include the earlier one.
    uncounted = time.perf_counter() - start - sum(result.timings.values())
    result.timings["seconds_prepare"] += max(uncounted, 0.0)
    truth = read_truth(source, int(result.rows[result.middle])) if sample else None
    comparison = None if truth is None else run.compare(loaded, result)
    run.save(result, alignment_result, truth, comparison)
    if result.all_diverged:
        raise ComputationError from FloatingPointError(
            "every row diverged; the slices are the last finite iterates"
        )


def _source(scan: Path | None, sample: str | None) -> Path:
    if scan is not None and sample is None:
        return scan
    if sample is not None and scan is None:
        return sample_path(sample)
    raise ValueError("expected either a SCAN or --sample chip: give one of them")


def _check_alignment(
    align: bool, drift: bool, alignment: Path | None, center: float | None, roll: float | str
) -> Motion | None:
    """Checks that the options of the alignment fit together; returns the motion in --alignment."""
    if drift and not align:
        raise ValueError("--drift without --align; expected both, or neither")
    if align or alignment is not None:
        if isinstance(roll, str):
            raise ValueError(
                "--roll auto with --align or --alignment, which have a roll of their own; leave --roll out"
            )
        if not abs(roll) < 90:
            raise ValueError(f"--roll is {roll:g}; expected degrees between -90 and 90")
    if alignment is None:
        return None

    from pfitre_jax.data.motion import Motion

    if roll or center is not None:
        raise ValueError(
            "--roll or --center with --alignment, whose file has both; leave --roll and --center out"
        )
    return Motion.load(alignment)


def _open(
    source: Path,
    angles: Path | None,
    read_options: Mapping[str, Any],
    in_memory: bool,
    reporter: ProgressReporter,
) -> Scan:
    """Opens a scan; its projections stay in the file unless they are needed as a whole."""
    from pfitre_jax.reconstruction import api

    if in_memory or read_options["roll"] == "auto":
        return api.load_scan(source, angles=angles, **read_options)
    with reporter.bar("reading the scan", transient=True) as progress:
        return api.open_scan(source, angles=angles, progress=progress, **read_options)


@dataclasses.dataclass(frozen=True)
class _Run:
    """A reconstruction with results in a folder.

    Attributes:
        out: Folder for the results.
        scan_name: Name of the scan file.
        command: Command line, recorded in the result.
        settings: Settings of the method.
        rows: Rows to reconstruct.
        limit: Memory limit in bytes, or None.
        overwrite: Whether a previous run was discarded.
        identity: Input and settings that identify the result.
        team: Processes that share the rows.
        reporter: Where to report progress.
    """

    out: Path
    scan_name: str
    command: str
    settings: Settings
    rows: slice
    limit: int | None
    overwrite: bool
    identity: Mapping[str, Any]
    team: Team
    reporter: ProgressReporter

    def align(
        self, scan: Scan, motion: Motion | None, estimate: bool, drift: bool, roll_deg: float
    ) -> AlignedScan:
        """Aligns the scan, by estimation or by a known motion.

        The first process estimates the motion; the others read it from its file.
        """
        from pfitre_jax.data.motion import Motion
        from pfitre_jax.reconstruction import checkpoint

        assert scan.center is not None
        initial = motion or Motion.none(scan.theta_rad, scan.center, roll_deg)
        if not estimate:
            return alignment_step.apply_alignment(scan, initial, self.reporter)
        # The name contains the identity of the run, so that no other run's estimate is used.
        saved = self.out / checkpoint.PARTIAL / f"alignment-{checkpoint.digest(self.identity)}.csv"

        def align() -> AlignedScan:
            return alignment_step.align_scan(scan, initial, saved, drift, self.reporter)

        with self.team.step():
            aligned = align() if self.team.first else None
        return aligned or align()

    def reconstruct(self, scan: Scan, aligned: AlignedScan | None) -> Result | None:
        """Reconstructs the rows; returns None in all processes but the first.

        After an interruption the finished rows are saved, and the exception is raised again.
        """
        from pfitre_jax.cli.row_progress import RowProgress
        from pfitre_jax.reconstruction import checkpoint

        preview = self.out / "preview.png" if self.team.first else None
        count = self.rows.stop - self.rows.start
        try:
            with computation(), self.reporter.bar(f"{self.settings.method}, compiling") as move_bar:
                progress = RowProgress(
                    self.reporter, move_bar, self.settings.method, preview, count, self.scan_name
                )
                result = checkpoint.reconstruct_to(
                    self.out,
                    self.identity,
                    scan,
                    self.settings,
                    self.rows,
                    limit=self.limit,
                    team=self.team,
                    events=checkpoint.Events(progress.planned, progress.solved),
                )
        except checkpoint.Interrupted as interruption:
            if interruption.result is not None:
                self._write(interruption.result, aligned, f"{self.scan_name}, interrupted", complete=False)
            without = " without --overwrite" if self.overwrite else ""
            self.reporter.warn(
                [
                    f"{interruption.done} of {interruption.rows} rows are finished and kept; repeat the "
                    f"command{without} to resume"
                ]
            )
            raise
        if self.team.first:
            return result
        # The first process assembles the result; wait for it.
        with computation(), self.team.step():
            return None

    def compare(self, scan: Scan, result: Result) -> Result | None:
        """Reconstructs the middle row by FISTA-TV, for comparison; None if that is the method itself."""
        from pfitre_jax.reconstruction import api

        if self.settings.method == "fista-tv":
            return None
        row = int(result.rows[result.middle])
        with computation(), self.reporter.bar("fista-tv for comparison") as progress:
            return api.reconstruct(
                scan, "fista-tv", rows=slice(row, row + 1), scale=result.scale, progress=progress
            )

    def save(
        self, result: Result, aligned: AlignedScan | None, truth: Any, comparison: Result | None
    ) -> None:
        """Writes the complete result, removes intermediate files, and prints a summary."""
        from pfitre_jax.cli.result_display import print_result
        from pfitre_jax.reconstruction import checkpoint

        with computation(), self.team.step():
            paths = self._write(result, aligned, self.scan_name, truth, comparison, complete=True)
            checkpoint.remove_partial(self.out)
        self.reporter.warn(map(in_options, result.warnings))
        self.reporter.event("done", files=[str(path) for path in paths], **result.timings)
        if self.reporter.for_person:
            print_result(result, paths)

    def _write(
        self,
        result: Result,
        aligned: AlignedScan | None,
        title: str,
        truth: Any = None,
        comparison: Result | None = None,
        *,
        complete: bool,
    ) -> list[Path]:
        from pfitre_jax.cli.result_display import draw_result
        from pfitre_jax.reconstruction import checkpoint

        figure = draw_result(result, title, truth, comparison)
        writers = {} if aligned is None else dict(aligned.writers)
        summary = {} if aligned is None else dict(aligned.summary)
        return result.save(
            self.out,
            command=self.command,
            writers={"preview.png": lambda path: figure.savefig(path)} | writers,
            extra={
                checkpoint.IDENTITY: self.identity,
                "command": self.command,
                **summary,
                "complete": complete,
            },
        )
