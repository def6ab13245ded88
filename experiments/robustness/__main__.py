"""Robustness to artifacts; see :mod:`experiments.robustness.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import Reference
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_scans import simulate
from experiments.robustness.artifacts import apply_artifacts
from experiments.robustness.config import OPTIONS, PHOTONS, PLAIN, PRESETS, Config

NAME = "robustness"
TRUTH = "truth"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: artifacts, method, option."""
    return [(a, m, o) for a, options in config.artifacts.items() for m in config.methods for o in options]


def measure(config: Config, artifacts: str, method: str, option: str) -> tuple[dict, dict]:
    """Mean PSNR and SSIM of the rows, and the image of the first row."""
    scan, truth = simulate(config.twin, config.missing_deg, noise=config.noise)
    degraded, factor = apply_artifacts(config, scan, artifacts)
    settings = dict(OPTIONS[option])
    if option == PHOTONS:
        settings["photons"] = config.photons
    if method == "pfitre":
        settings["prior"] = config.twin.prior
    result = pf.reconstruct(degraded, method, iterations=config.iterations, **settings)
    reference = dataclasses.replace(Reference.from_truth(truth, scan), scale=factor)
    return reference.measures(result), {"first": reference.normalise(result)[0], TRUTH: truth[0]}


def tables(config: Config, results: dict) -> str:
    """Markdown: PSNR of every cell, and the difference to least squares without artifacts."""
    columns = [name for name in OPTIONS if any(name in options for options in config.artifacts.values())]
    lines = [
        f"Mean PSNR, dB, of {len(config.twin.seeds)} circuits; in brackets the difference to {PLAIN} without "
        "artifacts.",
        "",
        "| artifacts | method | " + " | ".join(columns) + " |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for artifacts, by_method in results.items():
        for method, by_option in by_method.items():
            clean = results[next(iter(config.artifacts))][method][PLAIN]["psnr"]
            psnrs = {name: cell["psnr"] for name, cell in by_option.items()}
            texts = [f"{psnrs[n]:.2f} ({psnrs[n] - clean:+.2f})" if n in psnrs else "" for n in columns]
            lines.append(f"| {artifacts} | {method} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One line for each artifact: the truth, and the last method with each option."""
    method = config.methods[-1]
    shown = [name for name in config.artifacts if name in results]
    columns = 1 + max(len(options) for options in config.artifacts.values())
    figure = Figure(figsize=(2 * columns, 2.2 * len(shown)), layout="constrained")
    for line, artifacts in zip(figure.subplots(len(shown), columns, squeeze=False), shown, strict=True):
        options = config.artifacts[artifacts]
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.set_frame_on(False)
        names = [f"{options[0]}/{TRUTH}", *(f"{name}/first" for name in options)]
        for axis, name, title in zip(line, names, [TRUTH, *options], strict=False):
            image = images.get(f"{artifacts}/{method}/{name}")
            if image is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
                axis.set_title(title, fontsize=8)
        line[0].set_ylabel(artifacts, fontsize=8)
    figure.suptitle(method, fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    priors = [config.twin.prior]
    run_experiment(NAME, options, config, cells(config), measure, tables, picture, priors=priors)


if __name__ == "__main__":
    main()
