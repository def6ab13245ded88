"""Reconstruction to files with checkpoints: a run that is killed is resumed by the same command.

While it runs, the output folder holds ``partial/``: the plan (:mod:`pfitre_jax.reconstruction.saved_plan`)
and the checkpoints (:mod:`pfitre_jax.reconstruction.checkpoint`). Files are written atomically.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction.checkpoint import checkpoint_path, read_block, write_block
from pfitre_jax.reconstruction.executor import split_rows
from pfitre_jax.reconstruction.file_names import FORMATS, PARTIAL
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import Plan
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.row_block import RowBlock, concatenate
from pfitre_jax.reconstruction.saved_plan import PlanInputs, load_or_make_plan
from pfitre_jax.runtime.processes import ALONE, Team


class Interrupted(KeyboardInterrupt):
    """A run was interrupted.

    Attributes:
        result: Result of the finished rows before the first unfinished one; None if there are none.
        done: Number of finished rows.
        rows: Number of rows of the run.
    """

    def __init__(self, result: Result | None, done: int, rows: int):
        super().__init__()
        self.result, self.done, self.rows = result, done, rows


@dataclasses.dataclass(frozen=True)
class Events:
    """Callbacks of a run.

    Attributes:
        planned: ``planned(plan, done)``, called once everything is compiled; ``done`` is the number of rows
            that a previous run has finished.
        solved: ``solved(done, rows, plan, block)``, called after each chunk; ``done`` of ``rows`` rows are
            finished.
        adapting: ``adapting(done, total)``, called while the prior is adapted to the scan, with the number of
            batches done and of all batches.
    """

    planned: Callable[[Plan, int], None] = lambda plan, done: None
    solved: Callable[[int, int, Plan, RowBlock], None] = lambda done, rows, plan, block: None
    adapting: Callable[[int, int], None] = lambda done, total: None


def reconstruct_to(
    folder: Path,
    identity: Mapping[str, Any],
    scan: Scan,
    settings: Settings,
    rows: slice,
    *,
    intervals: Intervals | None = None,
    limit: int | None = None,
    team: Team = ALONE,
    events: Events = Events(),
    formats: Sequence[str] = FORMATS,
) -> Result | None:
    """Reconstructs rows of a scan whose centre is known; resumes the same run in ``folder``.

    The volumes of the result are in ``folder/partial``: save the result, then call
    :func:`pfitre_jax.reconstruction.run_state.remove_partial`.
    With several processes, each solves its share of the rows, and the first one returns the result when all
    have finished.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`pfitre_jax.reconstruction.run_identity.identify`.
        scan: The scan.
        settings: Settings of the method.
        rows: Rows of the scan.
        intervals: What the intervals of the pixels are made of; None for no intervals.
        limit: Bytes of memory that this process may use; by default the free memory.
        team: Processes that share the rows.
        events: Functions that are called while it runs.
        formats: Formats that the result will be saved in, see :meth:`Result.save`; they need disk space.

    Returns:
        The result; None in all processes but the first.

    Raises:
        ValueError: The folder holds another run.
        Interrupted: The run was interrupted.
        DoesNotFit: There is not enough memory or disk space.
    """
    start = time.perf_counter()
    partial = Path(folder) / PARTIAL
    # In a joint reconstruction each process solves one slab of the volume.
    chunk = -(-(rows.stop - rows.start) // team.count) if settings.joint else None
    inputs = PlanInputs(scan, settings, rows, intervals, chunk, limit)
    plan_rows = functools.partial(
        load_or_make_plan, folder, identity, inputs, formats=formats, adapting=events.adapting
    )
    with team.step():
        planned = plan_rows() if team.first else None
    with team.step():
        # The other processes take calibration and chunk from the plan of the first one.
        plan, plan_digest = planned or plan_rows()
        blocks = split_rows(rows, plan.chunk)
        share = team.share(blocks)
        missing = [block for block in share if read_block(partial, block, plan, plan_digest) is None]
        done = sum(block.stop - block.start for block in share if block not in missing)
        total = sum(block.stop - block.start for block in share)
        events.planned(plan, done)
        try:
            _solve(plan, plan_digest, partial, missing, done, total, events)
        except KeyboardInterrupt:
            finished = [block for block in share if read_block(partial, block, plan, plan_digest) is not None]
            ready = rows.start
            for block in blocks:
                if block.start == ready and block in finished:
                    ready = block.stop
            result = None
            if ready > rows.start and team.first:
                result = _result(plan, plan_digest, partial, slice(rows.start, ready), start)
            raise Interrupted(result, sum(b.stop - b.start for b in finished), total) from None
    return _result(plan, plan_digest, partial, rows, start) if team.first else None


def _solve(
    plan: Plan,
    plan_digest: str,
    partial: Path,
    missing: Sequence[slice],
    done: int,
    total: int,
    events: Events,
) -> None:
    """Solves the missing blocks; each one is written while the next is solved."""
    with ThreadPoolExecutor(1, thread_name_prefix="write") as pool:
        writing = None
        last = time.perf_counter()
        for block in plan.solve(missing):
            now = time.perf_counter()
            if writing is not None:
                writing.result()
            writing = pool.submit(write_block, partial, block, plan_digest, now - last)
            last = now
            done += len(block)
            events.solved(done, total, plan, block)
        if writing is not None:
            writing.result()


def _result(plan: Plan, plan_digest: str, partial: Path, rows: slice, start: float) -> Result:
    """The result of rows that are all finished; its volumes stay on disk."""
    blocks, seconds_run = [], 0.0
    for block_rows in split_rows(rows, plan.chunk):
        saved = read_block(partial, block_rows, plan, plan_digest)
        if saved is None:
            raise OSError(
                f"{checkpoint_path(partial, block_rows)} is missing, damaged or of another run; "
                "expected a checkpoint"
            )
        blocks.append(saved[0])
        seconds_run += saved[1]
    block = concatenate(blocks)
    return plan.result(block, time.perf_counter() - start, seconds_run)
