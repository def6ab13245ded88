"""Prediction of held-out views of Cu_23; see :mod:`experiments.real_chip.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import crop_center, reconstruct_at_best
from experiments.common.real_scans import (
    load_chip,
    prediction_error,
    prediction_errors,
    require_chip,
)
from experiments.common.record import Record, command_line, output_folder, pfitre_dependencies
from experiments.real_chip.config import PRESETS, Config
from pfitre_jax.reconstruction import find_method

NAME = "real_chip"
BASELINE, OURS = "fista-tv", "pfitre"
#: Key of the reconstructions from all views, for residuals and images.
ALL_VIEWS = "all views"
#: Upper limit of the bar chart; higher bars are cut off.
LIMIT = 2.0


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: roll (the right one first), held-out views, method."""
    rolls, sets = [f"{roll:g}" for roll in config.rolls_deg[::-1]], [*config.held_out, ALL_VIEWS]
    return [(roll, name, method) for roll in rolls for name in sets for method in config.methods]


def measure(config: Config, record: Record, roll: str, name: str, method: str) -> tuple[dict, dict]:
    """Error on held-out views (all rows, and each row), or residual and image of each row from all views."""
    roll_deg = float(roll)
    settings = {"scale": scan_scale(config.center, roll_deg), "iterations": config.iterations}
    if name == ALL_VIEWS:
        first_set = record.results()[roll][next(iter(config.held_out))][method]
        weight = {key: value for key, value in first_set.items() if key == "weight"}
        scan = load_chip(config.center, roll_deg).take_rows(config.rows)
        result, _ = reconstruct_at_best(scan, method, lambda result: 0.0, {}, **settings, **weight)
        images = crop_center(result.volume, scan.columns) / result.scale
        residual = dict(zip(map(str, config.rows), result.residual, strict=True))
        return {"residual": residual, **weight}, dict(zip(map(str, config.rows), images, strict=True))
    used, held_out = split_views(config, roll_deg, config.held_out[name])
    error = functools.partial(prediction_error, held_out=held_out)
    result, weight = reconstruct_at_best(used, method, error, {"weight": config.weights}, **settings)
    by_row = prediction_errors(result, held_out).tolist()
    return {"error": error(result), "by_row": by_row, **weight, **result.timings}, {}


@functools.cache
def scan_scale(center: float, roll_deg: float) -> float:
    """Scale of the scan from all its rows and views."""
    return pf.reconstruct(load_chip(center, roll_deg), "fbp", rows=slice(0, 1)).scale


def split_views(config: Config, roll_deg: float, views: str) -> tuple[pf.Scan, pf.Scan]:
    """Scan of the other views and scan of the held-out ``views``, both of the rows to predict."""
    used = load_chip(config.center, roll_deg, exclude_views=views)
    if config.row_step == 1:
        return used, load_chip(config.center, views=views)
    rows = range(0, used.rows, config.row_step)
    return used.take_rows(rows), load_chip(config.center, roll_deg, views=views).take_rows(rows)


def tables(config: Config, results: dict) -> str:
    """Markdown: errors on held-out views, their spread over the rows, and residuals."""
    sets, rows = list(config.held_out), [str(row) for row in config.rows]
    frame = "raw" if config.row_step == 1 else "roll-corrected"
    lines = [
        f"Error on held-out views in the {frame} frame, and in brackets relative to {BASELINE}; total "
        "variation at its best weight.",
    ]
    for roll, by_set in results.items():
        lines += [
            "",
            f"| roll corrected by {roll} | " + " | ".join(sets) + " |",
            "|---" * (1 + len(sets)) + "|",
        ]
        for method in config.methods:
            texts = []
            for name in sets:
                error, base = (by_set.get(name, {}).get(m, {}).get("error") for m in (method, BASELINE))
                texts.append("" if error is None or base is None else f"{error:.3f} ({error / base:.2f})")
            lines.append(f"| {method} | " + " | ".join(texts) + " |")
    lines += spread_table(config, results)
    lines += ["", "Relative residuals of single rows, from all views."]
    for roll, by_set in results.items():
        lines += [
            "",
            f"| roll corrected by {roll} | " + " | ".join(f"row {row}" for row in rows) + " |",
            "|---" * (1 + len(rows)) + "|",
        ]
        for method, cell in by_set.get(ALL_VIEWS, {}).items():
            lines.append(f"| {method} | " + " | ".join(f"{cell['residual'][row]:.3f}" for row in rows) + " |")
    return "\n".join(lines) + "\n"


