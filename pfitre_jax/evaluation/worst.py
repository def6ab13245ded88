"""The scans on which a prior did worst, to look at: what does it not know?"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.evaluation.cells import Cell, EvaluationSettings
from pfitre_jax.evaluation.methods import weight_of, with_weight
from pfitre_jax.evaluation.scans import simulated

#: The file of :func:`save_worst`.
NAME = "worst.png"
COUNT, ACROSS = 20, 4
_SHOWN = ("truth", "fista_tv", "pfitre")
_FIELDS = tuple(f.name for f in dataclasses.fields(Cell) if f.name not in ("methods", "seeds"))


def worst(records: list[dict], count: int = COUNT) -> list[dict]:
    """Of the base case, those of the least gain, the least first."""
    base = [r for r in records if r["factor"] == "orientation"]
    return sorted(base, key=lambda r: r["gain"])[:count]


def save_worst(
    prior,
    records: list[dict],
    settings: EvaluationSettings,
    folder,
    *,
    rho,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write the :func:`picture` of the :func:`worst` into ``folder``; returns its path."""
    figure = picture(prior, worst(records), settings, rho=rho, iterations=iterations, progress=progress)
    return write_files(folder, {NAME: lambda path: figure.savefig(path, format="png")})


def picture(
    prior,
    records: list[dict],
    settings: EvaluationSettings,
    *,
    rho,
    iterations: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Figure:
    """Truth, FISTA-TV at its best weight and `pfitre` of each record, made once more; of a volume its middle
    row."""
    lines = -(-len(records) // ACROSS)
    figure = Figure(figsize=(3.9 * ACROSS, 1.55 * lines + 0.5), layout="constrained", dpi=110)
    figure.suptitle("truth, FISTA-TV, pfitre where pfitre gained least", x=0.01, ha="left", fontweight="bold")
    axes = figure.subplots(lines, 3 * ACROSS, squeeze=False).reshape(-1, 3)
    for axis in axes.ravel():
        axis.set_axis_off()
    made = _again(prior, records, settings, rho, iterations)
    for number, (three, record, images) in enumerate(zip(axes, records, made, strict=False)):
        for axis, name in zip(three, _SHOWN, strict=True):
            axis.imshow(images[name], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        said = f"{record['kind']} {record['seed']}, wedge at {record['wedge_center_deg']:g}°"
        three[0].set_title(f"{said}: {record['gain']:+.1f} dB", loc="left", fontsize=7)
        progress(number + 1, len(records))
    return figure


def _again(prior, records, settings, rho, iterations) -> Iterator[dict[str, np.ndarray]]:
    k = settings.rows // 2
    for record in records:
        cell = Cell(**{name: record[name] for name in _FIELDS}, methods=(), seeds=(record["seed"],))
        _, scans = simulated(cell, settings.rows, settings.size)
        images = with_weight(
            prior,
            scans,
            jnp.asarray(record[weight_of("fista_tv")]),
            rho=rho,
            iterations=iterations,
            fista_iterations=settings.fista_iterations,
        )
        yield {"truth": np.asarray(scans.truth[k])} | {n: np.asarray(v[k]) for n, v in images.items()}
