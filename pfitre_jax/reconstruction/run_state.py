"""State of a run in its output folder: not started, in progress, complete, or of another run.

The caller holds the lock of the folder (:func:`pfitre_jax.data.folder_lock.lock_folder`) from
:func:`is_complete` to :func:`remove_partial`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfitre_jax.data.atomic_write import TEMPORARY, write_files
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.reconstruction.file_names import ADAPTATION, ADAPTED_PRIOR, PARTIAL, PLAN
from pfitre_jax.reconstruction.run_identity import IDENTITY, describe_difference

#: Entry of the ``plan.json`` of several elements with the prior that was chosen for all of them.
_PRIOR = "prior_choice"
#: Names of everything that a run writes into ``partial/``.
_NAMES = re.compile(
    rf"{re.escape(PLAN)}|{re.escape(ADAPTED_PRIOR)}|{re.escape(ADAPTATION)}|rows-\d+-\d+\.npz|alignment-[0-9a-f]+\.csv|{re.escape(TEMPORARY)}.*",
    re.DOTALL,
)


def is_complete(folder: Path, identity: Mapping[str, Any], overwrite: bool = False) -> bool:
    """Whether the folder already holds the complete result of a run; changes nothing.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`pfitre_jax.reconstruction.run_identity.identify`.
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
            f"{folder} holds another result: {describe_difference(recorded, identity)}; expected an "
            "empty folder, or the command that produced it: use another output folder, or overwrite=True"
        )
    return False


def holds_result(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the complete result of a run."""
    summary = read_record(Path(folder) / "summary.json") or {}
    complete = summary.get(IDENTITY) == identity and bool(summary.get("complete"))
    return complete and (Path(folder) / "recon.h5").exists()


def holds_other_run(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds the result of another run, complete or partial."""
    return not holds_result(folder, identity) and _other_run(Path(folder), identity) is not None


def _other_run(folder: Path, identity: Mapping[str, Any]) -> dict | None:
    """The recorded plan or summary of another run in the folder, or None."""
    summary, plan = (read_record(path) for path in (folder / "summary.json", folder / PARTIAL / PLAN))
    # A run that was started to overwrite another result is resumed.
    previous = summary if plan is None else plan
    return None if previous is None or previous.get(IDENTITY) == identity else previous


def in_progress(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a run has begun in the folder and has not ended."""
    saved = read_record(Path(folder) / PARTIAL / PLAN)
    return saved is not None and saved.get(IDENTITY) == identity


def begin(folder: Path, identity: Mapping[str, Any], prior: Mapping[str, Any] | None = None) -> None:
    """Records that a run of several elements, each with a folder of its own, is in progress.

    Args:
        folder: Output folder.
        identity: Identity of the run, see :func:`pfitre_jax.reconstruction.run_identity.identify`.
        prior: The prior that was chosen for all of them; None if none was chosen yet.
    """
    write_plan(Path(folder) / PARTIAL, {IDENTITY: identity} | ({} if prior is None else {_PRIOR: prior}))


def chosen_prior(folder: Path, identity: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The prior that :func:`begin` recorded for the elements of a run in progress, or None."""
    saved = read_record(Path(folder) / PARTIAL / PLAN) or {}
    return saved.get(_PRIOR) if saved.get(IDENTITY) == identity else None


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
    plan = read_record(partial / PLAN)
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


def read_record(path: Path) -> dict | None:
    """The object in a JSON file; {} if it contains no valid object, None if there is no file."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def write_plan(partial: Path, content: Mapping[str, Any]) -> None:
    """Writes ``plan.json`` into the folder of the checkpoints."""
    text = json.dumps(content, indent=2) + "\n"
    write_files(partial, {PLAN: lambda path: path.write_text(text, encoding="utf-8")})
