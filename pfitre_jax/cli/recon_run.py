"""Steps of ``pfitre recon`` for one channel of a scan: reading, alignment, reconstruction, checks, output."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli.console import describe_scan, print_paths
from pfitre_jax.cli.errors import ComputationError, computation, in_options
from pfitre_jax.cli.progress import ProgressReporter
from pfitre_jax.cli.recon_options import ReconOptions
from pfitre_jax.cli.report import has_report, write_run_report
from pfitre_jax.data.sample_files import read_truth

if TYPE_CHECKING:
    import numpy as np

    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
    from pfitre_jax.reconstruction.result import Result
    from pfitre_jax.runtime.processes import Team


@dataclasses.dataclass(frozen=True)
class ReconRun:
    """A reconstruction with results in a folder.

    Attributes:
        options: Options of the command.
        command: Command line, recorded in the result.
        team: Processes that share the rows.
    """

    options: ReconOptions
    command: str
    team: Team

    @functools.cached_property
    def reporter(self) -> ProgressReporter:
        """Where to report progress."""
        return ProgressReporter(self.options.quiet or not self.team.first, self.options.json_log)

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """Input and settings that identify the result."""
        return self.options.identity

    @functools.cached_property
    def inputs(self) -> Mapping[str, Any]:
        """Record of the input files, by role; empty in all processes but the first."""
        return self.options.inputs if self.team.first else {}

    def reconstruct(self) -> None:
        """Reconstructs the channel and writes the result, unless the folder holds it already.

        The caller holds the lock of the folder.

        Raises:
            ComputationError: A step failed, or every row diverged.
        """
        from pfitre_jax.reconstruction import checkpoint

        options, start = self.options, time.perf_counter()
        if checkpoint.is_complete(options.out, self.identity, options.overwrite):
            # The previous run may have been killed before it removed its intermediate files.
            checkpoint.remove_partial(options.out, self.identity)
            self.reporter.note(
                f"{options.out} already contains this result; use --overwrite to compute it again"
            )
            self._add_formats()
            if options.report and self.team.first:
                self._report()
            return
        scan, rows = self.read()
        # The hashes are computed now, because an input may be changed while the run lasts.
        self.reporter.event("inputs", inputs=self.inputs)
        if options.overwrite and self.team.first:
            checkpoint.remove_partial(options.out)
        aligned = self._align(scan)
        scan = scan if aligned is None else aligned.scan
        reconstructed = self._reconstruct_rows(scan, rows, aligned)
        if reconstructed is None:
            return
        result, adapted = reconstructed
        result = self._check(scan, result, rows)
        # Preparation is all time that is not counted otherwise. Timings of a resumed run include the earlier
        # one.
        uncounted = time.perf_counter() - start - sum(result.timings.values())
        result.timings["seconds_prepare"] += max(uncounted, 0.0)
        self._save(scan, result, aligned, adapted)
        if options.report or has_report(options.out):
            self._report()
        if result.all_diverged:
            raise ComputationError from FloatingPointError(
                "every row diverged; the slices are the last finite iterates"
            )

    def _add_formats(self) -> None:
        """Writes the slices of a complete result in the formats that its folder does not have yet."""
        from pfitre_jax.reconstruction.result import read_result

        options = self.options
        missing = [form for name, form in options.exports.items() if not (options.out / name).exists()]
        if missing and self.team.first:
            with computation():
                paths = read_result(options.out / "recon.h5", lazy=True).export(options.out, missing)
            self.reporter.note(f"{', '.join(path.name for path in paths)} written from recon.h5")

    def check_memory(self) -> None:
        """Prints the required and the available memory and disk space."""
        from pfitre_jax.cli.memory_check import print_memory_check

        options = self.options
        scan, rows = self.read()
        print_memory_check(
            scan,
            options.settings,
            rows,
            limit=options.memory_limit,
            out=options.out,
            formats=options.saved_formats,
        )

    def read(self) -> tuple[Scan, slice]:
        """The scan with a known centre, and the rows to reconstruct.

        Raises:
            ValueError: The scan or an option is invalid.
        """
        from pfitre_jax.data.selection import resolve_rows
        from pfitre_jax.reconstruction import api

        settings = self.options.settings
        scan = self._open()
        settings.check_support(scan.columns)
        rows = resolve_rows(self.options.rows, scan.rows)
        self.options.checks.require_views(scan, settings)
        scan = api.with_center(scan)
        settings.check_faces(scan)
        self.reporter.note(describe_scan(scan))
        return scan, rows

    def _open(self) -> Scan:
        """The scan; its projections stay in the file unless they are needed as a whole."""
        from pfitre_jax.reconstruction import api

        options = self.options
        source, angles, read_options = options.source, options.angles, options.read_options
        if options.aligned:
            # The roll of an aligned scan is corrected together with the shifts, by a single interpolation.
            return api.load_scan(source, angles=angles, **read_options | {"roll": 0.0})
        if options.roll_value == "auto":
            return api.load_scan(source, angles=angles, **read_options)
        with self.reporter.bar("reading the scan", transient=True) as progress:
            return api.open_scan(source, angles=angles, progress=progress, **read_options)

    def _align(self, scan: Scan) -> AlignedScan | None:
        """Aligns the scan, by estimation or by a known motion; None where it is not to be aligned.

        The first process estimates the motion; the others read it from its file.
        """
        from pfitre_jax.data.motion import Motion
        from pfitre_jax.reconstruction import checkpoint

        options = self.options
        if not options.aligned:
            return None
        assert scan.center is not None
        initial = options.motion or Motion.none(scan.theta_rad, scan.center, float(options.roll_value))
        if not options.align:
            return alignment_step.apply_alignment(scan, initial, self.reporter)
        # The name contains the identity of the run, so that no other run's estimate is used.
        saved = options.out / checkpoint.PARTIAL / f"alignment-{checkpoint.digest(self.identity)}.csv"

        def align() -> AlignedScan:
            return alignment_step.align_scan(scan, initial, saved, options.drift, self.reporter)

        with self.team.step():
            aligned = align() if self.team.first else None
        return aligned or align()

    def _reconstruct_rows(
        self, scan: Scan, rows: slice, aligned: AlignedScan | None
    ) -> tuple[Result, AdaptedPrior | None] | None:
        """Reconstructs the rows; returns the result and, with --adapt, the prior adapted to the scan.

        It returns None in all processes but the first.

        After an interruption the finished rows are saved, and the exception is raised again.
        """
        from pfitre_jax.cli.row_progress import RowProgress
        from pfitre_jax.reconstruction import checkpoint

        options, scan_name = self.options, self.options.source.name
        method, count = options.settings.method, rows.stop - rows.start
        preview = options.out / "preview.png" if self.team.first else None
        try:
            with computation(), self.reporter.bar(f"{method}, compiling") as move_bar:
                progress = RowProgress(self.reporter, move_bar, method, preview, count, scan_name)
                result = checkpoint.reconstruct_to(
                    options.out,
                    self.identity,
                    scan,
                    options.settings,
                    rows,
                    limit=options.memory_limit,
                    team=self.team,
                    events=checkpoint.Events(progress.planned, progress.solved, progress.adapting),
                    formats=options.saved_formats,
                )
        except checkpoint.Interrupted as interruption:
            if interruption.result is not None:
                title = f"{scan_name}, interrupted"
                self._write(interruption.result, aligned, progress.adapted, title, complete=False)
            without = " without --overwrite" if options.overwrite else ""
            self.reporter.warn(
                [
                    f"{interruption.done} of {interruption.rows} rows are finished and kept; repeat the "
                    f"command{without} to resume"
                ]
            )
            raise
        if result is not None:
            return result, progress.adapted
        # The first process assembles the result; wait for it.
        with computation(), self.team.step():
            return None

    def _check(self, scan: Scan, result: Result, rows: slice) -> Result:
        """The result with the outcome of further checks, which need reconstructions of their own."""
        options = self.options
        with computation():
            return options.checks.add_to(
                result,
                scan,
                options.settings,
                rows,
                limit=options.memory_limit,
                progress=functools.partial(self.reporter.bar, unit="reconstructions"),
            )

    def _compare(self, scan: Scan, result: Result) -> Result | None:
        """Reconstructs the middle row by FISTA-TV, for comparison; None if that is the method itself."""
        from pfitre_jax.reconstruction import api

        if result.method == "fista-tv":
            return None
        row = int(result.rows[result.middle])
        with computation(), self.reporter.bar("fista-tv for comparison") as progress:
            return api.reconstruct(
                scan,
                "fista-tv",
                rows=slice(row, row + 1),
                scale=result.scale,
                support=result.support,
                progress=progress,
            )

    def _save(
        self, scan: Scan, result: Result, aligned: AlignedScan | None, adapted: AdaptedPrior | None
    ) -> None:
        """Writes the complete result, removes intermediate files, and prints a summary."""
        from pfitre_jax.cli.result_display import print_result
        from pfitre_jax.reconstruction import checkpoint

        options = self.options
        truth = read_truth(options.source, int(result.rows[result.middle])) if options.sample else None
        comparison = None if truth is None else self._compare(scan, result)
        with computation(), self.team.step():
            paths = self._write(
                result, aligned, adapted, options.source.name, truth, comparison, complete=True
            )
            checkpoint.remove_partial(options.out)
        self.reporter.warn(map(in_options, result.warnings))
        self.reporter.event("done", files=[str(path) for path in paths], **result.timings)
        if self.reporter.for_person:
            print_result(result, paths)

    def _report(self) -> None:
        """Writes the report of the saved result and prints its path."""
        with computation():
            path = write_run_report(self.options.out)
        self.reporter.event("report", files=[str(path)])
        if self.reporter.for_person:
            print_paths([path])

    def _write(
        self,
        result: Result,
        aligned: AlignedScan | None,
        adapted: AdaptedPrior | None,
        title: str,
        truth: np.ndarray | None = None,
        comparison: Result | None = None,
        *,
        complete: bool,
    ) -> list[Path]:
        from pfitre_jax.cli.adaptation_files import adaptation_writers
        from pfitre_jax.cli.result_display import draw_result
        from pfitre_jax.plotting.style import save_png
        from pfitre_jax.reconstruction import checkpoint

        figure = draw_result(result, title, truth, comparison)
        writers = {} if aligned is None else dict(aligned.writers)
        summary = {} if aligned is None else dict(aligned.summary)
        writers |= {} if adapted is None else adaptation_writers(adapted)
        return result.save(
            self.options.out,
            formats=self.options.saved_formats,
            command=self.command,
            writers={"preview.png": lambda path: save_png(figure, path)} | writers,
            overwrite=self.options.overwrite,
            extra={
                checkpoint.IDENTITY: self.identity,
                "inputs": self.inputs,
                "command": self.command,
                **summary,
                "complete": complete,
            },
        )
