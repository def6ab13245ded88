"""See :mod:`experiments.slow_drift.config`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import middle
from experiments.record import carry_out, command_line
from experiments.slow_drift.config import PRESETS, Config
from experiments.volume_scans import off, registered, simulate

NAME = "slow_drift"
#: How the views lie.
LIES = STRAIGHT, AS_MEASURED, EACH, DRIFT = "never moved", "as measured", "--align", "--align --drift"


def measure(config: Config, level: str, seed: str, lie: str) -> tuple[dict, dict]:
    """PSNR of each method after its volume is registered, and how well the motion was found."""
    made = simulate(config.scans, int(seed))
    straight, views = made.straight, config.scans.views
    at, still = np.arange(views) / views, np.zeros(views)
    moved = (config.drift * np.sin(2 * np.pi * at), config.along_rows * np.cos(np.pi * at))
    motion = pf.Motion(straight.theta_rad, *moved, still + 1, still, 0.0, straight.center)
    # What comes from beyond the outermost rows is not known.
    values, mask = motion.undo(straight.projections) if lie != STRAIGHT else (straight.projections, True)
    g = np.random.default_rng([int(seed), 1])
    noise = float(level) * straight.projections.max() * g.standard_normal(values.shape)
    scan = pf.Scan.create(
        (values + noise).astype(np.float32),
        straight.theta_rad,
        center=straight.center,
        mask=np.broadcast_to(mask, values.shape),
    )
    facts, images = {}, {"truth": made.truth[config.scans.rows // 2]}
    if lie in (EACH, DRIFT):
        found = pf.align(scan, roll=False, gain=False, drift=lie == DRIFT).motion
        facts["off"] = off(found, motion, straight.theta_rad)
        scan = found.corrected(scan)
    for method in config.methods:
        volume = middle(pf.reconstruct(scan, method).volume, config.scans.size)
        facts[method] = registered(volume, made.truth, straight.geometry())
        images[method] = volume[config.scans.rows // 2]
    return facts, images


def tables(config: Config, results: dict) -> str:
    """Markdown: for each noise the means over the scans."""
    mean = lambda values: f"{np.mean(values):.2f}" if values else ""  # noqa: E731
    lines = ["| noise | | " + " | ".join(LIES) + " |", "|---" * 6 + "|"]
    for level, by_seed in results.items():
        found = {lie: [by_lie[lie] for by_lie in by_seed.values() if lie in by_lie] for lie in LIES}
        for method in config.methods:
            told = [mean([cell[method] for cell in found[lie]]) for lie in LIES]
            lines.append(f"| {level} | {method}, dB | " + " | ".join(told) + " |")
        for name in ("shifts", "row_shifts"):
            told = [mean([cell["off"][name] for cell in found[lie] if "off" in cell]) for lie in LIES]
            lines.append(f"| | {name.replace('_', ' ')}, rms off, bins | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of the first scan with each noise, by the first method."""
    method, seed = config.methods[0], config.seeds[0]
    figure = Figure(figsize=(13, 2.9 * len(config.noise)), layout="constrained")
    lines = figure.subplots(len(config.noise), 5, squeeze=False)
    for line, level in zip(lines, config.noise, strict=True):
        names = {"truth": f"{level}/{seed}/{STRAIGHT}/truth"}
        names |= {lie: f"{level}/{seed}/{lie}/{method}" for lie in LIES}
        for axis, (name, key) in zip(line, names.items(), strict=True):
            axis.set_axis_off()
            if (image := images.get(key)) is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
                axis.set_title(name if name == "truth" else f"{name}, noise {level}", fontsize=9)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    todo = [(str(a), str(seed), lie) for a in config.noise for seed in config.seeds for lie in LIES]
    carry_out(NAME, options, config, todo, measure, tables, picture, priors=[], pictured=todo)


if __name__ == "__main__":
    main()
