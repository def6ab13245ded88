"""Files of an earlier result that a new one makes obsolete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pfitre_jax.cli import alignment
from pfitre_jax.reconstruction.file_names import ADAPTATION_FILES, REPORT


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


def _read_summary(path: Path) -> dict[str, Any]:
    """Content of ``summary.json``; empty if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
