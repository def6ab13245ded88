"""The evaluation itself, cell after cell; a finished one is on disk and not computed again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import FULL, Cell, EvaluationSettings, cells
from pfitre_jax.evaluation.measures import judge
from pfitre_jax.evaluation.methods import VARIATIONS, reconstruct, rows_settings, weight_of
from pfitre_jax.evaluation.scans import simulated
from pfitre_jax.evaluation.scenes import angle_to_wedge
from pfitre_jax.priors.files import pretrained
from pfitre_jax.runtime.versions import package_versions

#: Folder, in that of the results, of the finished cells.
CELLS = "cells"
#: What the context of an older evaluation lacks.
_OLDER = {"rows": 1, "rows_prior": ""}
#: What the results of total variation depend on.
CLASSICAL = ("version", "size", "fista_iterations", "rows")


def evaluate(
    prior: Any,
    settings: EvaluationSettings = FULL,
    *,
    rho: float | str,
    iterations: int,
    only: str | None = None,
    folder=None,
    baselines=None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict]:
    """A record for each scan: what was scanned, and under ``methods`` how each method did.

    only: the factor to vary, see :func:`pfitre_jax.evaluation.cells.cells`; default all
    folder: where finished cells are kept and found again; default nowhere
    baselines: folder of an evaluation of another prior; from its cells come the records of total variation,
        which know no prior and take most of the time

    Raises ``ValueError`` for an unknown factor, for a folder with cells of another prior or other settings,
    and for a prior of volumes where the scenes are none, or the other way round.
    """
    todo, context = cells(settings, only), _context(prior, settings, rho, iterations)
    kept = None if folder is None else Path(folder) / CELLS
    done = {} if kept is None else finished(kept, todo, context)
    known = {} if baselines is None else finished(Path(baselines) / CELLS, todo, context, CLASSICAL)
    records = []
    for number, cell in enumerate(todo):
        progress(number, len(todo))
        if cell.name not in done:
            done[cell.name] = _evaluate_cell(prior, cell, context, known.get(cell.name))
            if kept is not None:
                content = {"cell": dataclasses.asdict(cell), "context": context, "records": done[cell.name]}
                text = json.dumps(content, indent=1) + "\n"
                write_files(kept, {f"{cell.name}.json": lambda path, text=text: path.write_text(text)})
        records += done[cell.name]
    progress(len(todo), len(todo))
    return records


def check(
    prior, settings: EvaluationSettings, *, rho, iterations, folder, baselines=None, only: str | None = None
) -> None:
    """The ``ValueError`` that :func:`evaluate` would raise, if any, before anything is computed; also for
    ``baselines`` without any cell that is asked for."""
    todo, context = cells(settings, only), _context(prior, settings, rho, iterations)
    finished(Path(folder) / CELLS, todo, context)
    if baselines is not None and not finished(Path(baselines) / CELLS, todo, context, CLASSICAL):
        raise ValueError(
            f"{baselines} holds no cell of this evaluation; expected the --out of one with the same settings"
        )


def _context(prior, settings: EvaluationSettings, rho, iterations) -> dict:
    """What, beside its cell, a record depends on."""
    if (prior.info.reach > 0) != (settings.rows > 1):
        raise ValueError(
            f"the prior sees {2 * prior.info.reach + 1} rows and the scenes have {settings.rows}; "
            "expected a prior of volumes for scenes of several rows (EvaluationSettings.of_volumes), and for "
            "no others"
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
        # What makes the rows of a volume one by one.
        "rows_prior": _digest(pretrained(rows_settings()["prior"])) if settings.rows > 1 else "",
    }


def finished(
    folder: Path, todo: list[Cell], context: dict, names: tuple[str, ...] | None = None
) -> dict[str, list[dict]]:
    """Records, by name, of those cells that lie in ``folder``.

    names: what of the context must be the same; default all of it

    Raises ``ValueError`` where one is of another evaluation, or cannot be read.
    """
    found, names = {}, tuple(context) if names is None else names
    for cell in todo:
        path = folder / f"{cell.name}.json"
        if not path.is_file():
            continue
        fix = "give another --out, or remove the folder"
        try:
            content = json.loads(path.read_text())
            of_cell = content["cell"] == _plain(dataclasses.asdict(cell))
            known = _OLDER | content["context"]
            same = of_cell and all(known[n] == _plain(context)[n] for n in names)
            records = content["records"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no finished cell of an evaluation ({error!r}); {fix}") from error
        if not same:
            raise ValueError(f"{path} is of another prior, or of other settings; {fix}")
        found[cell.name] = records
    return found


def _evaluate_cell(prior, cell: Cell, context: dict, known: list[dict] | None = None) -> list[dict]:
    judged = _judge_volumes if context["rows"] > 1 else _judge_scenes
    methods = cell.methods if known is None else tuple(n for n in cell.methods if n not in VARIATIONS)
    records = []
    for i, (seed, scene, found, facts) in enumerate(judged(prior, cell, context, methods)):
        record = {name: value for name, value in dataclasses.asdict(cell).items() if name not in _OF_CELL}
        record |= {"seed": seed, "kind": scene.kind, "wires_deg": scene.wires_deg}
        if scene.wires_deg is not None:
            record["wires_to_wedge_deg"] = angle_to_wedge(scene.wires_deg, cell.wedge_center_deg)
        record |= facts
        if known is not None:
            of_variations = [name for name in VARIATIONS if name in cell.methods]
            found |= {name: known[i]["methods"][name] for name in of_variations}
            record |= {weight_of(name): known[i][weight_of(name)] for name in of_variations}
        record["methods"] = {name: found[name] for name in cell.methods}
        record["gain"] = record["methods"]["pfitre"]["psnr"] - record["methods"]["fista_tv"]["psnr"]
        records.append(record)
    return records


def _judge_scenes(prior, cell: Cell, context: dict, methods: tuple[str, ...]):
    """Seed, scene, measures of each method, and facts, of every scan of a cell."""
    scenes, scans = simulated(cell, 1, context["size"])
    measures, facts = _solve_and_judge(prior, scans, context, methods)
    for i, (seed, scene) in enumerate(zip(cell.seeds, scenes, strict=True)):
        found = {name: {m: float(v[i]) for m, v in values.items()} for name, values in measures.items()}
        yield seed, scene, found, {name: values[i].tolist() for name, values in facts.items()}


def _judge_volumes(prior, cell: Cell, context: dict, methods: tuple[str, ...]):
    """As :func:`_judge_scenes`: means over the rows of each volume that have any signal; what a row looks
    like, and its best weight, are those of the middle one."""
    for seed in cell.seeds:
        one = dataclasses.replace(cell, seeds=(seed,))
        [scene], scans = simulated(one, context["rows"], context["size"])
        measures, facts = _solve_and_judge(prior, scans, context, methods)
        there = np.asarray(jnp.any(scans.truth > 0, axis=(1, 2)))
        found = {
            name: {measure: float(np.mean(values[there])) for measure, values in of.items()}
            for name, of in measures.items()
        }
        middle = context["rows"] // 2
        yield seed, scene, found, {name: values[middle].tolist() for name, values in facts.items()}


def _solve_and_judge(prior, scans, context: dict, methods: tuple[str, ...]):
    """Measures of each method, and facts, as NumPy arrays, (scans,)."""
    images, facts = reconstruct(
        prior,
        scans,
        methods,
        rho=context["rho"],
        iterations=context["iterations"],
        fista_iterations=context["fista_iterations"],
    )
    return jax.tree.map(np.asarray, ({name: judge(scans, image) for name, image in images.items()}, facts))


# What a record does not repeat.
_OF_CELL = ("methods", "seeds")


def _digest(prior) -> str:
    """Of the numbers in a prior."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(prior):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _plain(content: dict) -> dict:
    """As JSON gives it back: tuples become lists."""
    return json.loads(json.dumps(content))
