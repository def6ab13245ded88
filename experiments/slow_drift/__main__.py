"""Alignment of a drifting sample; see :mod:`experiments.slow_drift.config`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import crop_center
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import motion_error, simulate
from experiments.slow_drift.config import PRESETS, Config

NAME = "slow_drift"
STATES = NO_MOTION, UNCORRECTED, EACH_VIEW, DRIFT = "no motion", "uncorrected", "--align", "--align --drift"


def measure(config: Config, level: str, seed: str, state: str) -> tuple[dict, dict]:
    """Registered PSNR of each method, and the error of the estimated motion."""
    volume = simulate(config.scans, int(seed))
    ideal, views = volume.ideal, config.scans.views
    time, zeros = np.arange(views) / views, np.zeros(views)
    shifts = config.drift * np.sin(2 * np.pi * time)
    row_shifts = config.along_rows * np.cos(np.pi * time)
    motion = pf.Motion(ideal.theta_rad, shifts, row_shifts, zeros + 1, zeros, 0.0, ideal.center)
    # Rows that move in from outside of the volume are unknown and masked.
    values, mask = motion.undo(ideal.projections) if state != NO_MOTION else (ideal.projections, True)
    rng = np.random.default_rng([int(seed), 1])
    noise = float(level) * ideal.projections.max() * rng.standard_normal(values.shape)
    scan = pf.Scan.create(
        (values + noise).astype(np.float32),
        ideal.theta_rad,
        center=ideal.center,
        mask=np.broadcast_to(mask, values.shape),
    )
    results, images = {}, {"truth": volume.truth[config.scans.rows // 2]}
    if state in (EACH_VIEW, DRIFT):
        estimate = pf.align(scan, roll=False, gain=False, drift=state == DRIFT).motion
        results["motion_error"] = motion_error(estimate, motion, ideal.theta_rad)
        scan = estimate.corrected(scan)
    for method in config.methods:
        image = crop_center(pf.reconstruct(scan, method).volume, config.scans.size)
        results[method] = volume.registered_psnr(image)
        images[method] = image[config.scans.rows // 2]
    return results, images


def tables(config: Config, results: dict) -> str:
    """Markdown: means over the volumes for each noise level."""
    mean = lambda values: f"{np.mean(values):.2f}" if values else ""  # noqa: E731
    lines = ["| noise | | " + " | ".join(STATES) + " |", "|---" * 6 + "|"]
    for level, by_seed in results.items():
        cells = {
            state: [by_state[state] for by_state in by_seed.values() if state in by_state] for state in STATES
        }
        for method in config.methods:
            texts = [mean([cell[method] for cell in cells[state]]) for state in STATES]
            lines.append(f"| {level} | PSNR of {method}, dB | " + " | ".join(texts) + " |")
        for name, unit in (("shifts", "bins"), ("row_shifts", "rows")):
            texts = [
                mean([cell["motion_error"][name] for cell in cells[state] if "motion_error" in cell])
                for state in STATES
            ]
            lines.append(f"| | RMS error of {name.replace('_', ' ')}, {unit} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first volume at each noise level, by the first method."""
    method, seed = config.methods[0], config.seeds[0]
    figure = Figure(figsize=(13, 2.9 * len(config.noise)), layout="constrained")
    lines = figure.subplots(len(config.noise), 5, squeeze=False)
    for line, level in zip(lines, config.noise, strict=True):
        keys = {"truth": f"{level}/{seed}/{NO_MOTION}/truth"}
        keys |= {state: f"{level}/{seed}/{state}/{method}" for state in STATES}
        for axis, (name, key) in zip(line, keys.items(), strict=True):
            axis.set_axis_off()
            if (image := images.get(key)) is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
                axis.set_title(name if name == "truth" else f"{name}, noise {level}", fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    cells = [(str(a), str(seed), state) for a in config.noise for seed in config.seeds for state in STATES]
    run_experiment(NAME, options, config, cells, measure, tables, picture, priors=[], pictured=cells)


if __name__ == "__main__":
    main()