def spread_table(config: Config, results: dict) -> list[str]:
    """Table of the spread of the errors of single rows, relative to FISTA-TV; empty without such errors."""
    cells = [
        cell for by_set in results.values() for by_method in by_set.values() for cell in by_method.values()
    ]
    if not any("by_row" in cell for cell in cells):
        return []
    sets = list(config.held_out)
    lines = [
        "",
        f"Errors of single rows relative to {BASELINE}: median (10% to 90% of the rows; share below 1).",
        "",
        "| roll corrected by | method | " + " | ".join(sets) + " |",
        "|---" * (2 + len(sets)) + "|",
    ]
    for roll, by_set in results.items():
        for method in config.methods:
            texts = []
            for name in sets:
                rows, base = (by_set.get(name, {}).get(m, {}).get("by_row") for m in (method, BASELINE))
                texts.append("" if rows is None or base is None else format_spread(np.array(rows) / base))
            if method != BASELINE:
                lines.append(f"| {roll} | {method} | " + " | ".join(texts) + " |")
    return lines


def format_spread(ratios: np.ndarray) -> str:
    """Median, 10% to 90% range and share below 1 of ratios (rows,); NaN marks rows without signal."""
    low, half, high = np.nanpercentile(ratios, (10, 50, 90))
    better = np.mean(ratios[np.isfinite(ratios)] < 1)
    return f"{half:.2f} ({low:.2f} to {high:.2f}; {better:.0%})"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Errors on held-out views relative to FISTA-TV (above), and rows from all views (below)."""
    rolls = [f"{roll:g}" for roll in config.rolls_deg if f"{roll:g}" in results]
    shown = [(roll, method) for roll in rolls[:-1] for method in (BASELINE, OURS)]
    shown += [(rolls[-1], method) for method in config.methods]
    figure = Figure(figsize=(1.9 * len(shown), 3 + 2 * len(config.rows)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2 * len(config.rows)))
    for axis, roll in zip(above.subplots(1, len(rolls), squeeze=False)[0], rolls, strict=True):
        draw_errors(axis, config, results.get(roll, {}))
        axis.set_xlabel(f"held-out views; roll corrected by {roll} degrees")
    panels = below.subplots(len(config.rows), len(shown), squeeze=False)
    for line, row in zip(panels, config.rows, strict=True):
        for axis, (roll, method) in zip(line, shown, strict=True):
            axis.set(xticks=[], yticks=[])
            image = images.get(f"{roll}/{ALL_VIEWS}/{method}/{row}")
            if image is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
            if row == config.rows[0]:
                axis.set_title(f"{method}\nroll {roll}", fontsize=9)
        line[0].set_ylabel(f"row {row}")
    return figure


def draw_errors(axis, config: Config, by_set: dict) -> None:
    """Draw bars of the errors relative to FISTA-TV, one group for each held-out set."""
    width = 0.8 / len(config.methods)
    for number, method in enumerate(config.methods):
        ratios = []
        for name in config.held_out:
            error, base = (by_set.get(name, {}).get(m, {}).get("error") for m in (method, BASELINE))
            ratios.append(np.nan if error is None or base is None else error / base)
        positions = np.arange(len(ratios)) + (number + 0.5) * width - 0.4
        axis.bar(positions, ratios, width, label=method)
        for position, ratio in zip(positions, ratios, strict=True):
            if np.isfinite(ratio):
                height = min(ratio, LIMIT) - 0.03
                axis.text(position, height, f"{ratio:.2f}", rotation=90, ha="center", va="top", fontsize=7)
    axis.set_xticks(range(len(config.held_out)), config.held_out)
    axis.axhline(1, color="k", lw=0.8)
    axis.set(ylabel=f"error relative to {BASELINE}", ylim=(0, LIMIT))
    axis.legend(fontsize=7, ncols=len(config.methods), loc="lower center", bbox_to_anchor=(0.5, 1.0))


def main() -> None:
    options = command_line(NAME).parse_args()
    require_chip()
    config = PRESETS[options.preset]
    # Not run_experiment: the cells of all views read the weights of the first held-out set from the record.
    record = Record(
        output_folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        pfitre_dependencies(find_method(OURS).defaults["prior"]),
    )
    selected = cells(config)
    shown = [cell for cell in selected if cell[1] == ALL_VIEWS]
    record.fill(selected, functools.partial(measure, config, record), shown)
    record.show()


if __name__ == "__main__":
    main()
