"""Reconstruction to files with checkpoints: a run that is killed is resumed by the same command.

While it runs, the output folder holds ``partial/``: ``plan.json``, which identifies the run and holds centre,
scale, noise, TV weight and chunk, and one file for each chunk of rows that is done. Files are written
atomically. Each chunk carries the digest of its plan, so that rows of two runs are never mixed. The caller
holds the lock of the folder (:func:`pfitre_jax.data.folder_lock.lock_folder`) from :func:`is_complete` to
:func:`remove_partial`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.atomic_write import TEMPORARY, write_files
from pfitre_jax.data.json_values import jsonable
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.registry import list_files
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.writers.registry import find_writers
from pfitre_jax.estimation.support import SupportShape
from pfitre_jax.reconstruction.adapted_prior import AdaptedPrior
from pfitre_jax.reconstruction.executor import split_rows
from pfitre_jax.reconstruction.file_names import ADAPTATION, ADAPTED_PRIOR, FORMATS, PARTIAL, PLAN
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.methods import Settings
from pfitre_jax.reconstruction.plan import Plan, make_plan
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reconstruction.row_block import LazyVolume, RowBlock, concatenate
from pfitre_jax.runtime.memory import DoesNotFit
from pfitre_jax.runtime.processes import ALONE, Team

#: Free space that is left beside the results.
SPARE_BYTES = 64 * 2**20
#: Entry of ``plan.json`` and ``summary.json`` that identifies the run.
IDENTITY = "identity"
#: Entry of the ``plan.json`` of several elements with the prior that was chosen for all of them.
_PRIOR = "prior_choice"
#: Entry of a checkpoint with the digest of the plan that it belongs to.
_PLAN_DIGEST = "plan"
#: Names of everything that a run writes into ``partial/``.
_NAMES = re.compile(
    rf"{re.escape(PLAN)}|{re.escape(ADAPTED_PRIOR)}|{re.escape(ADAPTATION)}|rows-\d+-\d+\.npz|alignment-[0-9a-f]+\.csv|{re.escape(TEMPORARY)}.*",
    re.DOTALL,
)
_CALIBRATION = ("center", "scale", "noise", "tv_weight", "tv_weight_source")
_IMAGES, _LIMITS = ("volume", "measured"), ("lower", "upper")


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


def identify(files: Mapping[str, Any], options: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Identity of a run: everything that its result depends on.

    Args:
        files: Input files by role, None for an unused one; identified by path, size and modification time.
        options: Options with which they are read.
        settings: Settings of the method.
    """
    identity = {}
    for name, path in files.items():
        if path is not None:
            identity[name] = _describe_files(Path(path))
    identity |= {name: value for name, value in options.items() if value is not None}
    parameters = {"method": settings.method} | settings.record()
    return jsonable(identity | parameters | {"versions": settings.versions()})


def _describe_files(path: Path) -> str:
    """Path, size and last change of a scan, with all files that belong to it."""
    files = [file.stat() for file in list_files(path)]
    size, change = sum(s.st_size for s in files), max((s.st_mtime_ns for s in files), default=0)
    count = f"{len(files)} files, " if len(files) != 1 else ""
    return f"{path.resolve()}, {count}{size} bytes, changed {change}"


def digest(content: Mapping[str, Any]) -> str:
    """A short hash of the identity or the plan of a run."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def is_complete(folder: Path, identity: Mapping[str, Any], overwrite: bool = False) -> bool:
    """Whether the folder already holds the complete result of a run; changes nothing.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`identify`.
        overwrite: Whether a previous result is discarded; the answer is then False.

    Raises:
        ValueError: The folder holds another result, complete or partial; the message states the difference.
            Or its ``partial`` is not the folder of a run.
    """
    folder = Path(folder)
    _check_partial(folder / PARTIAL)
    if overwrite:
        return False
    if holds_result(folder, identity):
        return True
    previous = _other_run(folder, identity)
    if previous is not None:
        # Version 0.2 called the entry "what".
        recorded = previous.get(IDENTITY, previous.get("what"))
        raise ValueError(
            f"{folder} holds another result: {_difference(recorded, identity)}; expected an "
            "empty folder, or the command that produced it: use another output folder, or overwrite=True"
        )
    return False


def holds_result(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the complete result of a run."""
    summary = _read_json(Path(folder) / "summary.json") or {}
    complete = summary.get(IDENTITY) == identity and bool(summary.get("complete"))
    return complete and (Path(folder) / "recon.h5").exists()


