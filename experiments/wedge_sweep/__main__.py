"""See :mod:`experiments.wedge_sweep.config`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments import real_scans
from experiments.comparing import Reference, at_best, with_reference
from experiments.record import carry_out, command_line
from experiments.simulated_scans import simulate
from experiments.wedge_sweep.config import PRESETS, Config

NAME = "wedge_sweep"
TWIN = "twin"


def cells(config: Config) -> list[tuple[str, str]]:
    """A sample, where its file is there, and a wedge."""
    there = [name for name, sample in config.real.items() if real_scans.is_there(sample.file)]
    return [(sample, f"{degrees:g}") for sample in (TWIN, *there) for degrees in config.missing_deg]


def measure(config: Config, sample: str, degrees: str) -> tuple[dict, dict[str, np.ndarray]]:
    """What each method makes of a sample without a wedge of so many degrees, and the row that is shown."""
    if sample == TWIN:
        scan, truth = simulate(config.twin, float(degrees), noise=config.noise)
        reference, prior = Reference.of_truth(truth, scan), config.twin.prior
    else:
        whole, reference = with_reference(config.real[sample], config.reference)
        scan, prior = real_scans.limited(whole, float(degrees)), config.real[sample].prior
    row, _ = config.shown[sample]
    made, images = {}, {"reference": reference.images[row]}
    for method in config.methods:
        result, found = at_best(
            scan,
            method,
            lambda result: -reference.measures(result)["psnr"],
            {"weight": config.weights},
            prior=prior,
            iterations=config.iterations,
        )
        made[method] = reference.measures(result) | found
        images[method] = reference.relative(result)[row]
    cell = {"views": scan.views, "wedge_deg": scan.wedge.width_deg, "methods": made}
    return cell, images if degrees == pictured(config) else {}


def pictured(config: Config) -> str:
    return f"{config.pictured_deg:g}"


def tables(config: Config, results: dict) -> str:
    """Markdown: a table for each sample."""
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
    """Above: PSNR by the width of the wedge, a panel for each sample; below: reconstructions of one width."""
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
        axis.set_xlabel("degrees missing")
        for panel, label in zip(line, labels, strict=True):
            panel.set(xticks=[], yticks=[])
            image = images.get(f"{sample}/{pictured(config)}/{label}")
            if image is not None:
                panel.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=config.shown[sample][1])
            if sample == next(iter(results)):
                panel.set_title(label, fontsize=9)
        line[0].set_ylabel(f"{sample}, {pictured(config)} degrees")
    if results:
        above.legend(
            *curves[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(labels), fontsize=8
        )
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    todo = cells(config)
    shown = [cell for cell in todo if cell[1] == pictured(config)]
    carry_out(
        NAME,
        options,
        config,
        todo,
        measure,
        tables,
        picture,
        priors={config.twin.prior, *(sample.prior for sample in config.real.values())},
        pictured=shown,
    )


if __name__ == "__main__":
    main()
