"""See :mod:`experiments.solver_variants.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.record import Record, command_line, folder, hashes
from experiments.simulated_scans import Slices, timed
from experiments.solver_variants.config import PRESETS, VARIANTS, Config
from pfitre_jax.solvers.loop import Status, run

NAME = "solver_variants"
FBP = "FBP"
COLORS = {"classical": "C0", "learned": "C1", "data term": "C2"}
#: The changes of the last iterations, by which convergence is told.
LAST = 3


def measure(config: Config, scans: Slices, name: str) -> tuple[dict, dict[str, np.ndarray]]:
    """A variant at the best of its settings, by the mean PSNR."""
    if name == FBP:
        solve = jax.jit(lambda: scans.each(lambda p: p.support * pf.fbp(p.A, p.sinogram)))
        images, seconds = timed(solve)
        found = scans.measures(images) | {"seconds_per_slice": seconds / len(images), "kind": "classical"}
        return found, {"image": np.asarray(scans.scale * images[config.shown])}
    variant = VARIANTS[name]
    iterations = min(variant.iterations, config.most)
    blank = jnp.zeros(scans.problem.A.shape)

    @jax.jit
    def solve(setting):
        solver = variant.build(scans.prior, **setting)
        return scans.each(lambda problem: run(solver, problem, blank, iterations=iterations))

    best = None
    for setting in variant.settings():
        given = {key: jnp.asarray(value) for key, value in setting.items()}
        done, seconds = timed(functools.partial(solve, given))
        score = scans.measures(done.value)
        if best is None or score["psnr"] > best[0]["psnr"]:
            best = score, setting, done, seconds
    score, setting, done, seconds = best
    changes = np.asarray(done.stats["change"])[:, -LAST - 1 :]
    facts = score | {
        "kind": variant.kind,
        "iterations": iterations,
        "setting": setting,
        "seconds_per_slice": seconds / len(done.value),
        "residual": float(np.mean(np.asarray(done.stats["residual"])[:, -1])),
        "change": float(np.mean(changes[:, -1])),
        # Below 1: the iteration contracts, and goes on to converge.
        "contraction": float(np.median((changes[:, -1] / changes[:, 0]) ** (1 / (changes.shape[1] - 1)))),
        "diverged": int(np.sum(np.asarray(done.status) == int(Status.DIVERGED))),
    }
    return facts, {"image": np.asarray(scans.scale * done.value[config.shown])}


def tables(results: dict) -> str:
    """Markdown: a row for each variant."""
    head = ["", "PSNR, dB", "SSIM", "ms per slice", "iterations", "best setting"]
    head += ["residual", "last change", "contraction"]
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
    """Left: quality against time, by number; right: the truth and a slice of every variant."""
    columns = 6
    numbers = {name: number for number, name in enumerate(results, 1)}
    there = {name: images.get(f"{name}/image") for name in results}
    shown = {"truth": truth} | {name: image for name, image in there.items() if image is not None}
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(7 + 1.5 * columns, max(5, 1.75 * lines)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(7, 1.5 * columns))
    axis = left.subplots()
    for number, row in enumerate(results.values(), 1):
        at = 1e3 * row["seconds_per_slice"], row["psnr"]
        axis.plot(*at, "o", color=COLORS[row["kind"]])
        # Neighbours in the table are often neighbours here: on either side in turns.
        side, aligned = (5, "left") if number % 2 else (-5, "right")
        axis.annotate(str(number), at, xytext=(side, 2), textcoords="offset points", fontsize=9, ha=aligned)
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
    scans = Slices(config.twin, config.missing_deg, config.noise)
    truth = np.asarray(scans.truth[config.shown])
    draw = functools.partial(picture, truth)
    depends = hashes(config.twin.prior) | {
        name: repr((VARIANTS[name].iterations, VARIANTS[name].tried)) for name in config.variants
    }
    record = Record(folder(NAME, options), NAME, config, tables, draw, depends)
    cells = [(name,) for name in (FBP, *config.variants)]
    record.fill(cells, functools.partial(measure, config, scans), cells)
    record.show()


if __name__ == "__main__":
    main()
