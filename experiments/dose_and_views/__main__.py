"""See :mod:`experiments.dose_and_views.config`."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments import real_scans
from experiments.comparing import Reference, at_best
from experiments.dose_and_views.config import PRESETS, Chip, Config
from experiments.dose_and_views.dose import saving
from experiments.record import carry_out, command_line
from experiments.simulated_scans import simulate
from pfitre_jax.data import correct_roll
from pfitre_jax.solvers.parameters.noise import noise_from_differences

NAME = "dose_and_views"
TWIN, CHIP = "twin", "Cu_23"
ARMS = ("views", "counts")


def cells(config: Config) -> list[tuple[str, str, str]]:
    """A sample, where its file is there, the arm, and what the views or counts are divided by."""
    samples = [TWIN, *(name for name, sample in config.real.items() if real_scans.is_there(sample.file))]
    if config.chip is not None and real_scans.is_there(f"{real_scans.CHIP}.tiff"):
        samples.append(CHIP)
    steps = [("all", 1), *(("views", n) for n in config.every), *(("counts", n) for n in config.divisors)]
    return [(sample, arm, str(n)) for sample in samples for arm, n in steps]


def measure(config: Config, sample: str, arm: str, n: str) -> tuple[dict, dict]:
    """Dose, and of each method at its best setting PSNR and SSIM; of the chip the error on views left out,
    and ``-20 log10`` of it, dB."""
    divisor = int(n) if arm == "counts" else 1
    if sample == TWIN:
        scan, truth = simulate(config.twin, config.missing_deg, photons=config.photons / divisor)
        judge, prior = Reference.of_truth(truth, scan).measures, config.twin.prior
    elif sample == CHIP:
        scan, hidden = chip(config.chip, divisor, config.seed)
        judge, prior = functools.partial(predicted, hidden), config.chip.prior
    else:
        real = config.real[sample]
        scan = real_scans.full_angle(real, 1 / divisor, config.seed)
        scan, prior = real_scans.limited(scan, config.missing_deg), real.prior
        judge = reference(real, config.reference).measures
    views = scan.views
    if arm == "views":
        scan = scan.select_views(slice(0, views, int(n)))
    made = {}
    for method in config.methods:
        result, found = at_best(
            scan,
            method,
            lambda result: -quality(judge(result)),
            {"weight": config.weights, "rho": config.rhos},
            prior=prior,
            iterations=config.iterations,
        )
        made[method] = judge(result) | found
    return {"dose": scan.views / views / divisor, "views": scan.views, "methods": made}, {}


def quality(measures: dict) -> float:
    """In dB, larger is better."""
    return measures["psnr"] if "psnr" in measures else measures["prediction_db"]


def predicted(hidden: pf.Scan, result: pf.Result) -> dict[str, float]:
    error = real_scans.prediction_error(result, hidden)
    return {"error": error, "prediction_db": float(-20 * np.log10(error))}


@functools.cache
def reference(sample: real_scans.FullAngle, method: str) -> Reference:
    """What all views and all counts of a real scan make."""
    return Reference.of_all_views(real_scans.full_angle(sample), method)


def chip(config: Chip, divisor: int, seed: int) -> tuple[pf.Scan, pf.Scan]:
    """The chip as if taken with a ``divisor``-th of its counts, and its views left out; the roll is mended.

    The noise is added to what was measured, before anything is turned, and has one variance everywhere.
    """
    raw = real_scans.chip(config.center, exclude_views=config.views)
    sigma = float(noise_from_differences(np.moveaxis(raw.projections, 1, 0), np.moveaxis(raw.mask, 1, 0)))
    noise = np.random.default_rng(seed).standard_normal(raw.projections.shape, np.float32)
    noisy = raw.projections + np.float32(sigma * np.sqrt(divisor - 1)) * noise
    seen = raw.with_projections(np.where(raw.mask, noisy, 0))
    hidden = real_scans.chip(config.center, config.roll_deg, views=config.views)
    return tuple(
        real_scans.rows_of(scan, config.rows) for scan in (correct_roll(seen, config.roll_deg), hidden)
    )


def curve(by_arm: dict, arm: str, method: str) -> tuple[list[float], list[float]]:
    """Doses and qualities of a method, the largest dose first."""
    cells = [*by_arm["all"].values(), *by_arm.get(arm, {}).values()]
    return [cell["dose"] for cell in cells], [quality(cell["methods"][method]) for cell in cells]


def tables(config: Config, results: dict) -> str:
    """Markdown: every cell, with the dose that the second method saves at the first one's quality."""
    theirs, ours = config.methods
    lines = [
        f"Quality: PSNR, dB; of {CHIP} -20 log10 of the error on views left out. Saving: dose of {theirs} "
        f"over that of {ours} at equal quality; > and <: the curve of {ours} ends before.",
        "",
        f"| sample | | dose | views | {theirs} | {ours} | saving |",
        "|---|---|---|---|---|---|---|",
    ]
    for sample, by_arm in results.items():
        for arm in (arm for arm in ARMS if arm in by_arm):
            for n, cell in [*by_arm["all"].items(), *by_arm[arm].items()]:
                both = [quality(cell["methods"][method]) for method in config.methods]
                saved = saving(cell["dose"], both[0], *curve(by_arm, arm, ours))
                lines.append(
                    f"| {sample} | {arm} / {n} | {cell['dose']:.3g} | {cell['views']} | {both[0]:.2f} | "
                    f"{both[1]:.2f} | {saved} |"
                )
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images) -> Figure:
    """Quality by dose, a panel for each sample: a colour for each method, a line style for each arm."""
    figure = Figure(figsize=(4 * len(results), 3.8), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (sample, by_arm) in zip(axes, results.items(), strict=True):
        for number, method in enumerate(config.methods):
            for arm, style in zip(ARMS, ("s--", "o-"), strict=True):
                doses, qualities = curve(by_arm, arm, method)
                label = f"{method}, fewer {arm}"
                axis.semilogx(doses, qualities, style, ms=4, color=f"C{number}", label=label)
        unit = "error on views left out, -20 log10" if sample == CHIP else "PSNR, dB"
        axis.set(title=sample, xlabel="dose, share of all", ylabel=unit)
    axes[0].legend(fontsize=7)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    carry_out(
        NAME,
        options,
        config,
        cells(config),
        measure,
        tables,
        picture,
        priors={config.twin.prior, *(sample.prior for sample in config.real.values())},
    )


if __name__ == "__main__":
    main()
