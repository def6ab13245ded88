"""Quality by width of the missing wedge; see :mod:`experiments.wedge_sweep.config`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.common import real_scans
from experiments.common.comparison import Reference, reconstruct_at_best, scan_with_reference
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_scans import simulate
from experiments.wedge_sweep.config import PRESETS, Config

NAME = "wedge_sweep"
TWIN = "twin"


def cells(config: Config) -> list[tuple[str, str]]:
    """Keys: sample (if its file is available), width of the wedge."""
    real = [name for name, sample in config.real.items() if real_scans.is_available(sample.file)]
    return [(sample, f"{degrees:g}") for sample in (TWIN, *real) for degrees in config.missing_deg]


def measure(config: Config, sample: str, degrees: str) -> tuple[dict, dict[str, np.ndarray]]:
    """PSNR and SSIM of each method for one width of the wedge, and one row of its reconstruction."""
    if sample == TWIN:
        scan, truth = simulate(config.twin, float(degrees), noise=config.noise)
        reference, prior = Reference.from_truth(truth, scan), config.twin.prior
    else:
        full, reference = scan_with_reference(config.real[sample], config.reference)
        scan, prior = real_scans.limit_angle(full, float(degrees)), config.real[sample].prior
    row, _ = config.shown[sample]
    by_method, images = {}, {"reference": reference.images[row]}
    for method in config.methods:
        result, best = reconstruct_at_best(
            scan,
            method,
            lambda result: -reference.measures(result)["psnr"],
            {"weight": config.weights},
            prior=prior,
            iterations=config.iterations,
        )
        by_method[method] = reference.measures(result) | best
        images[method] = reference.normalise(result)[row]
    cell = {"views": scan.views, "wedge_deg": scan.wedge.width_deg, "methods": by_method}
    return cell, images if degrees == shown_width(config) else {}


def shown_width(config: Config) -> str:
    """Key of the width whose reconstructions the figure shows."""
    return f"{config.shown_missing_deg:g}"


def tables(config: Config, results: dict) -> str:
    """Markdown: one table for each sample."""
    lines = []
    for sample, by_degrees in results.items():
        lines += ["", f"| {sample}, degrees missing | views | " + " | ".join(config.methods) + " |"]
        lines += ["|---" * (2 + len(config.methods)) + "|"]
        for degrees, cell in by_degrees.items():
            scores = (cell["methods"][method] for method in config.methods)
            text = " | ".join(f"{score['psnr']:.2f} / {score['ssim']:.3f}" for score in scores)
            lines.append(f"| {degrees} | {cell['views']} | {text} |")
    return "PSNR, dB / SSIM; total variation at its best weight.\n" + "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """PSNR by width of the wedge for each sample (above), and reconstructions of one width (below)."""
    labels = ["reference", *config.methods]
    figure = Figure(figsize=(2.2 * len(labels), 3.2 + 2.3 * len(results)), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3.2, 2.3 * len(results)))
    curves = above.subplots(1, len(results), squeeze=False)[0]
    panels = below.subplots(len(results), len(labels), squeeze=False)
    for axis, line, (sample, by_degrees) in zip(curves, panels, results.items(), strict=True):
        degrees = sorted(by_degrees, key=float)
        scores = {m: [by_degrees[d]["methods"][m]["psnr"] for d in degrees] for m in config.methods}
        axis.set(title=sample, ylabel="PSNR, dB")
        widths = [by_degrees[width]["wedge_deg"] for width in degrees]
        for method, psnrs in scores.items():
            axis.plot(widths, psnrs, "o-", ms=4, label=method)
        axis.set_xlabel("missing wedge, degrees")
        for panel, label in zip(line, labels, strict=True):
            panel.set(xticks=[], yticks=[])
            image = images.get(f"{sample}/{shown_width(config)}/{label}")
            if image is not None:
                panel.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=config.shown[sample][1])
            if sample == next(iter(results)):
                panel.set_title(label, fontsize=9)
        line[0].set_ylabel(f"{sample}, {shown_width(config)} degrees")
    if results:
        above.legend(
            *curves[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(labels), fontsize=8
        )
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    selected = cells(config)
    shown = [cell for cell in selected if cell[1] == shown_width(config)]
    priors = {config.twin.prior, *(sample.prior for sample in config.real.values())}
    run_experiment(NAME, options, config, selected, measure, tables, picture, priors=priors, pictured=shown)


if __name__ == "__main__":
    main()
