"""See :mod:`experiments.real_chip.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import at_best, middle
from experiments.real_chip.config import PRESETS, Config
from experiments.real_scans import chip, prediction_error, prediction_errors, require_chip, rows_of
from experiments.record import Record, command_line, folder, of_learned
from pfitre_jax.reconstruction import find_method

NAME = "real_chip"
BASELINE, OURS = "fista-tv", "pfitre"
#: In the place of views left out: none, for residuals and pictures.
ALL_VIEWS = "all views"
#: Higher bars are cut off.
TOP = 2.0


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Roll, the right one first, views left out, method."""
    rolls, sets = [f"{roll:g}" for roll in config.rolls_deg[::-1]], [*config.left_out, ALL_VIEWS]
    return [(roll, name, method) for roll in rolls for name in sets for method in config.methods]


def measure(config: Config, record: Record, roll: str, name: str, method: str) -> tuple[dict, dict]:
    """Error on the views left out, of all rows and of each; where none is left out, residual of each row that
    is looked at, and its image."""
    roll_deg = float(roll)
    settings = {"scale": scale(config.center, roll_deg), "iterations": config.iterations}
    if name == ALL_VIEWS:
        chosen = record.results()[roll][next(iter(config.left_out))][method]
        weight = {key: value for key, value in chosen.items() if key == "weight"}
        scan = rows_of(chip(config.center, roll_deg), config.rows)
        result, _ = at_best(scan, method, lambda result: 0.0, {}, **settings, **weight)
        images = middle(result.volume, scan.columns) / result.scale
        residual = dict(zip(map(str, config.rows), result.residual, strict=True))
        return {"residual": residual, **weight}, dict(zip(map(str, config.rows), images, strict=True))
    seen, hidden = split(config, roll_deg, config.left_out[name])
    error = functools.partial(prediction_error, hidden=hidden)
    result, weight = at_best(seen, method, error, {"weight": config.weights}, **settings)
    by_row = prediction_errors(result, hidden).tolist()
    return {"error": error(result), "by_row": by_row, **weight, **result.timings}, {}


@functools.cache
def scale(center: float, roll_deg: float) -> float:
    """Of the whole scan, whatever rows and views are used."""
    return pf.reconstruct(chip(center, roll_deg), "fbp", rows=slice(0, 1)).scale


def split(config: Config, roll_deg: float, views: str) -> tuple[pf.Scan, pf.Scan]:
    """The rows that are predicted, of the views that are seen and of those left out."""
    seen = chip(config.center, roll_deg, exclude_views=views)
    if config.every == 1:
        return seen, chip(config.center, views=views)
    rows = range(0, seen.rows, config.every)
    return rows_of(seen, rows), rows_of(chip(config.center, roll_deg, views=views), rows)


def tables(config: Config, results: dict) -> str:
    """Markdown: errors on views left out over FISTA-TV's, their spread over the rows, and residuals."""
    sets, rows = list(config.left_out), [str(row) for row in config.rows]
    frame = "raw" if config.every == 1 else "mended"
    lines = [
        f"Error on the views left out (in the {frame} frame), and in brackets over that of {BASELINE}; total "
        "variation at its best weight.",
    ]
    for roll, by_set in results.items():
        lines += ["", f"| roll mended by {roll} | " + " | ".join(sets) + " |", "|---" * (1 + len(sets)) + "|"]
        for method in config.methods:
            texts = []
            for name in sets:
                error, base = (by_set.get(name, {}).get(m, {}).get("error") for m in (method, BASELINE))
                texts.append("" if error is None or base is None else f"{error:.3f} ({error / base:.2f})")
            lines.append(f"| {method} | " + " | ".join(texts) + " |")
    lines += spread(config, results)
    lines += ["", "Residuals of single rows, from all views."]
    for roll, by_set in results.items():
        lines += [
            "",
            f"| roll mended by {roll} | " + " | ".join(f"row {row}" for row in rows) + " |",
            "|---" * (1 + len(rows)) + "|",
        ]
        for method, cell in by_set.get(ALL_VIEWS, {}).items():
            lines.append(f"| {method} | " + " | ".join(f"{cell['residual'][row]:.3f}" for row in rows) + " |")
    return "\n".join(lines) + "\n"


def spread(config: Config, results: dict) -> list[str]:
    """A table: how the errors of single rows, over FISTA-TV's of the same row, spread."""
    sets = list(config.left_out)
    lines = [
        "",
        f"Errors of single rows over {BASELINE}'s: median (10% to 90% of the rows; share of them below 1).",
        "",
        "| roll mended by | method | " + " | ".join(sets) + " |",
        "|---" * (2 + len(sets)) + "|",
    ]
    for roll, by_set in results.items():
        for method in config.methods:
            texts = []
            for name in sets:
                rows, base = (by_set.get(name, {}).get(m, {}).get("by_row") for m in (method, BASELINE))
                texts.append("" if rows is None or base is None else spread_of(np.array(rows) / base))
            if method != BASELINE:
                lines.append(f"| {roll} | {method} | " + " | ".join(texts) + " |")
    return lines


def spread_of(ratios: np.ndarray) -> str:
    """Of rows that have any signal."""
    low, half, high = np.nanpercentile(ratios, (10, 50, 90))
    better = np.mean(ratios[np.isfinite(ratios)] < 1)
    return f"{half:.2f} ({low:.2f} to {high:.2f}; {better:.0%})"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Above: errors on views left out over FISTA-TV's; below: rows of the scan, from all views."""
    rolls = [f"{roll:g}" for roll in config.rolls_deg if f"{roll:g}" in results]
    shown = [(roll, method) for roll in rolls[:-1] for method in (BASELINE, OURS)]
    shown += [(rolls[-1], method) for method in config.methods]
    figure = Figure(figsize=(1.9 * len(shown), 3 + 2 * len(config.rows)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2 * len(config.rows)))
    for axis, roll in zip(above.subplots(1, len(rolls), squeeze=False)[0], rolls, strict=True):
        draw_errors(axis, config, results.get(roll, {}))
        axis.set_xlabel(f"views left out; roll mended by {roll} degrees")
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
    width = 0.8 / len(config.methods)
    for number, method in enumerate(config.methods):
        ratios = []
        for name in config.left_out:
            error, base = (by_set.get(name, {}).get(m, {}).get("error") for m in (method, BASELINE))
            ratios.append(np.nan if error is None or base is None else error / base)
        places = np.arange(len(ratios)) + (number + 0.5) * width - 0.4
        axis.bar(places, ratios, width, label=method)
        for place, ratio in zip(places, ratios, strict=True):
            if np.isfinite(ratio):
                height = min(ratio, TOP) - 0.03
                axis.text(place, height, f"{ratio:.2f}", rotation=90, ha="center", va="top", fontsize=7)
    axis.set_xticks(range(len(config.left_out)), config.left_out)
    axis.axhline(1, color="k", lw=0.8)
    axis.set(ylabel=f"error over {BASELINE}'s", ylim=(0, TOP))
    axis.legend(fontsize=7, ncols=len(config.methods), loc="lower center", bbox_to_anchor=(0.5, 1.0))


def main() -> None:
    options = command_line(NAME).parse_args()
    require_chip()
    config = PRESETS[options.preset]
    record = Record(
        folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        of_learned(find_method(OURS).defaults["prior"]),
    )
    todo = cells(config)
    shown = [cell for cell in todo if cell[1] == ALL_VIEWS]
    record.fill(todo, functools.partial(measure, config, record), shown)
    record.show()


if __name__ == "__main__":
    main()
