"""The evaluation of a prior: every cell is simulated, reconstructed and compared with the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.evaluation.cells import FULL, Cell, EvaluationSettings, list_cells
from pfitre_jax.evaluation.compared_methods import reconstruct
from pfitre_jax.evaluation.finished_cells import (
    CELLS,
    TV_CONTEXT,
    evaluation_context,
    read_finished_cells,
    write_finished_cell,
)
from pfitre_jax.evaluation.measures import measure_quality
from pfitre_jax.evaluation.method_names import TV_METHODS, weight_key
from pfitre_jax.evaluation.scans import Scans, simulate_cell
from pfitre_jax.evaluation.scenes import Scene, angle_to_wedge

#: Fields of a cell that its records do not repeat.
_NOT_RECORDED = ("methods", "seeds")


def evaluate(
    prior: Any,
    settings: EvaluationSettings = FULL,
    *,
    rho: float | str,
    iterations: int,
    only: str | None = None,
    folder: Path | str | None = None,
    baselines: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict]:
    """Evaluates a prior on simulated scans of held-out scenes.

    Args:
        prior: Learned prior.
        settings: Settings of the evaluation.
        rho: Prior strength, or "auto" for an estimate from the noise of each scan.
        iterations: Iterations of ``pfitre``.
        only: The only factor to vary, see :func:`pfitre_jax.evaluation.cells.list_cells`; by default all.
        folder: Folder of finished cells, which are not computed again; by default none.
        baselines: Folder of the evaluation of another prior, whose records of total variation are reused:
            they depend on no prior and take most of the time.
        progress: Called with the finished and the total number of cells.

    Returns:
        A record for each scan: its properties, and under ``methods`` the metrics of each method.

    Raises:
        ValueError: If ``only`` is no factor, if a folder has cells of another prior or other settings, or if
            the prior does not fit the rows of the scenes.
    """
    todo, context = list_cells(settings, only), evaluation_context(prior, settings, rho, iterations)
    cell_folder = None if folder is None else Path(folder) / CELLS
    done = {} if cell_folder is None else read_finished_cells(cell_folder, todo, context)
    reused = (
        {} if baselines is None else read_finished_cells(Path(baselines) / CELLS, todo, context, TV_CONTEXT)
    )
    records = []
    for number, cell in enumerate(todo):
        progress(number, len(todo))
        if cell.name not in done:
            done[cell.name] = _evaluate_cell(prior, cell, context, reused.get(cell.name))
            if cell_folder is not None:
                write_finished_cell(cell_folder, cell, context, done[cell.name])
        records += done[cell.name]
    progress(len(todo), len(todo))
    return records


def check_evaluation(
    prior: Any,
    settings: EvaluationSettings,
    *,
    rho: float | str,
    iterations: int,
    folder: Path | str,
    baselines: Path | str | None = None,
    only: str | None = None,
) -> None:
    """Raises what :func:`evaluate` with these arguments would raise, before anything is computed.

    Raises:
        ValueError: As :func:`evaluate`, and if ``baselines`` has no cell of this evaluation.
    """
    todo, context = list_cells(settings, only), evaluation_context(prior, settings, rho, iterations)
    read_finished_cells(Path(folder) / CELLS, todo, context)
    if baselines is not None and not read_finished_cells(Path(baselines) / CELLS, todo, context, TV_CONTEXT):
        raise ValueError(
            f"{baselines} holds no cell of this evaluation; expected the output folder of one with "
            "the same settings"
        )


def _evaluate_cell(
    prior: Any, cell: Cell, context: dict[str, Any], reused: list[dict] | None = None
) -> list[dict]:
    """Returns the records of a cell; total variation is that of the ``reused`` records, if any."""
    evaluate_scans = _evaluate_volumes if context["rows"] > 1 else _evaluate_slices
    methods = cell.methods if reused is None else tuple(n for n in cell.methods if n not in TV_METHODS)
    records = []
    for i, (seed, scene, metrics, properties) in enumerate(evaluate_scans(prior, cell, context, methods)):
        record = {
            name: value for name, value in dataclasses.asdict(cell).items() if name not in _NOT_RECORDED
        }
        record |= {"seed": seed, "kind": scene.kind, "wires_deg": scene.wires_deg}
        if scene.wires_deg is not None:
            record["wires_to_wedge_deg"] = angle_to_wedge(scene.wires_deg, cell.wedge_center_deg)
        record |= properties
        if reused is not None:
            tv = [name for name in TV_METHODS if name in cell.methods]
            metrics |= {name: reused[i]["methods"][name] for name in tv}
            record |= {weight_key(name): reused[i][weight_key(name)] for name in tv}
        record["methods"] = {name: metrics[name] for name in cell.methods}
        record["gain"] = record["methods"]["pfitre"]["psnr"] - record["methods"]["fista_tv"]["psnr"]
        records.append(record)
    return records


#: Seed, scene, metrics by method, and properties of one scan.
_EvaluatedScan = tuple[int, Scene, dict[str, dict[str, float]], dict[str, Any]]


def _evaluate_slices(
    prior: Any, cell: Cell, context: dict[str, Any], methods: Sequence[str]
) -> Iterator[_EvaluatedScan]:
    """Yields the evaluated scans of a cell of slices."""
    scenes, scans = simulate_cell(cell, 1, context["size"])
    metrics, properties = _reconstruct_and_measure(prior, scans, context, methods)
    for i, (seed, scene) in enumerate(zip(cell.seeds, scenes, strict=True)):
        of_scan = {name: {m: float(v[i]) for m, v in values.items()} for name, values in metrics.items()}
        yield seed, scene, of_scan, {name: values[i].tolist() for name, values in properties.items()}


def _evaluate_volumes(
    prior: Any, cell: Cell, context: dict[str, Any], methods: Sequence[str]
) -> Iterator[_EvaluatedScan]:
    """Yields the evaluated scans of a cell of volumes.

    Metrics are means over the rows with any signal; the properties are those of the middle row.
    """
    for seed in cell.seeds:
        [scene], scans = simulate_cell(
            dataclasses.replace(cell, seeds=(seed,)), context["rows"], context["size"]
        )
        metrics, properties = _reconstruct_and_measure(prior, scans, context, methods)
        with_signal = np.asarray(jnp.any(scans.truth > 0, axis=(1, 2)))
        means = {
            name: {metric: float(np.mean(values[with_signal])) for metric, values in of_method.items()}
            for name, of_method in metrics.items()
        }
        middle = context["rows"] // 2
        yield seed, scene, means, {name: values[middle].tolist() for name, values in properties.items()}


def _reconstruct_and_measure(
    prior: Any, scans: Scans, context: dict[str, Any], methods: Sequence[str]
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Returns the metrics of each method, each (scans,), and the properties (scans, ...)."""
    images, properties = reconstruct(
        prior,
        scans,
        methods,
        rho=context["rho"],
        iterations=context["iterations"],
        fista_iterations=context["fista_iterations"],
    )
    metrics = {name: measure_quality(scans, image) for name, image in images.items()}
    return jax.tree.map(np.asarray, (metrics, properties))
