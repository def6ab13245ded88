"""A reconstruction to files: rows that are done lie on disk, so that it may be killed and gone on with.

In the folder of the results lies ``partial/`` while it runs: ``plan.json``, what is made and with which
centre, scale, weight and chunk, and a file for each chunk of rows that is done. A file appears whole or not
at all.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.data.jsonable import jsonable
from pfitre_jax.data.readers.file_checks import check_file
from pfitre_jax.data.results import StoredVolume
from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.executor import blocks
from pfitre_jax.reconstruction.plan import Part, Prepared, prepare
from pfitre_jax.reconstruction.result import Result, make_result
from pfitre_jax.runtime.devices import ALONE, Team
from pfitre_jax.runtime.memory import DoesNotFit
from pfitre_jax.runtime.versions import package_versions

PARTIAL, PLAN = "partial", "plan.json"
#: Free space that is left beside the results.
SPARE_BYTES = 64 * 2**20


class Interrupted(KeyboardInterrupt):
    """The run was interrupted; ``result`` is of the rows that are done, or None."""

    def __init__(self, result: Result | None, done: int, rows: int):
        super().__init__()
        self.result, self.done, self.rows = result, done, rows


@dataclasses.dataclass(frozen=True)
class Events:
    """What a run tells while it goes on.

    planned: once all is compiled; began with these rows done
    solved: after each chunk: rows done, rows in all, and what was solved
    """

    planned: Callable[[Prepared, int], None] = lambda prepared, done: None
    solved: Callable[[int, int, Prepared, Part], None] = lambda done, rows, prepared, part: None


def identify(files: Mapping[str, Any], options: Mapping[str, Any], method: str, settings: Mapping) -> dict:
    """What a result depends on, for :func:`claim`; a file by its path, size and time of change.

    files: input files, by what they are, None for one that is not given; options: how they are read
    """
    told = {}
    for name, path in files.items():
        if path is not None:
            stat = check_file(path, "a scan file and, beside it, its angles").stat()
            told[name] = f"{Path(path).resolve()}, {stat.st_size} bytes, changed {stat.st_mtime_ns}"
    told |= {name: value for name, value in options.items() if value is not None}
    told |= {"method": method} | {name: methods.describe(value) for name, value in settings.items()}
    return jsonable(told | {"versions": package_versions()})


def digest(what: Mapping[str, Any]) -> str:
    """A short name of what :func:`identify` tells."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def claim(folder: Path, what: Mapping[str, Any], overwrite: bool = False) -> bool:
    """Whether the folder holds the whole result of ``what`` already; to ``overwrite``, none counts.

    Raises ``ValueError`` with the difference where it holds another one, whole or begun. Changes nothing:
    :func:`finish` removes what was begun.
    """
    folder = Path(folder)
    if overwrite:
        return False
    summary, begun = (_told(path) for path in (folder / "summary.json", folder / PARTIAL / PLAN))
    if summary is not None and summary.get("what") == what and summary.get("complete"):
        return (folder / "recon.h5").exists()
    # What was begun over another result, to overwrite it, goes on.
    there = summary if begun is None else begun
    if there is not None and there.get("what") != what:
        raise ValueError(
            f"{folder} holds another result: {_difference(there.get('what'), what)}; expected an empty "
            "folder, or the command that made it: give another --out, or --overwrite"
        )
    return False


