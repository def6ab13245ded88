"""See :mod:`experiments.free_geometry.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import middle
from experiments.free_geometry.config import PRESETS, Config
from experiments.record import carry_out, command_line
from experiments.volume_scans import off, registered, simulate
from pfitre_jax.reconstruction import find_method

NAME = "free_geometry"
#: How the views lie, and what is free while the prior is adapted.
STRAIGHT, AS_MEASURED, ALIGNED = "never moved", "as measured", "aligned by variation (--align)"
PRIOR, VIEWS, BOTH = "prior free", "views free", "prior and views free"
FREE = {PRIOR: (True, False), VIEWS: (False, True), BOTH: (True, True)}


def cells(config: Config) -> list[tuple[str, str]]:
    """Scan, and what is done."""
    every = (STRAIGHT, AS_MEASURED, ALIGNED, *FREE)
    return [(str(seed), what) for seed in config.seeds for what in every]


def measure(config: Config, seed: str, what: str) -> tuple[dict, dict]:
    """PSNR of ``pfitre`` after registration, and how far the views are off."""
    made = simulate(config.scans, int(seed))
    scan = made.straight if what == STRAIGHT else made.moved
    facts: dict = {}
    prior = pf.priors.pretrained(find_method("pfitre").defaults["prior"])
    motion = pf.Motion.none(scan.theta_rad, scan.center)
    if what == ALIGNED:
        motion = pf.align(scan, roll=False, rows=False, gain=False).motion
    if what in FREE:
        learns, moves = FREE[what]
        rates = {"rate": config.rate * learns, "geometry_rate": config.geometry_rate * moves}
        settings = dataclasses.replace(config.settings, **rates)
        adapted = pf.adapt(scan, prior, rows=slice(0, scan.rows), settings=settings)
        prior, motion = adapted.prior, dataclasses.replace(motion, shifts=adapted.shifts)
        facts |= {"step": adapted.step, "errors": adapted.errors, "looks": adapted.looks}
    if what != STRAIGHT:
        facts["off"] = off(motion, made.motion, scan.theta_rad)["shifts"]
    volume = pf.reconstruct(motion.corrected(scan), "pfitre", prior=prior).volume
    volume = middle(volume, config.scans.size)
    facts["psnr"] = registered(volume, made.truth, made.straight.geometry())
    return facts, {"row": volume[config.shown], "truth": made.truth[config.shown]}


def tables(config: Config, results: dict) -> str:
    """Markdown: a row for each way, means over the scans."""
    lines = ["| | PSNR, dB | views off, bins rms | steps |", "|---" * 4 + "|"]
    for what in (STRAIGHT, AS_MEASURED, ALIGNED, *FREE):
        found = [by_way[what] for by_way in results.values() if what in by_way]
        if found:
            mean = lambda name: np.mean([cell[name] for cell in found])  # noqa: B023, E731
            shifts = f"{mean('off'):.2f}" if "off" in found[0] else ""
            steps = ", ".join(str(cell["step"]) for cell in found if "step" in cell)
            lines.append(f"| {what} | {mean('psnr'):.2f} | {shifts} | {steps} |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of the first scan, and how the error of the judged views falls."""
    seed = str(config.seeds[0])
    figure = Figure(figsize=(12, 6), layout="constrained")
    shown = ("truth", STRAIGHT, AS_MEASURED, ALIGNED, *FREE)
    axes = figure.subplots(2, 4).ravel()
    for axis, what in zip(axes, shown, strict=False):
        axis.set(xticks=[], yticks=[])
        axis.set_title(what, fontsize=9)
        name = f"{seed}/{STRAIGHT}/truth" if what == "truth" else f"{seed}/{what}/row"
        if name in images:
            axis.imshow(images[name].astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
    for what in FREE:
        if cell := results.get(seed, {}).get(what):
            axes[-1].plot(cell["looks"], cell["errors"], "o-", ms=3, label=what)
    axes[-1].set(xlabel="step", title="error on judged views")
    if axes[-1].lines:
        axes[-1].legend(fontsize=7)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    todo = cells(config)
    carry_out(
        NAME,
        options,
        config,
        todo,
        measure,
        tables,
        picture,
        priors=[find_method("pfitre").defaults["prior"]],
        pictured=todo,
    )


if __name__ == "__main__":
    main()
