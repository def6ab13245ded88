"""See :mod:`experiments.robustness.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import Reference
from experiments.record import carry_out, command_line
from experiments.robustness.config import PHOTONS, PLAIN, PRESETS, REMEDIES, Config
from experiments.robustness.defects import spoiled
from experiments.simulated_scans import simulate

NAME = "robustness"
TRUTH = "truth"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Defects, method, remedy."""
    return [(d, m, r) for d, remedies in config.defects.items() for m in config.methods for r in remedies]


def measure(config: Config, defects: str, method: str, remedy: str) -> tuple[dict, dict]:
    """Mean PSNR and SSIM of the rows, and the image of the first one."""
    scan, truth = simulate(config.twin, config.missing_deg, noise=config.noise)
    bad, factor = spoiled(config, scan, defects)
    asked = dict(REMEDIES[remedy])
    if remedy == PHOTONS:
        asked["photons"] = config.photons
    if method == "pfitre":
        asked["prior"] = config.twin.prior
    # Of the scan as it is: what the switch does, nothing else.
    result = pf.reconstruct(bad, method, iterations=config.iterations, **asked)
    reference = dataclasses.replace(Reference.of_truth(truth, scan), scale=factor)
    return reference.measures(result), {"first": reference.relative(result)[0], TRUTH: truth[0]}


def tables(config: Config, results: dict) -> str:
    """Markdown: PSNR of every cell, and what is lost beside least squares without defects."""
    used = [name for name in REMEDIES if any(name in tried for tried in config.defects.values())]
    lines = [
        f"Mean PSNR, dB, of {len(config.twin.seeds)} circuits; in brackets beside {PLAIN} on the scan without"
        " defects.",
        "",
        "| defects | method | " + " | ".join(used) + " |",
        "|---" * (2 + len(used)) + "|",
    ]
    for defects, by_method in results.items():
        for method, by_remedy in by_method.items():
            clean = results[next(iter(config.defects))][method][PLAIN]["psnr"]
            found = {name: cell["psnr"] for name, cell in by_remedy.items()}
            texts = [f"{found[n]:.2f} ({found[n] - clean:+.2f})" if n in found else "" for n in used]
            lines.append(f"| {defects} | {method} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of each kind of defects: the truth, and what the last method makes with each remedy."""
    method = config.methods[-1]
    shown = [d for d in config.defects if d in results]
    across = 1 + max(len(tried) for tried in config.defects.values())
    figure = Figure(figsize=(2 * across, 2.2 * len(shown)), layout="constrained")
    for line, defects in zip(figure.subplots(len(shown), across, squeeze=False), shown, strict=True):
        tried = config.defects[defects]
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.set_frame_on(False)
        names = [f"{tried[0]}/{TRUTH}", *(f"{name}/first" for name in tried)]
        for axis, name, title in zip(line, names, [TRUTH, *tried], strict=False):
            image = images.get(f"{defects}/{method}/{name}")
            if image is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
                axis.set_title(title, fontsize=8)
        line[0].set_ylabel(defects, fontsize=8)
    figure.suptitle(method, fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    carry_out(NAME, options, config, cells(config), measure, tables, picture, priors=[config.twin.prior])


if __name__ == "__main__":
    main()
