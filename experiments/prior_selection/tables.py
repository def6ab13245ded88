"""Tables and picture of the selection of a prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.prior_selection.config import Config
from experiments.prior_selection.curves import FACTORS
from experiments.prior_selection.scans import TV, simulations
from pfitre_jax.estimation import first_of_smallest
from pfitre_jax.reconstruction import NO_PRIOR, choose_prior
from pfitre_jax.solvers import FINAL_RHO_FACTOR

#: A choice counts as right if its PSNR is below the best one by at most this, dB.
RIGHT = 0.1


def tables(config: Config, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: every fixed choice and the rule; the last data step; every scan.

    Args:
        config: Configuration of the experiment.
        results: Results by method, by scan.
    """
    methods = list(dict.fromkeys(name for by_method in results.values() for name in by_method))
    priors = [name for name in methods if name != TV]
    complete = {scan: cells for scan, cells in results.items() if set(methods) <= set(cells)}
    if not complete or not priors:
        return "\n"
    psnr = np.array([[quality(cells[name]) for name in methods] for cells in complete.values()])
    chosen = np.array([methods.index(rule(cells, priors)) for cells in complete.values()])
    artifact = {s.name: bool(s.cell.artifact) for s in simulations(config)}
    with_artifact = np.array([artifact.get(scan, False) for scan in complete])
    choices = {name: np.full(len(chosen), k) for k, name in enumerate(methods)} | {"auto": chosen}
    lines = [
        f"{len(complete)} scans, {int(with_artifact.sum())} of them with an artifact. A choice is right if "
        f"it is within {RIGHT} dB of the best one. The loss is the distance to the best one.",
        "",
        "| choice | mean PSNR, dB | mean loss | largest loss | right |",
        "|---|---|---|---|---|",
    ]
    for name, index in choices.items():
        loss = psnr.max(axis=1) - psnr[np.arange(len(index)), index]
        lines.append(
            f"| {name} | {np.mean(psnr.max(axis=1) - loss):.2f} | {np.mean(loss):.2f} | {np.max(loss):.2f} | "
            f"{np.mean(loss <= RIGHT):.0%} |"
        )
    lines += ["", *_factor_lines(results, priors[0], artifact), ""]
    lines += [
        "PSNR, dB, and in brackets the error on the views at the ends of the angular range.",
        "",
        "| scan | " + " | ".join(methods) + " | auto |",
        "|---" * (2 + len(methods)) + "|",
    ]
    for (scan, cells), index in zip(complete.items(), chosen, strict=True):
        texts = [f"{quality(cells[name]):.2f} ({error(cells[name]):.3f})" for name in methods]
        lines.append(f"| {scan} | " + " | ".join(texts) + f" | {methods[index]} |")
    return "\n".join(lines) + "\n"


def _factor_lines(
    results: Mapping[str, Mapping[str, Any]], prior: str, artifact: Mapping[str, bool]
) -> list[str]:
    """Table of the last data step: every factor of ``rho``, and the one that predicts held-out views best."""
    scans = [scan for scan, by_method in results.items() if prior in by_method]
    cells = [results[scan][prior] for scan in scans]
    with_artifact = np.array([artifact.get(scan, False) for scan in scans])
    rows = np.array([selected(cell) for cell in cells])
    every = {
        key: np.array([cell[key] for cell in cells])[np.arange(len(cells)), rows]
        for key in ("psnr", "ends", "between")
    }
    default = FACTORS.index(FINAL_RHO_FACTOR)
    choices = {f"{factor:g}": np.full(len(cells), k) for k, factor in enumerate(FACTORS)}
    choices |= {
        "views at the ends": every["ends"].argmin(axis=1),
        "every fifth view": every["between"].argmin(axis=1),
        "the best one": every["psnr"].argmax(axis=1),
    }
    lines = [
        f"Factor of `rho` in the last data step, {prior}: gain over the factor {FINAL_RHO_FACTOR:g}, dB, "
        "mean (worst).",
        "",
        f"| factor, or chosen by | {int((~with_artifact).sum())} scans without artifact | "
        f"{int(with_artifact.sum())} with one |",
        "|---|---|---|",
    ]
    for name, index in choices.items():
        gain = every["psnr"][np.arange(len(cells)), index] - every["psnr"][:, default]
        texts = [
            f"{np.mean(gain[part]):+.2f} ({np.min(gain[part]):+.2f})" if part.any() else ""
            for part in (~with_artifact, with_artifact)
        ]
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return lines


def rule(cells: Mapping[str, Any], priors: list[str]) -> str:
    """The method that the rule of ``--prior auto`` chooses; the first prior is the default."""
    errors = {name: error(cells[name]) for name in priors} | {NO_PRIOR: cells[TV]["error_by_noise"]}
    chosen, _ = choose_prior(errors, priors[0])
    return TV if chosen == NO_PRIOR else chosen


def quality(cell: Mapping[str, Any]) -> float:
    """PSNR of a method, dB: of the loop after the selected iteration."""
    values = np.asarray(cell["psnr"])
    return float(values if values.ndim == 0 else values[selected(cell), FACTORS.index(FINAL_RHO_FACTOR)])


def error(cell: Mapping[str, Any]) -> float:
    """Error of a method on the views at the ends of the angular range."""
    if "ends" not in cell:
        return float(cell["error_by_noise"])
    return float(np.asarray(cell["ends"])[selected(cell), FACTORS.index(FINAL_RHO_FACTOR)])


def selected(cell: Mapping[str, Any]) -> int:
    """Point of the curves at which the number of iterations is selected."""
    return first_of_smallest(np.asarray(cell["ends"])[:, FACTORS.index(FINAL_RHO_FACTOR)])


def picture(results: Mapping[str, Mapping[str, Any]], images: Mapping[str, np.ndarray]) -> Figure:
    """Difference of the PSNR of two methods against the ratio of their errors on held-out views."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    methods = list(dict.fromkeys(name for by_method in results.values() for name in by_method))
    others = [name for name in methods if name != methods[min(1, len(methods) - 1)]]
    axes = figure.subplots(1, max(len(others), 1), squeeze=False)[0]
    first = methods[min(1, len(methods) - 1)]
    for axis, name in zip(axes, others, strict=False):
        cells = [(c[name], c[first]) for c in results.values() if name in c and first in c]
        ratio = [error(other) / error(one) for other, one in cells]
        axis.scatter(ratio, [quality(other) - quality(one) for other, one in cells], s=12)
        axis.axhline(0, color="0.7", lw=0.8)
        axis.axvline(1, color="0.7", lw=0.8)
        axis.set(xscale="log", xlabel="error on held-out views, ratio", ylabel="PSNR, dB, difference")
        axis.set_title(f"{name} over {first}", fontsize=8)
    return figure
