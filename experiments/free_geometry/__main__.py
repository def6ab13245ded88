"""Joint adaptation of prior and view positions; see :mod:`experiments.free_geometry.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import crop_center
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import motion_error, simulate
from experiments.free_geometry.config import PRESETS, Config
from pfitre_jax.contrib import fit_view_prediction
from pfitre_jax.estimation import calibrate
from pfitre_jax.reconstruction import find_method

NAME = "free_geometry"
NO_MOTION, UNCORRECTED, ALIGNED = "no motion", "uncorrected", "TV alignment (--align)"
#: Adaptations: whether each adapts the prior, and the view positions.
ADAPTATIONS = {
    "prior adapted": (True, False),
    "views adapted": (False, True),
    "prior and views adapted": (True, True),
}
STATES = (NO_MOTION, UNCORRECTED, ALIGNED, *ADAPTATIONS)


def measure(config: Config, seed: str, state: str) -> tuple[dict, dict]:
    """Registered PSNR of ``pfitre``, and the error of the view positions."""
    volume = simulate(config.scans, int(seed))
    scan = volume.ideal if state == NO_MOTION else volume.moved
    results: dict = {}
    prior = pf.priors.pretrained(find_method("pfitre").defaults["prior"])
    motion = pf.Motion.none(scan.theta_rad, scan.center)
    if state == ALIGNED:
        motion = pf.align(scan, roll=False, rows=False, gain=False).motion
    if state in ADAPTATIONS:
        adapt_prior, adapt_views = ADAPTATIONS[state]
        rates = {"rate": config.rate * adapt_prior, "geometry_rate": config.geometry_rate * adapt_views}
        settings = dataclasses.replace(config.settings, **rates)
        calibration = calibrate(scan, "scale")
        masks = np.moveaxis(scan.mask, 1, 0).astype(np.float32)
        sinograms = masks * np.moveaxis(scan.projections, 1, 0) / np.float32(calibration.scale)
        adapted = fit_view_prediction(prior, calibration.problem, sinograms, masks, settings)
        prior, motion = adapted.prior, dataclasses.replace(motion, shifts=adapted.shifts)
        results |= {"step": adapted.step, "errors": adapted.errors, "steps": adapted.check_steps}
    if state != NO_MOTION:
        results["shift_error"] = motion_error(motion, volume.motion, scan.theta_rad)["shifts"]
    image = pf.reconstruct(motion.corrected(scan), "pfitre", prior=prior).volume
    image = crop_center(image, config.scans.size)
    results["psnr"] = volume.registered_psnr(image)
    return results, {"row": image[config.shown_row], "truth": volume.truth[config.shown_row]}


def tables(config: Config, results: dict) -> str:
    """Markdown: one line for each state, means over the scans."""
    lines = ["| | PSNR, dB | RMS error of shifts, bins | steps |", "|---" * 4 + "|"]
    for state in STATES:
        cells = [by_state[state] for by_state in results.values() if state in by_state]
        if cells:
            mean = lambda name: np.mean([cell[name] for cell in cells])  # noqa: B023, E731
            shifts = f"{mean('shift_error'):.2f}" if "shift_error" in cells[0] else ""
            steps = ", ".join(str(cell["step"]) for cell in cells if "step" in cell)
            lines.append(f"| {state} | {mean('psnr'):.2f} | {shifts} | {steps} |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first scan in each state, and the validation error by step."""
    seed = str(config.seeds[0])
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(2, 4).ravel()
    for axis, state in zip(axes, ("truth", *STATES), strict=False):
        axis.set(xticks=[], yticks=[])
        axis.set_title(state, fontsize=9)
        name = f"{seed}/{NO_MOTION}/truth" if state == "truth" else f"{seed}/{state}/row"
        if name in images:
            axis.imshow(images[name].astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
    for state in ADAPTATIONS:
        if cell := results.get(seed, {}).get(state):
            axes[-1].plot(cell["steps"], cell["errors"], "o-", ms=3, label=state)
    axes[-1].set(xlabel="step", title="error on validation views")
    if axes[-1].lines:
        axes[-1].legend(fontsize=7)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    cells = [(str(seed), state) for seed in config.seeds for state in STATES]
    priors = [find_method("pfitre").defaults["prior"]]
    run_experiment(NAME, options, config, cells, measure, tables, picture, priors=priors, pictured=cells)


if __name__ == "__main__":
    main()
