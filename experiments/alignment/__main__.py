"""See :mod:`experiments.alignment.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.alignment.config import PRESETS, Config
from experiments.comparing import middle
from experiments.real_scans import CHIP, chip, is_there
from experiments.record import Record, command_line, folder, hashes
from experiments.volume_scans import off, registered, simulate
from pfitre_jax.engine.align import register
from pfitre_jax.engine.methods import recipe

NAME = "alignment"
PARTS = ("motion", "chip")
#: How the views lie.
STRAIGHT, AS_MEASURED, MENDED = "never moved", "as measured", "mended"
#: The authors' rotation axis of the chip.
CENTER = 75.0
#: Row of the chip that is shown.
SHOWN = 40


def cells(config: Config, parts) -> list[tuple[str, str, str]]:
    """Part, scan, and method or how the views lie."""
    seeds = [str(seed) for seed in config.seeds]
    every = [("motion", seed, lie) for seed in seeds for lie in (STRAIGHT, AS_MEASURED, MENDED)]
    if "chip" in parts and is_there(f"{CHIP}.tiff"):
        every += [("chip", name, lie) for name in config.left_out for lie in (AS_MEASURED, MENDED)]
    return [cell for cell in every if cell[0] in parts]


def measure(config: Config, part: str, name: str, third: str) -> tuple[dict, dict]:
    """One cell."""
    return {"motion": motion, "chip": predict}[part](config, name, third)


def motion(config: Config, seed: str, lie: str) -> tuple[dict, dict]:
    """PSNR of each method after its volume is registered, and how well the motion was found."""
    made = simulate(config.scans, int(seed))
    geometry, facts = made.straight.geometry(), {}
    if lie == MENDED:
        found = pf.align(made.moved).motion
        scan, facts = found.corrected(made.moved), {"off": off(found, made.motion, made.moved.theta_rad)}
    else:
        scan = made.straight if lie == STRAIGHT else made.moved
    images = {}
    for method in config.methods:
        volume = middle(pf.reconstruct(scan, method).volume, config.scans.size)
        facts[method] = registered(volume, made.truth, geometry)
        images[method] = volume[config.scans.rows // 2]
    return facts, images


def predict(config: Config, name: str, lie: str) -> tuple[dict, dict]:
    """Error on views of the chip that were left out, in the raw frame, of each method.

    No roll is given. These views' own shifts, along columns and rows, are fitted to what is predicted, by
    registration alone, however the others lie.
    """
    views = config.left_out[name]
    seen, hidden = chip(CENTER, exclude_views=views), chip(CENTER, views=views)
    motion = pf.Motion.none(seen.theta_rad, CENTER)
    facts, images = {}, {}
    if lie == MENDED:
        motion = pf.align(seen).motion
        facts["roll_deg"] = motion.roll_deg
    scan = motion.corrected(seen)
    for method in config.methods:
        result = pf.reconstruct(scan, method)
        ideal = pf.project_result(result.stored(), hidden.theta_rad, roll_deg=0.0)
        own = register(hidden, ideal, pf.Motion.none(hidden.theta_rad, CENTER, motion.roll_deg))
        raw, known = own.undo(np.nan_to_num(ideal), np.isfinite(ideal))
        valid = hidden.mask & known
        wrong = np.linalg.norm((raw - hidden.projections)[valid])
        facts[method] = float(wrong / np.linalg.norm(hidden.projections[valid]))
        images[method] = middle(result.volume, seen.columns)[SHOWN] / result.scale
    return facts, images


def tables(config: Config, results: dict) -> str:
    """Markdown: a table for each part, means over the scans."""
    lines = []
    if by_seed := results.get("motion"):
        lines += ["", "PSNR, dB, after registration, of a scan whose views:", ""]
        lies = (STRAIGHT, AS_MEASURED, MENDED)
        lines += ["| | " + " | ".join(lies) + " |", "|---" * 4 + "|"]
        for method in config.methods:
            mean = [
                np.mean([c[lie][method] for c in by_seed.values() if lie in c] or [np.nan]) for lie in lies
            ]
            lines.append(f"| {method} | " + " | ".join(f"{value:.2f}" for value in mean) + " |")
        found = [cell[MENDED]["off"] for cell in by_seed.values() if MENDED in cell]
        lines += ["", "Errors of the motion found, rms (roll: each scan's):", ""]
        for name, unit in (("shifts", "bins"), ("row_shifts", "bins"), ("gain", "")):
            each = ", ".join(f"{one[name]:.3f}" for one in found)
            lines.append(f"- {name.replace('_', ' ')}: {each} {unit}".rstrip())
        lines.append("- roll: " + ", ".join(f"{one['roll_deg']:+.2f}" for one in found) + " degrees")
    if by_set := results.get("chip"):
        lines += [
            "",
            "Cu_23, no roll given: error on views left out, raw frame, their own shifts registered:",
            "",
        ]
        lines += ["| views left out | method | as measured | mended | ratio | roll found |", "|---" * 6 + "|"]
        for name, cell in by_set.items():
            if AS_MEASURED in cell and MENDED in cell:
                for method in config.methods:
                    before, after = cell[AS_MEASURED][method], cell[MENDED][method]
                    facts = (
                        f"{before:.3f} | {after:.3f} | {after / before:.2f} | {cell[MENDED]['roll_deg']:.2f}"
                    )
                    lines.append(f"| {name} | {method} | {facts} |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of the first simulated scan, and of the chip, by how the views lie."""
    method = config.methods[-1]
    rows = [("motion", str(config.seeds[0]), (STRAIGHT, AS_MEASURED, MENDED))]
    rows += [("chip", name, (AS_MEASURED, MENDED)) for name in [*config.left_out][:1]]
    figure = Figure(figsize=(9, 3.2 * len(rows)), layout="constrained")
    for line, (part, name, lies) in zip(figure.subplots(len(rows), 3, squeeze=False), rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, lie in zip(line, lies, strict=False):
            if (image := images.get(f"{part}/{name}/{lie}/{method}")) is not None:
                high = 1.1 if part == "chip" else np.quantile(image.astype(float), 0.999)
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=high)
                where = "chip" if part == "chip" else "simulated"
                axis.set_title(f"{where}, {lie}, {method}", fontsize=9)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    config = PRESETS[options.preset]
    todo = cells(config, PARTS if options.only is None else (options.only,))
    record = Record(
        folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        hashes(recipe("pfitre").defaults["prior"]),
    )
    record.fill(todo, functools.partial(measure, config), todo)
    record.show()


if __name__ == "__main__":
    main()