def holds_other_run(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the result of another run, complete or partial."""
    return not holds_result(folder, identity) and _other_run(Path(folder), identity) is not None


def _other_run(folder: Path, identity: Mapping[str, Any]) -> dict | None:
    """The recorded plan or summary of another run in the folder, or None."""
    summary, plan = (_read_json(path) for path in (folder / "summary.json", folder / PARTIAL / PLAN))
    # A run that was started to overwrite another result is resumed.
    previous = summary if plan is None else plan
    return None if previous is None or previous.get(IDENTITY) == identity else previous


def in_progress(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run has begun in the folder and has not ended."""
    saved = _read_json(Path(folder) / PARTIAL / PLAN)
    return saved is not None and saved.get(IDENTITY) == identity


def begin(folder: Path, identity: Mapping[str, Any], prior: Mapping[str, Any] | None = None) -> None:
    """Records that a run of several elements, each with a folder of its own, is in progress.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`identify`.
        prior: The prior that was chosen for all of them; None if none was chosen yet.
    """
    text = json.dumps({IDENTITY: identity} | ({} if prior is None else {_PRIOR: prior}), indent=2) + "\n"
    write_files(Path(folder) / PARTIAL, {PLAN: functools.partial(_write_text, text)})


def chosen_prior(folder: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The prior that :func:`begin` recorded for the elements of a run in progress, or None."""
    saved = _read_json(Path(folder) / PARTIAL / PLAN) or {}
    return saved.get(_PRIOR) if saved.get(IDENTITY) == identity else None


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

    The volumes of the result are in ``folder/partial``: save the result, then call :func:`remove_partial`.
    With several processes, each solves its share of the rows, and the first one returns the result when all
    have finished.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`identify`.
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
    plan_rows = functools.partial(
        _load_or_make_plan,
        folder,
        identity,
        scan,
        settings,
        rows,
        intervals,
        team,
        limit,
        formats,
        events.adapting,
    )
    with team.step():
        planned = plan_rows() if team.first else None
    with team.step():
        # The other processes take calibration and chunk from the plan of the first one.
        plan, plan_digest = planned or plan_rows()
        blocks = split_rows(rows, plan.chunk)
        share = team.share(blocks)
        missing = [block for block in share if _read_block(partial, block, plan, plan_digest) is None]
        done = sum(block.stop - block.start for block in share if block not in missing)
        total = sum(block.stop - block.start for block in share)
        events.planned(plan, done)
        try:
            _solve(plan, plan_digest, partial, missing, done, total, events)
        except KeyboardInterrupt:
            finished = [
                block for block in share if _read_block(partial, block, plan, plan_digest) is not None
            ]
            ready = rows.start
            for block in blocks:
                if block.start == ready and block in finished:
                    ready = block.stop
            result = None
            if ready > rows.start and team.first:
                result = _result(plan, plan_digest, partial, slice(rows.start, ready), start)
            raise Interrupted(result, sum(b.stop - b.start for b in finished), total) from None
    return _result(plan, plan_digest, partial, rows, start) if team.first else None


def remove_partial(folder: Path, identity: Mapping[str, Any] | None = None) -> None:
    """Removes the checkpoints of a run, once its result is saved, or before another run starts.

    Args:
        folder: Output folder.
        identity: Identity of the run whose checkpoints are removed; None for any run.

    Raises:
        ValueError: If ``partial`` is not the folder of a run.
    """
    partial = Path(folder) / PARTIAL
    _check_partial(partial)
    plan = _read_json(partial / PLAN)
    if identity is not None and plan is not None and plan.get(IDENTITY) != identity:
        return
    shutil.rmtree(partial, ignore_errors=True)


def _check_partial(partial: Path) -> None:
    """Checks that a folder ``partial``, if there is one, holds the checkpoints of a run and nothing else.

    Raises:
        ValueError: If it holds files of the user, or is a symbolic link.
    """
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        foreign = ["not a folder"]
    else:
        names = sorted(path.name for path in partial.iterdir()) if partial.exists() else []
        foreign = [name for name in names if not _NAMES.fullmatch(name)]
    if foreign:
        raise ValueError(
            f"{partial} was not written by pfitre ({format_names(foreign)}); expected no such folder: "
            "a run stores its finished rows under this name; move it, or use another output folder"
        )


def check_disk(
    folder: Path, plan: Plan, rows: slice, formats: Sequence[str] = FORMATS, elements: int = 1
) -> tuple[int, int]:
    """Returns the bytes that a run writes and the bytes that are free.

    At the end of a run, slices, measured component and limits of the intervals are on disk as checkpoints and
    in ``recon.h5``, and the slices in each further format.

    Args:
        folder: Output folder.
        plan: The plan of the run.
        rows: Rows of the scan.
        formats: Formats that the result will be saved in.
        elements: Number of runs of this kind, one after the other, whose results are kept.

    Raises:
        DoesNotFit: There is too little free space.
    """
    volumes = 2 if plan.intervals is None else 4
    copies = volumes + elements * (volumes + sum(writer.relative_size for writer in find_writers(formats)))
    needed = int(copies * (rows.stop - rows.start) * 4 * int(np.prod(plan.image_shape)))
    existing = Path(folder)
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if needed + SPARE_BYTES > free:
        raise DoesNotFit(
            f"the run needs {needed / 2**30:.2f} GiB on disk, and {free / 2**30:.2f} GiB are free in "
            f"{existing}: free some space, or use another output folder"
        )
    return needed, free


def _load_or_make_plan(
    folder: Path,
    identity: Mapping[str, Any],
    scan: Scan,
    settings: Settings,
    rows: slice,
    intervals: Intervals | None,
    team: Team,
    limit: int | None,
    formats: Sequence[str],
    adapting: Callable[[int, int], None],
) -> tuple[Plan, str]:
    """The plan with calibration and chunk from ``plan.json``, and its digest; else a new, saved plan.

    A run that is interrupted while its prior is adapted starts the adaptation again.
    """
    partial = Path(folder) / PARTIAL
    saved = _read_json(partial / PLAN)
    if saved is not None and saved.get(IDENTITY) != identity:
        raise ValueError(
            f"{partial} belongs to another run: {_difference(saved.get(IDENTITY), identity)}; remove it"
        )
    # In a joint reconstruction each process solves one slab of the volume.
    chunk = -(-(rows.stop - rows.start) // team.count) if settings.joint else None
    calibration: dict[str, Any] = {}
    if saved is not None:
        chunk, calibration = saved["chunk"], dict(saved["calibration"])
        center = calibration.pop("center")
        scan = scan if scan.center == center else scan.with_center(center)
        shape = saved.get("support")
        calibration["support"] = None if shape is None else SupportShape.from_record(shape)
        calibration["iterations"] = saved["iterations"]
        calibration["selection"] = saved["selection"]
        settings = settings.as_selected(saved["selection"])
        calibration["adapted"] = _load_adapted(partial, saved) if settings.adaptation else None
    plan = make_plan(
        scan,
        settings,
        rows.stop - rows.start,
        intervals=intervals,
        chunk=chunk,
        limit=limit,
        adapting=adapting,
        **calibration,
    )
    if saved is not None and chunk != plan.chunk:
        raise DoesNotFit(
            f"the run was started with {chunk} rows per batch, and {plan.chunk} fit now; expected as much "
            "memory and as many devices as before: provide them, or start over with overwrite=True"
        )
    if saved is None:
        check_disk(folder, plan, rows, formats)
        values = {name: getattr(plan.calibration, name) for name in _CALIBRATION}
        shape = plan.calibration.selected_support.support.shape
        saved = jsonable(
            {
                IDENTITY: identity,
                "calibration": values,
                "support": None if shape is None else dataclasses.asdict(shape),
                "iterations": plan.settings.iterations,
                "selection": plan.selection,
                "chunk": plan.chunk,
                "intervals": None if plan.intervals is None else plan.intervals.digest,
            }
        )
        if plan.adapted is not None:
            adapted = plan.adapted.save(partial)
            # The card now has the hash of the weights, as in a run that is resumed.
            settings = dataclasses.replace(plan.settings, prior=adapted.prior)
            plan = dataclasses.replace(plan, adapted=adapted, settings=settings)
            saved["prior"] = adapted.prior.card["sha256"]
        text = json.dumps(saved, indent=2) + "\n"
        write_files(partial, {PLAN: functools.partial(_write_text, text)})
    return plan, digest(saved)


def _load_adapted(partial: Path, saved: Mapping[str, Any]) -> AdaptedPrior:
    """The adapted prior of a run that is resumed.

    Raises:
        ValueError: It is missing, damaged or of another run.
    """
    try:
        adapted = AdaptedPrior.load(partial)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"the adapted prior in {partial} cannot be read ({error}); expected that of the interrupted run: "
            "start over with overwrite=True"
        ) from error
    if adapted.prior.card.get("sha256") != saved.get("prior"):
        raise ValueError(
            f"the adapted prior in {partial} is of another run; expected that of the interrupted run: start "
            "over with overwrite=True"
        )
    return adapted


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


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
            writing = pool.submit(_write_block, partial, block, plan_digest, now - last)
            last = now
            done += len(block)
            events.solved(done, total, plan, block)
        if writing is not None:
            writing.result()


def _path(partial: Path, rows: slice) -> Path:
    return partial / f"rows-{rows.start:06d}-{rows.stop:06d}.npz"


def _write_block(partial: Path, block: RowBlock, plan_digest: str, seconds: float) -> None:
    arrays: dict[str, Any] = {"seconds": seconds, _PLAN_DIGEST: plan_digest, **block.arrays()}

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)

    write_files(partial, {_path(partial, block.rows).name: write})


def _read_block(partial: Path, rows: slice, plan: Plan, plan_digest: str) -> tuple[RowBlock, float] | None:
    """A block whose images stay on disk, and its wall time.

    None if the file is missing or damaged, or is of another plan.
    """
    path, shape = _path(partial, rows), (rows.stop - rows.start, *plan.image_shape)
    try:
        # Opened here, so that a damaged file is closed too.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
            lazy = _IMAGES if plan.intervals is None else _IMAGES + _LIMITS
            complete = all(arrays.pop(name).shape == shape for name in lazy)
            seconds = float(arrays.pop("seconds"))
            complete &= str(arrays.pop(_PLAN_DIGEST)) == plan_digest
        images: dict[str, Any] = {
            name: LazyVolume(shape, [(slice(0, shape[0]), _Reader(path, name, plan_digest))]) for name in lazy
        }
        block = RowBlock(rows, **images, **arrays)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return (block, seconds) if complete and len(block.status) == len(block) else None


def _result(plan: Plan, plan_digest: str, partial: Path, rows: slice, start: float) -> Result:
    """The result of rows that are all finished; its volumes stay on disk."""
    blocks, seconds_run = [], 0.0
    for block_rows in split_rows(rows, plan.chunk):
        saved = _read_block(partial, block_rows, plan, plan_digest)
        if saved is None:
            raise OSError(
                f"{_path(partial, block_rows)} is missing, damaged or of another run; expected a checkpoint"
            )
        blocks.append(saved[0])
        seconds_run += saved[1]
    block = concatenate(blocks)
    return plan.result(block, time.perf_counter() - start, seconds_run)


def _read_json(path: Path) -> dict | None:
    """The object in a JSON file; {} if it contains no valid object, None if there is no file."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _difference(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    if not old:
        return "its origin is not recorded"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    value = lambda identity, name: identity.get(name, "not set")  # noqa: E731
    return "; ".join(f"{name} was {value(old, name)}, is {value(new, name)}" for name in names[:4])


@dataclasses.dataclass(frozen=True)
class _Reader:
    path: Path
    name: str
    plan_digest: str

    def __call__(self) -> np.ndarray:
        with np.load(self.path, allow_pickle=False) as content:
            if str(content[_PLAN_DIGEST]) != self.plan_digest:
                raise OSError(f"{self.path} was replaced by another run; expected the rows of this one")
            return content[self.name]
