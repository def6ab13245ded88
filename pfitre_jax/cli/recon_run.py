"""Steps of ``pfitre recon``: alignment, reconstruction, comparison with FISTA-TV, and output."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.progress import ProgressReporter

if TYPE_CHECKING:
    import numpy as np

    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
    from pfitre_jax.reconstruction.methods import Settings
    from pfitre_jax.reconstruction.result import Result
    from pfitre_jax.reconstruction.result_checks import Checks
    from pfitre_jax.runtime.processes import Team


@dataclasses.dataclass(frozen=True)
class ReconRun:
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

    def reconstruct(
        self, scan: Scan, aligned: AlignedScan | None
    ) -> tuple[Result, AdaptedPrior | None] | None:
        """Reconstructs the rows; returns the result and, with --adapt, the prior adapted to the scan.

        It returns None in all processes but the first.

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
                    events=checkpoint.Events(progress.planned, progress.solved, progress.adapting),
                )
        except checkpoint.Interrupted as interruption:
            if interruption.result is not None:
                title = f"{self.scan_name}, interrupted"
                self._write(interruption.result, aligned, progress.adapted, title, complete=False)
            without = " without --overwrite" if self.overwrite else ""
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

    def check(self, scan: Scan, result: Result, checks: Checks) -> Result:
        """The result with the outcome of further checks, which need reconstructions of their own."""
        with computation():
            return checks.add_to(
                result,
                scan,
                self.settings,
                self.rows,
                limit=self.limit,
                progress=functools.partial(self.reporter.bar, unit="reconstructions"),
            )

    def compare(self, scan: Scan, result: Result) -> Result | None:
        """Reconstructs the middle row by FISTA-TV, for comparison; None if that is the method itself."""
        from pfitre_jax.reconstruction import api

        if self.settings.method == "fista-tv":
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

    def save(
        self,
        result: Result,
        aligned: AlignedScan | None,
        adapted: AdaptedPrior | None,
        truth: np.ndarray | None,
        comparison: Result | None,
    ) -> None:
        """Writes the complete result, removes intermediate files, and prints a summary."""
        from pfitre_jax.cli.result_display import print_result
        from pfitre_jax.reconstruction import checkpoint

        with computation(), self.team.step():
            paths = self._write(result, aligned, adapted, self.scan_name, truth, comparison, complete=True)
            checkpoint.remove_partial(self.out)
        self.reporter.warn(map(in_options, result.warnings))
        self.reporter.event("done", files=[str(path) for path in paths], **result.timings)
        if self.reporter.for_person:
            print_result(result, paths)

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
            self.out,
            command=self.command,
            writers={"preview.png": lambda path: save_png(figure, path)} | writers,
            overwrite=self.overwrite,
            extra={
                checkpoint.IDENTITY: self.identity,
                "command": self.command,
                **summary,
                "complete": complete,
            },
        )
