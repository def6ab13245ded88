"""See :mod:`experiments.adaptation.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.adaptation.config import PRESETS, Config
from experiments.real_scans import chip, prediction_error, require_chip, rows_of
from experiments.record import Record, command_line, folder, of_learned

NAME = "adaptation"
BEFORE, AFTER = "before", "after"
SHOWN = 40


def measure(config: Config, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Error on views left out: FISTA-TV, the prior as it is, the prior adapted to the other views."""
    views = config.left_out[name]
    seen = chip(config.center, config.roll_deg, exclude_views=views)
    hidden = chip(config.center, config.roll_deg, views=views)
    prior = pf.priors.pretrained(config.prior)
    learned = rows_of(seen, range(0, seen.rows, config.learned))
    adapted = pf.adapt(learned, prior, rows=slice(0, learned.rows), settings=config.settings)
    rows = range(1, seen.rows, config.judged)
    judged, truth = rows_of(seen, rows), rows_of(hidden, rows)
    scale = pf.reconstruct(seen, "fbp", rows=slice(0, 1)).scale
    solve = functools.partial(pf.reconstruct, scale=scale)
    errors = {"fista-tv": prediction_error(solve(judged, "fista-tv", weight=config.weight), truth)}
    images = {}
    for label, used in ((BEFORE, prior), (AFTER, adapted.prior)):
        errors[label] = prediction_error(solve(judged, "pfitre", prior=used), truth)
        shown = solve(rows_of(seen, [SHOWN]), "pfitre", prior=used)
        images[label] = shown.volume[0] / scale
    curve = {"looks": adapted.looks, "errors": adapted.errors}
    return {"error": errors, "steps": adapted.step, "curve": curve}, images


def tables(results: dict) -> str:
    """Markdown: a row for each set of views left out."""
    lines = ["| views left out | FISTA-TV | `pfitre` | adapted | ratio | steps |", "|---" * 6 + "|"]
    for name, row in results.items():
        before, after = (row["error"][label] for label in (BEFORE, AFTER))
        cells = [name, f"{row['error']['fista-tv']:.4f}", f"{before:.4f}", f"{after:.4f}"]
        lines.append("| " + " | ".join([*cells, f"{after / before:.3f}", str(row["steps"])]) + " |")
    return "\n".join(lines) + "\n"


def picture(results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Left: the error that decides when to stop; then a row before, after and the difference."""
    figure = Figure(figsize=(12, 3 * len(results)), layout="constrained")
    for line, (name, row) in zip(
        figure.subplots(len(results), 4, squeeze=False), results.items(), strict=True
    ):
        line[0].plot(row["curve"]["looks"], row["curve"]["errors"], "o-")
        line[0].axvline(row["steps"], color="k", lw=0.8, ls=":")
        line[0].set(xlabel="step", ylabel="error on judged views", title=f"without views {name}")
        pair = [images.get(f"{name}/{label}") for label in (BEFORE, AFTER)]
        for axis in line[1:]:
            axis.set(xticks=[], yticks=[])
        if any(image is None for image in pair):
            continue
        before, after = (image.astype(np.float32) for image in pair)
        for axis, image, title in zip(line[1:], (before, after), (BEFORE, AFTER), strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1.1)
            axis.set_title(f"row {SHOWN}, {title}", fontsize=9)
        line[3].imshow(after - before, cmap="gray", vmin=-0.2, vmax=0.2)
        line[3].set_title("difference, -0.2 to 0.2", fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    require_chip()
    config = PRESETS[options.preset]
    record = Record(folder(NAME, options), NAME, config, tables, picture, of_learned(config.prior))
    cells = [(name,) for name in config.left_out]
    record.fill(cells, functools.partial(measure, config), cells)
    record.show()


if __name__ == "__main__":
    main()
