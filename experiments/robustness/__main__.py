"""See :mod:`experiments.robustness.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import Reference
from experiments.record import Record, command_line, folder, hashes
from experiments.robustness.config import PRESETS, Config
from experiments.robustness.defects import spoiled
from experiments.simulated_scans import simulate

NAME = "robustness"
PLAIN = "least squares"
TRUTH = "truth"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Defects, method, data term."""
    return [(d, m, t or PLAIN) for d in config.defects for m in config.methods for t in config.terms]


def measure(config: Config, defects: str, method: str, term: str) -> tuple[dict, dict]:
    """Mean PSNR and SSIM of the rows, and the image of the first one."""
    scan, truth = simulate(config.twin, config.missing_deg, noise=config.noise)
    bad = spoiled(config, scan, defects)
    asked = {} if term == PLAIN else {"robust": term}
    if method == "pfitre":
        asked["prior"] = config.twin.prior
    # Of the scan as it is: what the switch does, nothing else.
    result = pf.reconstruct(bad, method, iterations=config.iterations, **asked)
    reference = Reference.of_truth(truth, scan)
    return reference.measures(result), {"first": reference.relative(result)[0], TRUTH: truth[0]}


def tables(config: Config, results: dict) -> str:
    """Markdown: PSNR of every cell, and what is lost beside least squares without defects."""
    terms = [term or PLAIN for term in config.terms]
    lines = [
        f"Mean PSNR, dB, of {len(config.twin.seeds)} circuits; in brackets beside {PLAIN} on the scan without"
        " defects.",
        "",
        "| defects | method | " + " | ".join(terms) + " |",
        "|---" * (2 + len(terms)) + "|",
    ]
    for defects, by_method in results.items():
        for method, by_term in by_method.items():
            clean = results[config.defects[0]][method][PLAIN]["psnr"]
            found = [by_term[term]["psnr"] if term in by_term else np.nan for term in terms]
            texts = [f"{psnr:.2f} ({psnr - clean:+.2f})" for psnr in found]
            lines.append(f"| {defects} | {method} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of each kind of defects: the truth, and what the last method makes with each data term."""
    method, terms = config.methods[-1], [term or PLAIN for term in config.terms]
    shown = [d for d in config.defects if d in results]
    figure = Figure(figsize=(2 * (1 + len(terms)), 2.1 * len(shown)), layout="constrained")
    for line, defects in zip(figure.subplots(len(shown), 1 + len(terms), squeeze=False), shown, strict=True):
        names = [f"{terms[0]}/{TRUTH}", *(f"{term}/first" for term in terms)]
        for axis, name, title in zip(line, names, [TRUTH, *terms], strict=True):
            axis.set(xticks=[], yticks=[])
            image = images.get(f"{defects}/{method}/{name}")
            if image is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
            if defects == shown[0]:
                axis.set_title(title if title == TRUTH else f"{method}, {title}", fontsize=8)
        line[0].set_ylabel(defects, fontsize=8)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    record = Record(
        folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        hashes(config.twin.prior),
    )
    record.fill(cells(config), functools.partial(measure, config))
    record.show()


if __name__ == "__main__":
    main()
