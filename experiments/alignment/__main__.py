"""Alignment of simulated and real scans; see :mod:`experiments.alignment.config`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.alignment.config import PRESETS, Config
from experiments.common.comparison import crop_center
from experiments.common.real_scans import (
    CATALYST,
    CHIP,
    CHIP_CENTER,
    is_available,
    load_catalyst,
    load_chip,
    registered_prediction_error,
)
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import (
    VolumeScans,
    motion_error,
    simulate,
)
from pfitre_jax.reconstruction import find_method

NAME = "alignment"
#: Prior for the catalyst, which is not a circuit.
CATALYST_PRIOR = "general"
PARTS = ("motion", "chip", "catalyst")
#: States of a scan.
NO_MOTION, UNCORRECTED, ALIGNED = "no motion", "uncorrected", "aligned"
#: Parts of the estimated motion of a simulated scan that are replaced with the true ones, by the state of the
#: scan. What a state gains is what the error of that part costs; what the last one lacks is interpolation.
TRUE_PARTS = {
    "aligned, true roll": ("roll_deg",),
    "aligned, true shifts and centre": ("shifts", "center"),
    "aligned, true row shifts": ("row_shifts",),
    "aligned, true gains": ("gain", "offset"),
    "true motion": ("shifts", "center", "row_shifts", "gain", "offset", "roll_deg"),
}
#: Row of the chip in the figure.
SHOWN_ROW = 40


def cells(config: Config, parts) -> list[tuple[str, str, str]]:
    """Keys: part, scan, state of the scan."""
    every = [
        ("motion", str(seed), state)
        for seed in config.seeds
        for state in (NO_MOTION, UNCORRECTED, ALIGNED, *(TRUE_PARTS if seed in config.attributed else ()))
    ]
    if "chip" in parts and is_available(f"{CHIP}.tiff"):
        every += [("chip", name, state) for name in config.held_out for state in (UNCORRECTED, ALIGNED)]
    if "catalyst" in parts and config.catalyst and is_available(CATALYST):
        every += [("catalyst", config.catalyst, state) for state in (UNCORRECTED, ALIGNED)]
    return [cell for cell in every if cell[0] in parts]


def measure(config: Config, part: str, name: str, state: str) -> tuple[dict, dict]:
    """Results of one cell."""
    parts = {"motion": measure_motion, "chip": measure_chip, "catalyst": measure_catalyst}
    return parts[part](config, name, state)


def measure_motion(config: Config, seed: str, state: str) -> tuple[dict, dict]:
    """Registered PSNR of each method on a simulated scan, and the error of the estimated motion."""
    volume = simulate(config.scans, int(seed))
    results = {}
    scan = volume.ideal if state == NO_MOTION else volume.moved
    if state == ALIGNED or state in TRUE_PARTS:
        motion = estimated_motion(config.scans, int(seed))
        true_parts = {name: getattr(volume.motion, name) for name in TRUE_PARTS.get(state, ())}
        motion = dataclasses.replace(motion, **true_parts)
        scan = motion.corrected(volume.moved)
        results["motion_error"] = motion_error(motion, volume.motion, volume.moved.theta_rad)
    images = {}
    for method in config.methods:
        image = crop_center(pf.reconstruct(scan, method).volume, config.scans.size)
        results[method] = volume.registered_psnr(image)
        images[method] = image[config.scans.rows // 2]
    return results, images


@functools.lru_cache(maxsize=1)
def estimated_motion(scans: VolumeScans, seed: int) -> pf.Motion:
    """Motion that the alignment of a simulated scan finds."""
    return pf.align(simulate(scans, seed).moved).motion


def measure_chip(config: Config, name: str, state: str) -> tuple[dict, dict]:
    """:func:`predict` on Cu_23, with an unknown roll."""
    views = config.held_out[name]
    used, held_out = load_chip(CHIP_CENTER, exclude_views=views), load_chip(CHIP_CENTER, views=views)
    return predict(config, used, held_out, state, SHOWN_ROW)


def measure_catalyst(config: Config, name: str, state: str) -> tuple[dict, dict]:
    """:func:`predict` on the seven rows of the catalyst."""
    scan = load_catalyst()
    used, held_out = scan.select_views(slice(None), exclude=name), scan.select_views(name)
    return predict(config, used, held_out, state, scan.rows // 2, roll=False, prior=CATALYST_PRIOR)


def predict(
    config: Config, used: pf.Scan, held_out: pf.Scan, state: str, shown_row: int, *, roll=True, prior=None
) -> tuple[dict, dict]:
    """:func:`registered_prediction_error` on held-out views, for each method."""
    motion = pf.Motion.none(used.theta_rad, used.center)
    results, images = {}, {}
    if state == ALIGNED:
        motion = pf.align(used, roll=roll).motion
        results |= {
            "roll_deg": motion.roll_deg,
            "center": motion.center,
            "shifts": float(np.std(motion.shifts)),
        }
    scan = motion.corrected(used)
    for method in config.methods:
        result = pf.reconstruct(scan, method, prior=prior if method == "pfitre" else None)
        results[method] = registered_prediction_error(result, held_out, motion)
        images[method] = crop_center(result.volume, used.columns)[shown_row] / result.scale
    return results, images


def tables(config: Config, results: dict) -> str:
    """Markdown: one table for each part, means over the scans."""
    lines = []
    if by_seed := results.get("motion"):
        lines += motion_tables(config, by_seed)
    for part, title in (("chip", "Cu_23, roll unknown"), ("catalyst", "Catalyst")):
        if by_set := results.get(part):
            lines += ["", f"{title}: error on held-out views in the raw frame, their shifts registered.", ""]
            lines += [
                "| held-out views | method | uncorrected | aligned | ratio | estimated roll, degrees |",
                "|---" * 6 + "|",
            ]
            for name, cell in by_set.items():
                for method in config.methods if {UNCORRECTED, ALIGNED} <= set(cell) else ():
                    before, after = cell[UNCORRECTED][method], cell[ALIGNED][method]
                    values = f"{before:.3f} | {after:.3f} | {after / before:.2f}"
                    lines.append(f"| {name} | {method} | {values} | {cell[ALIGNED]['roll_deg']:.2f} |")
    return "\n".join(lines) + "\n"


def motion_tables(config: Config, by_seed: dict[str, dict]) -> list[str]:
    """Lines of Markdown: PSNR in every state, the distance of each scan, and the errors of the motion."""
    lines = ["", "Simulated volumes: PSNR, dB, after registration of the volume, mean of the scans.", ""]
    lines += ["| scan | " + " | ".join(config.methods) + " |", "|---" * (1 + len(config.methods)) + "|"]
    attributed = [cell for seed, cell in by_seed.items() if int(seed) in config.attributed]
    groups = ((by_seed.values(), (NO_MOTION, UNCORRECTED, ALIGNED)), (attributed, (ALIGNED, *TRUE_PARTS)))
    for of_group, states in groups:
        for state in states:
            if done := [cell[state] for cell in of_group if state in cell]:
                means = [f"{np.mean([result[method] for result in done]):.2f}" for method in config.methods]
                lines.append(f"| {state} ({len(done)} scans) | " + " | ".join(means) + " |")
    done = [cell for cell in by_seed.values() if {NO_MOTION, ALIGNED} <= set(cell)]
    lines += ["", "Aligned minus never displaced, dB, one value per scan:", ""]
    for method in config.methods:
        differences = [cell[ALIGNED][method] - cell[NO_MOTION][method] for cell in done]
        lines.append(f"- {method}: " + ", ".join(f"{value:+.2f}" for value in differences))
    errors = [cell[ALIGNED]["motion_error"] for cell in by_seed.values() if ALIGNED in cell]
    lines += ["", "RMS error of the estimated motion, one value per scan:", ""]
    for name, unit in (("shifts", "bins"), ("row_shifts", "rows"), ("gain", "")):
        values = ", ".join(f"{error[name]:.3f}" for error in errors)
        lines.append(f"- {name.replace('_', ' ')}: {values} {unit}".rstrip())
    for name, label, unit in (("center", "centre", "bins"), ("roll_deg", "roll", "degrees")):
        lines.append(f"- {label}: " + ", ".join(f"{error[name]:+.2f}" for error in errors) + f" {unit}")
    return lines


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first simulated scan, of the chip and of the catalyst, in each state."""
    method = config.methods[-1]
    rows = [("motion", str(config.seeds[0]), (NO_MOTION, UNCORRECTED, ALIGNED))]
    rows += [("chip", name, (UNCORRECTED, ALIGNED)) for name in [*config.held_out][:1]]
    rows += [("catalyst", config.catalyst, (UNCORRECTED, ALIGNED))] if config.catalyst else []
    rows = [row for row in rows if row[0] in results]
    figure = Figure(figsize=(9, 3.2 * len(rows)), layout="constrained")
    for line, (part, name, states) in zip(figure.subplots(len(rows), 3, squeeze=False), rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, state in zip(line, states, strict=False):
            if (image := images.get(f"{part}/{name}/{state}/{method}")) is not None:
                high = np.quantile(image.astype(float), 0.999) if part == "motion" else 1.1
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=high)
                title = "simulated" if part == "motion" else part
                axis.set_title(f"{title}, {state}, {method}", fontsize=9)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", choices=PARTS, help="run one part only")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    selected = cells(config, PARTS if options.only is None else (options.only,))
    run_experiment(
        NAME,
        options,
        config,
        selected,
        measure,
        tables,
        picture,
        priors=[find_method("pfitre").defaults["prior"], CATALYST_PRIOR],
        pictured=selected,
    )


if __name__ == "__main__":
    main()
