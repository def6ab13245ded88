"""The scans of an evaluation on which a prior gains least, as a figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import Cell, EvaluationSettings
from pfitre_jax.evaluation.compared_methods import reconstruct_with_weight
from pfitre_jax.evaluation.method_names import weight_key
from pfitre_jax.evaluation.scans import simulate_cell
from pfitre_jax.plotting.gallery import draw_comparisons
from pfitre_jax.plotting.style import save_png

#: File of :func:`write_worst`.
WORST_FILE = "worst.png"
#: Number of scans in the figure.
COUNT = 20
_SHOWN = ("truth", "fista_tv", "pfitre")
_FIELDS = tuple(f.name for f in dataclasses.fields(Cell) if f.name not in ("methods", "seeds"))


def worst_scans(records: list[dict], count: int = COUNT) -> list[dict]:
    """Returns the records of the base case with the least gain, the least first."""
    base = [r for r in records if r["factor"] == "orientation"]
    return sorted(base, key=lambda r: r["gain"])[:count]


def write_worst(
    prior: Any,
    records: list[dict],
    settings: EvaluationSettings,
    folder: Path | str,
    *,
    rho: float | str,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Writes :data:`WORST_FILE`, the figure of :func:`draw_worst` of the :func:`worst_scans`.

    Args:
        prior: The prior.
        records: Records of its evaluation.
        settings: Settings of the evaluation.
        folder: Folder of the file.
        rho: Prior strength, or "auto".
        iterations: Iterations of ``pfitre``.
        progress: Called with the finished and the total number of scans.

    Returns:
        The path of the file, in a list.
    """
    figure = draw_worst(
        prior, worst_scans(records), settings, rho=rho, iterations=iterations, progress=progress
    )
    return write_files(folder, {WORST_FILE: lambda path: save_png(figure, path)})


def draw_worst(
    prior: Any,
    records: list[dict],
    settings: EvaluationSettings,
    *,
    rho: float | str,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Figure:
    """Reconstructs the scan of each record again and draws truth, FISTA-TV at its best weight and ``pfitre``.

    Of a volume it draws the middle row. The arguments are those of :func:`write_worst`.
    """
    cases = []
    reconstructed = _reconstruct_again(prior, records, settings, rho, iterations)
    for record, images in zip(records, reconstructed, strict=True):
        title = f"{record['kind']} {record['seed']}, wedge at {record['wedge_center_deg']:g}°"
        cases.append((f"{title}: {record['gain']:+.1f} dB", [images[name] for name in _SHOWN]))
        progress(len(cases), len(records))
    return draw_comparisons(cases, title="scans with the lowest gain: truth, FISTA-TV, pfitre")


def _reconstruct_again(
    prior: Any, records: list[dict], settings: EvaluationSettings, rho: float | str, iterations: int
) -> Iterator[dict[str, np.ndarray]]:
    middle = settings.rows // 2
    for record in records:
        cell = Cell(**{name: record[name] for name in _FIELDS}, methods=(), seeds=(record["seed"],))
        _, scans = simulate_cell(cell, settings.rows, settings.size)
        images = reconstruct_with_weight(
            prior,
            scans,
            jnp.asarray(record[weight_key("fista_tv")]),
            rho=rho,
            iterations=iterations,
            fista_iterations=settings.fista_iterations,
        )
        yield {"truth": np.asarray(scans.truth[middle])} | {
            n: np.asarray(v[middle]) for n, v in images.items()
        }
