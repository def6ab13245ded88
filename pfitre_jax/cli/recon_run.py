"""Steps of ``pfitre recon`` for one channel of a scan: reconstruction, checks and output."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli.console import print_paths
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.obsolete_files import obsolete_files
from pfitre_jax.cli.progress import ProgressReporter
from pfitre_jax.cli.recon_input import ReconInput
from pfitre_jax.cli.recon_options import ReconOptions
from pfitre_jax.cli.report import has_report, write_run_report
from pfitre_jax.data.sample_files import read_truth

if TYPE_CHECKING:
    import numpy as np

    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
    from pfitre_jax.reconstruction.elements import SharedGeometry
    from pfitre_jax.reconstruction.result import Result
    from pfitre_jax.runtime.processes import Team


@dataclasses.dataclass(frozen=True)
class ReconRun:
    """A reconstruction with results in a folder.

    Attributes:
        options: Options of the command.
        command: Command line, recorded in the result.
        team: Processes that share the rows.
        geometry: Axis, roll and motion of all elements; None to estimate them from this one.
        reference: The aligned scan that the motion was estimated from, whose picture is kept; or None.
        prior_choice: The prior of all elements and the reason, see
            :meth:`pfitre_jax.reconstruction.prior_selection.PriorSelection.record`; None to choose it for
            this one.
    """

    options: ReconOptions
    command: str
    team: Team
    geometry: SharedGeometry | None = None
    reference: AlignedScan | None = None
    prior_choice: Mapping[str, Any] | None = None

    @functools.cached_property
    def reporter(self) -> ProgressReporter:
        """Where to report progress."""
        return ProgressReporter(self.options.quiet or not self.team.first, self.options.json_log)

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """Input and settings that identify the result."""
        if self.geometry is None:
            return self.options.identity
        return self.options.identity | {"align_on": list(self.geometry.reference)}

    @functools.cached_property
    def input(self) -> ReconInput:
        """Reads and aligns the scan."""
        return ReconInput(
            self.options, self.team, self.reporter, self.identity, self.geometry, self.reference
        )

    @functools.cached_property
    def inputs(self) -> Mapping[str, Any]:
        """Record of the input files, by role; empty in all processes but the first."""
        return self.options.inputs if self.team.first else {}

    @property
    def title(self) -> str:
        """Name of the scan, in pictures."""
        element = "" if self.options.element is None else f", {self.options.element}"
        return f"{self.options.source.name}{element}"

    def reconstruct(self) -> bool:
        """Reconstructs the channel and writes the result, unless the folder holds it already.

        The caller holds the lock of the folder.

        Returns:
            Whether every row diverged.

        Raises:
            ComputationError: A step failed.
        """
        from pfitre_jax.reconstruction import run_state

        options, start = self.options, time.perf_counter()
        if run_state.is_complete(options.out, self.identity, options.overwrite):
            # The previous run may have been killed before it removed its intermediate files.
            run_state.remove_partial(options.out, self.identity)
            self.reporter.note(
                f"{options.out} already contains this result; use --overwrite to compute it again"
            )
            self.add_outputs()
            return False
        scan, rows = self.input.read()
        # The hashes are computed now, because an input may be changed while the run lasts.
        self.reporter.event("inputs", inputs=self.inputs)
        if options.overwrite and self.team.first:
            run_state.remove_partial(options.out)
        aligned = self.input.align(scan)
        scan = scan if aligned is None else aligned.scan
        reconstructed = self._reconstruct_rows(scan, rows, aligned)
        if reconstructed is None:
            return False
        result, adapted = reconstructed
        result = self._check(scan, result, rows)
        # Preparation is all time that is not counted otherwise. Timings of a resumed run include the earlier
        # one.
        uncounted = time.perf_counter() - start - sum(result.timings.values())
        result.timings["seconds_prepare"] += max(uncounted, 0.0)
        # A new result removes the report of an earlier one.
        report = options.report or has_report(options.out)
        self._save(scan, result, aligned, adapted)
        if report:
            self._report()
        return result.all_diverged

    def add_outputs(self) -> None:
        """Writes the formats and the report that the folder of a complete result does not have yet."""
        self._add_formats()
        if self.options.report and self.team.first:
            self._report()

    def _add_formats(self) -> None:
        """Writes the slices of a complete result in the formats that its folder does not have yet."""
        from pfitre_jax.reconstruction.result import read_result

        options = self.options
        missing = [form for name, form in options.exports.items() if not (options.out / name).exists()]
        if missing and self.team.first:
            with computation():
                paths = read_result(options.out, lazy=True).export(options.out, missing)
            self.reporter.note(f"{', '.join(path.name for path in paths)} written from recon.h5")

    def check_memory(self, elements: int = 1) -> None:
        """Prints the required and the available memory and disk space.

        Args:
            elements: Number of elements that are reconstructed one after the other.
        """
        from pfitre_jax.cli.memory_check import print_memory_check

        options = self.options
        scan, rows = self.input.read()
        print_memory_check(
            scan,
            options.settings,
            rows,
            intervals=options.chosen_intervals[0],
            limit=options.memory_limit,
            out=options.out,
            formats=options.saved_formats,
            elements=elements,
        )

    def _reconstruct_rows(
        self, scan: Scan, rows: slice, aligned: AlignedScan | None
    ) -> tuple[Result, AdaptedPrior | None] | None:
        """Reconstructs the rows; returns the result and, with --adapt, the prior adapted to the scan.

        It returns None in all processes but the first.

        After an interruption the finished rows are saved, and the exception is raised again.
        """
        from pfitre_jax.cli.row_progress import RowProgress
        from pfitre_jax.reconstruction import resumable_run

        options, scan_name, settings = self.options, self.title, self.options.settings
        intervals = options.chosen_intervals[0]
        if self.prior_choice is not None:
            settings = settings.with_candidate(self.prior_choice["chosen"])
            intervals = None if intervals is None else intervals.of_settings(settings)
        method, count = settings.method, rows.stop - rows.start
        preview = options.out / "preview.png" if self.team.first else None
        try:
            with computation(), self.reporter.bar(f"{method}, compiling") as move_bar:
                progress = RowProgress(self.reporter, move_bar, method, preview, count, scan_name)
                result = resumable_run.reconstruct_to(
                    options.out,
                    self.identity,
                    scan,
                    settings,
                    rows,
                    intervals=intervals,
                    limit=options.memory_limit,
                    team=self.team,
                    events=resumable_run.Events(progress.planned, progress.solved, progress.adapting),
                    formats=options.saved_formats,
                )
        except resumable_run.Interrupted as interruption:
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
            if self.prior_choice is not None:
                selection = result.selection | {"prior": dict(self.prior_choice)}
                result = dataclasses.replace(result, selection=selection)
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
        from pfitre_jax.reconstruction.in_memory import reconstruct

        if result.method == "fista-tv":
            return None
        row = int(result.rows[result.middle])
        with computation(), self.reporter.bar("fista-tv for comparison") as progress:
            return reconstruct(
                scan,
                "fista-tv",
                rows=slice(row, row + 1),
                scale=result.scale,
                support=result.support,
                intervals="off",
                progress=progress,
            )

    def _save(
        self, scan: Scan, result: Result, aligned: AlignedScan | None, adapted: AdaptedPrior | None
    ) -> None:
        """Writes the complete result, removes intermediate files, and prints a summary."""
        from pfitre_jax.cli.result_display import print_result
        from pfitre_jax.reconstruction import run_state

        options = self.options
        truth = read_truth(options.source, int(result.rows[result.middle])) if options.sample else None
        comparison = None if truth is None else self._compare(scan, result)
        with computation(), self.team.step():
            paths = self._write(result, aligned, adapted, self.title, truth, comparison, complete=True)
            run_state.remove_partial(options.out)
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
        from pfitre_jax.reconstruction import run_identity

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
            obsolete=obsolete_files(self.options.out, self.inputs),
            extra={
                run_identity.IDENTITY: self.identity,
                "inputs": self.inputs,
                "command": self.command,
                **summary,
                "complete": complete,
            },
        )
