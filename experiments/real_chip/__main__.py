"""See :mod:`experiments.real_chip.config`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.real_chip.config import PRESETS, Config

HERE = Path(__file__).resolve().parent
FOLDER = "cu23_hxn_xrf"
NAME = "Cu_example_23_LimitedAngle"


def load(config: Config, roll: float, **views):
    """The scan with its roll mended; ``views`` as in :func:`pfitre_jax.load_scan`."""
    folder = Path(os.environ.get("PFITRE_DATA", HERE.parents[2] / "shared" / "data")) / FOLDER
    tiff, angles = folder / f"{NAME}.tiff", folder / f"{NAME}.csv"
    return pf.load_scan(tiff, angles=angles, center=config.center, roll=roll, **views)


def solve(scan, rows, method: str, **settings):
    """Images (rows, ny, nx), residuals and timings of ``rows``, solved together."""
    picked = list(rows)
    few = dataclasses.replace(
        scan, projections=scan.projections[:, picked], mask=scan.mask[:, picked], raw_rows=len(picked)
    )
    result = pf.reconstruct(few, method, **settings)
    return result.volume, np.asarray(result.residual, float), result.timings


def prediction_error(seen, hidden, rows, method: str, **settings) -> float:
    """Relative error, on the views of ``hidden``, of what is reconstructed from ``seen``, all rows together.

    In the frame of the mended roll: it compares methods and weights with one another.
    """
    images, *_ = solve(seen, rows, method, **settings)
    A = pf.Projector(hidden.geometry(), images.shape[1:])
    error = power = 0.0
    for row, image in zip(rows, images, strict=True):
        measured, mask = hidden.projections[:, row], hidden.mask[:, row]
        error += np.sum((mask * (np.asarray(A(image)) - measured)) ** 2)
        power += np.sum((mask * measured) ** 2)
    return float(np.sqrt(error / power))


def run(config: Config) -> tuple[dict, dict]:
    """Numbers for the table, and the images behind them."""
    table, images = {}, {}
    for roll in config.rolls_deg:
        scan = load(config, roll)
        first = pf.reconstruct(scan, "cgls", rows=slice(config.rows[0], config.rows[0] + 1))
        predicted = {}
        for name, views in config.left_out.items():
            case = (
                load(config, roll, exclude_views=views),
                load(config, roll, views=views),
                config.predicted,
            )
            many = {"iterations": config.fista_iterations, "scale": first.scale}
            errors = {w: prediction_error(*case, "fista-tv", weight=w, **many) for w in config.weights}
            weight = min(errors, key=errors.get)
            ours = prediction_error(*case, "pfitre", scale=first.scale)
            predicted[name] = {
                "fista_tv_by_weight": errors,
                "fista_tv_weight": weight,
                "fista_tv": errors[weight],
                "pfitre": ours,
                "ratio": ours / errors[weight],
            }
        best = predicted[next(iter(predicted))]["fista_tv_weight"]
        classical, classical_residual, _ = solve(
            scan, config.rows, "fista-tv", weight=best, iterations=config.fista_iterations, scale=first.scale
        )
        learned, residual, timings = solve(scan, config.rows, "pfitre", scale=first.scale)
        table[f"{roll:g}"] = {
            "fista_tv_weight": best,
            "error_on_views_left_out": predicted,
            "fista_tv_residual": dict(zip(map(str, config.rows), classical_residual.tolist(), strict=True)),
            "pfitre_residual": dict(zip(map(str, config.rows), residual.tolist(), strict=True)),
            "ratio": dict(zip(map(str, config.rows), (residual / classical_residual).tolist(), strict=True)),
            "seconds_a_row": timings["seconds_run"] / len(config.rows),
            "seconds_compile": timings["seconds_compile"],
        }
        images[roll] = {"FISTA-TV": classical / first.scale, "PFITRE": learned / first.scale}
    return table, images


def picture(config: Config, images: dict) -> Figure:
    """A row of pictures for each roll and method, a column for each row of the scan."""
    lines = [(roll, name) for roll in images for name in images[roll]]
    figure = Figure(figsize=(2.6 * len(config.rows), 2.6 * len(lines)), layout="constrained")
    axes = figure.subplots(len(lines), len(config.rows), squeeze=False)
    for axis_row, (roll, name) in zip(axes, lines, strict=True):
        for axis, row, image in zip(axis_row, config.rows, images[roll][name], strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1.1)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"row {row}", fontsize=9)
        axis_row[0].set_ylabel(f"{name}, roll {roll:g}")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="default")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    table, images = run(config)
    options.out.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=HERE
    ).stdout.strip()
    record = {"config": dataclasses.asdict(config), "commit": commit, "results": table}
    (options.out / "real_chip.json").write_text(json.dumps(record, indent=1) + "\n")
    picture(config, images).savefig(options.out / "real_chip.png", dpi=90)
    print(json.dumps(table, indent=1))
    print(options.out / "real_chip.png")


if __name__ == "__main__":
    main()
