"""See :mod:`experiments.alignment.config`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.alignment.config import PRESETS, Config
from experiments.comparing import middle
from experiments.real_scans import CATALYST, CHIP, CHIP_CENTER, catalyst, chip, is_there, registered_error
from experiments.record import carry_out, command_line
from experiments.volume_scans import off, registered, simulate
from pfitre_jax.reconstruction import find_method

NAME = "alignment"
#: Of the catalyst, which is no circuit.
OF_CATALYST = "general"
PARTS = ("motion", "chip", "catalyst")
#: How the views lie.
STRAIGHT, AS_MEASURED, MENDED = "never moved", "as measured", "mended"
#: Row of the chip that is shown.
SHOWN = 40


def cells(config: Config, parts) -> list[tuple[str, str, str]]:
    """Part, scan, and method or how the views lie."""
    seeds = [str(seed) for seed in config.seeds]
    every = [("motion", seed, lie) for seed in seeds for lie in (STRAIGHT, AS_MEASURED, MENDED)]
    if "chip" in parts and is_there(f"{CHIP}.tiff"):
        every += [("chip", name, lie) for name in config.left_out for lie in (AS_MEASURED, MENDED)]
    if "catalyst" in parts and config.catalyst and is_there(CATALYST):
        every += [("catalyst", config.catalyst, lie) for lie in (AS_MEASURED, MENDED)]
    return [cell for cell in every if cell[0] in parts]


def measure(config: Config, part: str, name: str, third: str) -> tuple[dict, dict]:
    """One cell."""
    return {"motion": motion, "chip": on_chip, "catalyst": on_catalyst}[part](config, name, third)


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


def on_chip(config: Config, name: str, lie: str) -> tuple[dict, dict]:
    """:func:`predict` of views of Cu_23; no roll is given."""
    views = config.left_out[name]
    seen, hidden = chip(CHIP_CENTER, exclude_views=views), chip(CHIP_CENTER, views=views)
    return predict(config, seen, hidden, lie, SHOWN)


def on_catalyst(config: Config, name: str, lie: str) -> tuple[dict, dict]:
    """:func:`predict` of views of the catalyst, of seven rows, by the prior for what is no circuit."""
    scan = catalyst()
    seen, hidden = scan.select_views(slice(None), exclude=name), scan.select_views(name)
    return predict(config, seen, hidden, lie, scan.rows // 2, roll=False, prior=OF_CATALYST)


def predict(
    config: Config, seen, hidden, lie: str, shown: int, *, roll=True, prior=None
) -> tuple[dict, dict]:
    """:func:`registered_error` on views that were left out, of each method."""
    motion = pf.Motion.none(seen.theta_rad, seen.center)
    facts, images = {}, {}
    if lie == MENDED:
        motion = pf.align(seen, roll=roll).motion
        facts |= {
            "roll_deg": motion.roll_deg,
            "center": motion.center,
            "shifts": float(np.std(motion.shifts)),
        }
    scan = motion.corrected(seen)
    for method in config.methods:
        result = pf.reconstruct(scan, method, prior=prior if method == "pfitre" else None)
        facts[method] = registered_error(result, hidden, motion)
        images[method] = middle(result.volume, seen.columns)[shown] / result.scale
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
    for part, title in (("chip", "Cu_23, no roll given"), ("catalyst", "catalyst")):
        if by_set := results.get(part):
            lines += ["", f"{title}: error on views left out, raw frame, their own shifts registered:", ""]
            lines += [
                "| views left out | method | as measured | mended | ratio | roll found |",
                "|---" * 6 + "|",
            ]
            for name, cell in by_set.items():
                for method in config.methods if {AS_MEASURED, MENDED} <= set(cell) else ():
                    before, after = cell[AS_MEASURED][method], cell[MENDED][method]
                    facts = f"{before:.3f} | {after:.3f} | {after / before:.2f}"
                    lines.append(f"| {name} | {method} | {facts} | {cell[MENDED]['roll_deg']:.2f} |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of the first simulated scan, and of the chip, by how the views lie."""
    method = config.methods[-1]
    rows = [("motion", str(config.seeds[0]), (STRAIGHT, AS_MEASURED, MENDED))]
    rows += [("chip", name, (AS_MEASURED, MENDED)) for name in [*config.left_out][:1]]
    rows += [("catalyst", config.catalyst, (AS_MEASURED, MENDED))] if config.catalyst else []
    figure = Figure(figsize=(9, 3.2 * len(rows)), layout="constrained")
    for line, (part, name, lies) in zip(figure.subplots(len(rows), 3, squeeze=False), rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, lie in zip(line, lies, strict=False):
            if (image := images.get(f"{part}/{name}/{lie}/{method}")) is not None:
                high = np.quantile(image.astype(float), 0.999) if part == "motion" else 1.1
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=high)
                where = "simulated" if part == "motion" else part
                axis.set_title(f"{where}, {lie}, {method}", fontsize=9)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    config = PRESETS[options.preset]
    todo = cells(config, PARTS if options.only is None else (options.only,))
    carry_out(
        NAME,
        options,
        config,
        todo,
        measure,
        tables,
        picture,
        priors=[find_method("pfitre").defaults["prior"], OF_CATALYST],
        pictured=todo,
    )


if __name__ == "__main__":
    main()