def _told(path: Path) -> dict | None:
    """What a JSON file tells; nothing where it is none, None where it is not there."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _difference(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    if not old:
        return "it does not tell of what"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    say = lambda told, name: told.get(name, "not given")  # noqa: E731
    return "; ".join(f"{name} was {say(old, name)}, is {say(new, name)}" for name in names[:4])


def reconstruct_to(
    folder: Path,
    what: Mapping[str, Any],
    scan: Scan,
    method: str,
    settings: Mapping[str, Any],
    rows: slice,
    *,
    joint: bool = False,
    limit: int | None = None,
    team: Team = ALONE,
    events: Events = Events(),
) -> Result:
    """Reconstruct rows of a scan whose centre is known; goes on with what lies in ``folder`` of the same.

    The volumes of the result lie in ``folder/partial``: save it, then call :func:`finish`. Of several
    processes each solves its share of the rows, and the first one has the result when all are done.

    what: of :func:`identify`; settings: complete, of :func:`pfitre_jax.reconstruction.methods.settings`
    joint: whether the rows are one volume
    limit: bytes of memory that this process may take, default what is free

    Raises ``ValueError`` where the folder holds another result that was begun; :class:`Interrupted` with the
    rows that are done; :class:`DoesNotFit` with the numbers where memory or disk are too small for it.
    """
    began = time.perf_counter()
    partial = Path(folder) / PARTIAL
    # Of several processes each has a slab of a joint volume.
    slab = -(-(rows.stop - rows.start) // team.count) if joint else None
    prepare_rows = functools.partial(_prepare, folder, what, scan, method, settings, rows, joint, slab, limit)
    with team.step():
        prepared = prepare_rows() if team.first else None
    with team.step():
        # The others take centre, scale, noise, weight and chunk from the plan of the first.
        prepared = prepared if team.first else prepare_rows()
        todo = blocks(rows, prepared.chunk)
        share = team.share(todo)
        missing = [block for block in share if _read_part(partial, block, prepared) is None]
        done = sum(block.stop - block.start for block in share if block not in missing)
        total = sum(block.stop - block.start for block in share)
        events.planned(prepared, done)
        try:
            _solve(prepared, partial, missing, done, total, events)
        except KeyboardInterrupt:
            finished = [block for block in share if _read_part(partial, block, prepared) is not None]
            ready = slice(rows.start, rows.start)
            for block in todo:
                if block.start == ready.stop and block in finished:
                    ready = slice(rows.start, block.stop)
            some = ready.stop > rows.start and team.first
            result = _result(prepared, partial, ready, began) if some else None
            raise Interrupted(result, sum(b.stop - b.start for b in finished), total) from None
    return _result(prepared, partial, rows, began) if team.first else None


def _prepare(folder, what, scan, method, settings, rows: slice, joint, slab, limit) -> Prepared:
    """As the plan in the folder says, or by a new one."""
    partial = Path(folder) / PARTIAL
    known = _told(partial / PLAN)
    if known is not None and known.get("what") != what:
        raise ValueError(f"{partial} is of another run: {_difference(known.get('what'), what)}; remove it")
    calibration = {} if known is None else dict(known["calibration"])
    center = calibration.pop("center", scan.center)
    if scan.center != center:
        scan = scan.with_center(center)
    chunk = slab if known is None else known["chunk"]
    number = rows.stop - rows.start
    prepared = prepare(
        scan, method, dict(settings), number, joint=joint, chunk=chunk, limit=limit, **calibration
    )
    if known is not None and chunk != prepared.chunk:
        raise DoesNotFit(
            f"{prepared.chunk} rows would be solved together, and the run began with {chunk}; expected as "
            "much memory and as many devices as then: or start anew with --overwrite"
        )
    if known is None:
        check_disk(folder, prepared, rows)
        names = ("center", "scale", "noise", "tv_weight")
        calibration = {name: getattr(prepared.calibration, name) for name in names}
        content = jsonable({"what": what, "calibration": calibration, "chunk": prepared.chunk})
        text = json.dumps(content, indent=2) + "\n"
        write_files(partial, {PLAN: lambda path: path.write_text(text)})
    return prepared


def _solve(prepared: Prepared, partial: Path, missing, done: int, total: int, events: Events) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="write") as pool:
        writing = None
        last = time.perf_counter()
        for part in prepared.solve(missing):
            now = time.perf_counter()
            if writing is not None:
                writing.result()
            writing = pool.submit(_write_part, partial, part, now - last)
            last = now
            done += part.rows.stop - part.rows.start
            events.solved(done, total, prepared, part)
        if writing is not None:
            writing.result()


def finish(folder: Path) -> None:
    """Remove what a result was made of, once it is saved, or before another one is begun."""
    shutil.rmtree(Path(folder) / PARTIAL, ignore_errors=True)


def check_disk(folder: Path, prepared: Prepared, rows: slice) -> tuple[int, int | None]:
    """Bytes that the run writes, and that are free; :class:`DoesNotFit` where they are too few.

    At the end the slices lie there twice: as they were solved, and in ``recon.h5`` and ``recon.tif``.
    """
    image = 4 * int(np.prod(prepared.problem.A.shape))
    needed = 5 * (rows.stop - rows.start) * image
    there = Path(folder)
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed + SPARE_BYTES > free:
        raise DoesNotFit(
            f"the results need {needed / 2**30:.2f} GiB on disk while they are made, and "
            f"{free / 2**30:.2f} GiB are free in {there}: free some, or give an --out elsewhere"
        )
    return needed, free


def _name(block: slice) -> str:
    return f"rows-{block.start:06d}-{block.stop:06d}.npz"


def _write_part(partial: Path, part: Part, seconds: float) -> None:
    arrays = part.arrays() | {"seconds": np.asarray(seconds)}

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)

    write_files(partial, {_name(part.rows): write})


def _read_part(partial: Path, block: slice, prepared: Prepared) -> dict[str, np.ndarray] | None:
    """The arrays of a part but for its images; None where it is not there, or is damaged."""
    path, count = partial / _name(block), block.stop - block.start
    try:
        # Opened here, that a damaged one is closed too.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
            images = [arrays.pop(name) for name in ("volume", "measured")]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    whole = all(image.shape == (count, *prepared.problem.A.shape) for image in images)
    # One of an older version may know less of its rows.
    complete = {f.name for f in dataclasses.fields(Part)} - {"rows", "volume", "measured"} <= set(arrays)
    return arrays if whole and complete and len(arrays["status"]) == count else None


def _result(prepared: Prepared, partial: Path, rows: slice, began: float) -> Result:
    todo = blocks(rows, prepared.chunk)
    parts = [_read_part(partial, block, prepared) for block in todo]
    facts = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "seconds"}
    shape = (rows.stop - rows.start, *prepared.problem.A.shape)
    for name in ("volume", "measured"):
        pieces = [
            (slice(b.start - rows.start, b.stop - rows.start), _Reader(partial / _name(b), name))
            for b in todo
        ]
        facts[name] = StoredVolume(shape, pieces)
    seconds_run = float(sum(part["seconds"] for part in parts))
    return make_result(prepared, rows, facts, time.perf_counter() - began, seconds_run)


@dataclasses.dataclass(frozen=True)
class _Reader:
    path: Path
    name: str

    def __call__(self) -> np.ndarray:
        with np.load(self.path, allow_pickle=False) as content:
            return content[self.name]
