"""Files of an earlier result that a new one makes obsolete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pfitre_jax.cli import alignment
from pfitre_jax.reconstruction.file_names import ADAPTATION_FILES, REPORT
from pfitre_jax.runtime.file_mark import has_mark


def obsolete_files(folder: Path, inputs: Mapping[str, Any]) -> list[str]:
    """Names of the files of the result in a folder that do not belong to a new result.

    The report, and files of an alignment or an adapted prior that the earlier result records; never a file
    that the new run reads.

    Args:
        folder: Output folder.
        inputs: Record of the inputs of the new run, by role, see
            :func:`pfitre_jax.data.input_files.describe_input`.
    """
    names, summary = [REPORT], _read_summary(folder / "summary.json")
    if "alignment" in summary:
        names += alignment.NAMES
    if "adaptation" in (summary.get("selection") or {}):
        names += ADAPTATION_FILES
    read = {record["path"] for record in inputs.values()}
    return [name for name in names if str((folder / name).resolve()) not in read]


def earlier_element_folders(folder: Path, current: Iterable[str]) -> list[str]:
    """Folders of elements of the earlier result in a folder that are none of the new result.

    Args:
        folder: Output folder.
        current: Names of the folders of the new result.
    """
    elements = _read_summary(folder / "summary.json").get("elements")
    records = elements.values() if isinstance(elements, dict) else ()
    names = {str(record.get("folder")) for record in records if isinstance(record, dict)} - set(current)
    return sorted(name for name in names if has_mark(folder / name / "recon.h5"))


def _read_summary(path: Path) -> dict[str, Any]:
    """Content of ``summary.json``; empty if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
