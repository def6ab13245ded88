"""Progress of ``pfitre recon`` while rows are solved, and a preview of the first rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pfitre_jax.cli.console import MoveBar
from pfitre_jax.cli.progress import ProgressReporter

if TYPE_CHECKING:
    from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
    from pfitre_jax.reconstruction.plan import Plan
    from pfitre_jax.reconstruction.row_block import RowBlock


class RowProgress:
    """Callbacks of :class:`pfitre_jax.reconstruction.resumable_run.Events`.

    Args:
        reporter: Where to report.
        move_bar: Moves the progress bar.
        method: Name of the method.
        preview: File for a picture of the first rows, or None.
        rows: Number of rows to reconstruct.
        scan_name: Name of the scan, for the picture.
    """

    def __init__(
        self,
        reporter: ProgressReporter,
        move_bar: MoveBar,
        method: str,
        preview: Path | None,
        rows: int,
        scan_name: str,
    ):
        self.reporter, self.move_bar, self.method = reporter, move_bar, method
        self.preview, self.rows, self.scan_name = preview, rows, scan_name
        self._start, self._done_before = time.perf_counter(), 0
        #: The prior that was adapted to the scan, once it is planned.
        self.adapted: AdaptedPrior | None = None

    def adapting(self, done: int, total: int) -> None:
        """Reports the progress of the adaptation of the prior.

        Args:
            done: Batches of rotated images that were trained on.
            total: Batches in all.
        """
        self.reporter.rename_bar("adapting the prior")
        self.move_bar(done, total)
        self.reporter.event("adapting", done=done, total=total)

    def planned(self, plan: Plan, done: int) -> None:
        """Reports the plan, once all programs are compiled.

        Args:
            plan: The plan of the reconstruction.
            done: Rows that a previous run has finished.
        """
        self.adapted = plan.adapted
        if plan.adapted is not None:
            self.reporter.note(f"adaptation: {plan.adapted.record['reason']}")
        if "prior" in plan.selection:
            self.method = plan.settings.method
            self.reporter.note(f"prior: {plan.selection['prior']['reason']}")
        memory = plan.program.needed.largest / 2**30
        devices = 1 if plan.program.mesh is None else plan.program.mesh.size
        self.reporter.note(f"batches of {plan.chunk} rows on {devices} device(s), {memory:.2f} GiB of memory")
        self.reporter.event("plan", chunk=plan.chunk, rows=self.rows, done=done, gib=memory, devices=devices)
        if done:
            self.reporter.note(f"resuming: {done} rows are finished already")
        self.reporter.rename_bar(self.method)
        self.move_bar(done, self.rows)
        self._start, self._done_before = time.perf_counter(), done

    def solved(self, done: int, rows: int, plan: Plan, block: RowBlock) -> None:
        """Reports speed and remaining time after a batch, and writes the preview after the first one.

        Args:
            done: Rows that are finished.
            rows: Rows in all.
            plan: The plan of the reconstruction.
            block: The rows that were just solved.
        """
        speed = (done - self._done_before) / (time.perf_counter() - self._start)
        seconds_left = (rows - done) / speed
        self.reporter.rename_bar(f"{self.method}, {speed:.2f} slices/s")
        self.move_bar(done, rows)
        self.reporter.event("rows", done=done, total=rows, slices_per_second=speed, seconds_left=seconds_left)
        if self.preview is not None and done < rows:
            self._write_preview(self.preview, plan, block)
            self.preview = None

    def _write_preview(self, path: Path, plan: Plan, block: RowBlock) -> None:
        from pfitre_jax.cli.result_display import draw_result
        from pfitre_jax.data.atomic_write import write_files
        from pfitre_jax.plotting.style import save_png

        figure = draw_result(plan.result(block), f"{self.scan_name}, first rows of a run in progress")
        write_files(path.parent, {path.name: lambda file: save_png(figure, file)})
        self.reporter.note(f"preview of the first rows: {path}")
        self.reporter.event("preview", file=str(path))
