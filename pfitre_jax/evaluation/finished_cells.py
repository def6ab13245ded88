"""Finished cells of an evaluation on disk, so that an evaluation resumes where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import Cell, EvaluationSettings
from pfitre_jax.evaluation.compared_methods import rows_settings
from pfitre_jax.priors.files import pretrained
from pfitre_jax.runtime.versions import package_versions

#: Folder of the finished cells, inside the folder of the results.
CELLS = "cells"
#: Parts of the context that the results of total variation depend on.
TV_CONTEXT = ("version", "size", "fista_iterations", "rows")
#: Values of entries that are missing in the context of an older evaluation.
_OLDER_CONTEXT = {"rows": 1, "rows_prior": ""}


def evaluation_context(
    prior: Any, settings: EvaluationSettings, rho: float | str, iterations: int
) -> dict[str, Any]:
    """Returns everything that the records of a cell depend on, apart from the cell itself.

    Raises:
        ValueError: If a prior for volumes comes with scenes of one row, or one for slices with volumes.
    """
    reach = prior.info.reach
    if (reach > 0) != (settings.rows > 1):
        raise ValueError(
            f"the prior uses {2 * reach + 1} rows but the scenes have {settings.rows}; expected a prior for "
            "volumes with scenes of several rows (EvaluationSettings.of_volumes), and only with them"
        )
    return {
        "prior": _digest(prior),
        "initial_iterations": prior.info.initial_iterations,
        "version": package_versions()["pfitre_jax"],
        "rho": rho,
        "iterations": iterations,
        "size": settings.size,
        "fista_iterations": settings.fista_iterations,
        "rows": settings.rows,
        # The prior that reconstructs a volume row by row.
        "rows_prior": _digest(pretrained(rows_settings()["prior"])) if settings.rows > 1 else "",
    }


def read_finished_cells(
    folder: Path, cells: Sequence[Cell], context: dict[str, Any], parts: Sequence[str] | None = None
) -> dict[str, list[dict]]:
    """Reads the records of those cells that are finished.

    Args:
        folder: Folder of the cells.
        cells: Cells of the evaluation.
        context: Context of the evaluation, see :func:`evaluation_context`.
        parts: Parts of the context that must be equal; by default all.

    Returns:
        Records by the name of the cell.

    Raises:
        ValueError: If a cell is of another evaluation, or cannot be read.
    """
    records, parts = {}, tuple(context) if parts is None else parts
    for cell in cells:
        path = folder / f"{cell.name}.json"
        if not path.is_file():
            continue
        fix = "use another output folder, or remove the folder"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            same_cell = content["cell"] == _as_json(dataclasses.asdict(cell))
            stored = _OLDER_CONTEXT | content["context"]
            same = same_cell and all(stored[part] == _as_json(context)[part] for part in parts)
            cell_records = content["records"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a finished cell of an evaluation ({error!r}); {fix}") from error
        if not same:
            raise ValueError(f"{path} is of another prior or of other settings; {fix}")
        records[cell.name] = cell_records
    return records


def write_finished_cell(folder: Path, cell: Cell, context: dict[str, Any], records: list[dict]) -> None:
    """Writes the records of a finished cell."""
    content = {"cell": dataclasses.asdict(cell), "context": context, "records": records}
    text = json.dumps(content, indent=1) + "\n"
    write_files(folder, {f"{cell.name}.json": lambda path: path.write_text(text, encoding="utf-8")})


def _digest(prior: Any) -> str:
    """Returns a hash of the numbers of a prior."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(prior):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _as_json(content: dict) -> dict:
    """Returns the content as JSON restores it: tuples become lists."""
    return json.loads(json.dumps(content))
