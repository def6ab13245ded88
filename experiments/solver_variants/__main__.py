"""Comparison of solvers; see :mod:`experiments.solver_variants.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.record import Record, command_line, output_folder, weight_hashes
from experiments.common.simulated_scans import SliceSet, timed
from experiments.solver_variants.config import PRESETS, VARIANTS, Config
from pfitre_jax.solvers import run

NAME = "solver_variants"
FBP = "FBP"
COLORS = {"classical": "C0", "learned": "C1", "data term": "C2"}
#: Number of last iterations from which the contraction factor is estimated.
LAST = 3


def measure(config: Config, slices: SliceSet, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Measures of a variant at the setting of largest mean PSNR, and one slice of it."""
    if name == FBP:
        solve = jax.jit(lambda: slices.map(lambda p: p.support * pf.fbp(p.A, p.sinogram)))
        images, seconds = timed(solve)
        results = slices.measures(images) | {"seconds_per_slice": seconds / len(images), "kind": "classical"}
        return results, {"image": np.asarray(slices.scale * images[config.shown])}
    variant = VARIANTS[name]
    iterations = min(variant.iterations, config.max_iterations)
    blank = jnp.zeros(slices.problem.A.shape)

    @jax.jit
    def solve(setting):
        solver = variant.build(slices.prior, **setting)
        return slices.map(lambda problem: run(solver, problem, blank, iterations=iterations))

    best = None
    for setting in variant.settings():
        arrays = {key: jnp.asarray(value) for key, value in setting.items()}
        solution, seconds = timed(functools.partial(solve, arrays))
        scores = slices.measures(solution.value)
        if best is None or scores["psnr"] > best[0]["psnr"]:
            best = scores, setting, solution, seconds
    scores, setting, solution, seconds = best
    changes = np.asarray(solution.stats["change"])[:, -LAST - 1 :]
    results = scores | {
        "kind": variant.kind,
        "iterations": iterations,
        "setting": setting,
        "seconds_per_slice": seconds / len(solution.value),
        "residual": float(np.mean(np.asarray(solution.stats["residual"])[:, -1])),
        "change": float(np.mean(changes[:, -1])),
        # Contraction factor: below 1, the iteration approaches a fixed point.
        "contraction": float(np.median((changes[:, -1] / changes[:, 0]) ** (1 / (changes.shape[1] - 1)))),
        "diverged": int(np.sum(np.asarray(solution.status) == int(pf.Status.DIVERGED))),
    }
    return results, {"image": np.asarray(slices.scale * solution.value[config.shown])}


def tables(results: dict) -> str:
    """Markdown: one line for each variant."""
    head = ["variant", "PSNR, dB", "SSIM", "ms per slice", "iterations", "best setting"]
    head += ["residual", "last change", "contraction factor"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in results.items():
        setting = ", ".join(f"{key} {value:g}" for key, value in row.get("setting", {}).items())
        cells = [name, f"{row['psnr']:.2f}", f"{row['ssim']:.3f}", f"{1e3 * row['seconds_per_slice']:.0f}"]
        cells += [str(row.get("iterations", "")), setting]
        for key, form in (("residual", ".3f"), ("change", ".1e"), ("contraction", ".2f")):
            cells.append(f"{row[key]:{form}}" if row.get(key) is not None else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(truth: np.ndarray, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """PSNR by time, numbered (left), and the truth and one slice of every variant (right)."""
    columns = 6
    numbers = {name: number for number, name in enumerate(results, 1)}
    stored = {name: images.get(f"{name}/image") for name in results}
    shown = {"truth": truth} | {name: image for name, image in stored.items() if image is not None}
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(7 + 1.5 * columns, max(5, 1.75 * lines)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(7, 1.5 * columns))
    axis = left.subplots()
    for number, row in enumerate(results.values(), 1):
        point = 1e3 * row["seconds_per_slice"], row["psnr"]
        axis.plot(*point, "o", color=COLORS[row["kind"]])
        # Neighbours in the table often lie close together: alternate the side of their numbers.
        side, aligned = (5, "left") if number % 2 else (-5, "right")
        axis.annotate(
            str(number), point, xytext=(side, 2), textcoords="offset points", fontsize=9, ha=aligned
        )
    for kind, color in COLORS.items():
        axis.plot([], [], "o", color=color, label=kind)
    axis.set(xscale="log", xlabel="milliseconds per slice", ylabel="PSNR, dB")
    axis.legend(fontsize=8)
    panels = right.subplots(lines, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (name, image) in zip(panels, shown.items(), strict=False):
        panel.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
        panel.set_title(f"{numbers[name]} {name}" if name in numbers else name, fontsize=6)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    slices = SliceSet(config.twin, config.missing_deg, config.noise)
    truth = np.asarray(slices.truth[config.shown])
    depends = weight_hashes(config.twin.prior) | {
        name: repr((VARIANTS[name].iterations, VARIANTS[name].candidates)) for name in config.variants
    }
    # Not run_experiment: the figure needs the truth, and the results depend on the variants' candidates.
    draw = functools.partial(picture, truth)
    record = Record(output_folder(NAME, options), NAME, config, tables, draw, depends)
    cells = [(name,) for name in (FBP, *config.variants)]
    record.fill(cells, functools.partial(measure, config, slices), cells)
    record.show()


if __name__ == "__main__":
    main()
