"""Adaptation of a prior to Cu_23; see :mod:`experiments.adaptation.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.adaptation.config import PRESETS, Config
from experiments.common.real_scans import load_chip, prediction_error, require_chip
from experiments.common.record import command_line, run_experiment

NAME = "adaptation"
BEFORE, AFTER = "before", "after"
#: Row of the figure.
SHOWN_ROW = 40


def measure(config: Config, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Error on held-out views of FISTA-TV and of ``pfitre`` with the prior before and after adaptation."""
    views = config.held_out[name]
    used = load_chip(config.center, config.roll_deg, exclude_views=views)
    held_out = load_chip(config.center, config.roll_deg, views=views)
    prior = pf.priors.pretrained(config.prior)
    training_rows = used.take_rows(range(0, used.rows, config.training_row_step))
    adapted = pf.adapt(training_rows, prior, rows=slice(0, training_rows.rows), settings=config.settings)
    rows = range(1, used.rows, config.test_row_step)
    test, test_held_out = used.take_rows(rows), held_out.take_rows(rows)
    scale = pf.reconstruct(used, "fbp", rows=slice(0, 1)).scale
    solve = functools.partial(pf.reconstruct, scale=scale)
    errors = {"fista-tv": prediction_error(solve(test, "fista-tv", weight=config.weight), test_held_out)}
    images = {}
    for label, candidate in ((BEFORE, prior), (AFTER, adapted.prior)):
        errors[label] = prediction_error(solve(test, "pfitre", prior=candidate), test_held_out)
        shown = solve(used.take_rows([SHOWN_ROW]), "pfitre", prior=candidate)
        images[label] = shown.volume[0] / scale
    curve = {"steps": adapted.check_steps, "errors": adapted.errors}
    return {"error": errors, "steps": adapted.step, "curve": curve}, images


def tables(config: Config, results: dict) -> str:
    """Markdown: one line for each set of held-out views."""
    lines = ["| held-out views | FISTA-TV | `pfitre` | adapted | ratio | steps |", "|---" * 6 + "|"]
    for name, row in results.items():
        before, after = (row["error"][label] for label in (BEFORE, AFTER))
        cells = [name, f"{row['error']['fista-tv']:.4f}", f"{before:.4f}", f"{after:.4f}"]
        lines.append("| " + " | ".join([*cells, f"{after / before:.3f}", str(row["steps"])]) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Validation error by step (left), and one row before, after, and the difference."""
    figure = Figure(figsize=(12, 3 * len(results)), layout="constrained")
    for line, (name, row) in zip(
        figure.subplots(len(results), 4, squeeze=False), results.items(), strict=True
    ):
        line[0].plot(row["curve"]["steps"], row["curve"]["errors"], "o-")
        line[0].axvline(row["steps"], color="k", lw=0.8, ls=":")
        line[0].set(xlabel="step", ylabel="error on validation views", title=f"views {name} held out")
        pair = [images.get(f"{name}/{label}") for label in (BEFORE, AFTER)]
        for axis in line[1:]:
            axis.set(xticks=[], yticks=[])
        if any(image is None for image in pair):
            continue
        before, after = (image.astype(np.float32) for image in pair)
        for axis, image, title in zip(line[1:], (before, after), (BEFORE, AFTER), strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1.1)
            axis.set_title(f"row {SHOWN_ROW}, {title}", fontsize=9)
        line[3].imshow(after - before, cmap="gray", vmin=-0.2, vmax=0.2)
        line[3].set_title("difference, -0.2 to 0.2", fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    require_chip()
    config = PRESETS[options.preset]
    cells = [(name,) for name in config.held_out]
    run_experiment(
        NAME, options, config, cells, measure, tables, picture, priors=[config.prior], pictured=cells
    )


if __name__ == "__main__":
    main()
