"""Quality by dose; see :mod:`experiments.dose_and_views.config`."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common import real_scans
from experiments.common.comparison import Reference, reconstruct_at_best
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_scans import simulate
from experiments.dose_and_views.config import PRESETS, Chip, Config
from experiments.dose_and_views.dose import dose_saving
from pfitre_jax.data import correct_roll
from pfitre_jax.solvers import noise_from_differences

NAME = "dose_and_views"
TWIN, CHIP = "twin", "Cu_23"
#: Ways to reduce the dose.
REDUCTIONS = ("views", "counts")


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: sample (if its file is available), reduction, divisor of the views or counts."""
    samples = [TWIN, *(name for name, sample in config.real.items() if real_scans.is_available(sample.file))]
    if config.chip is not None and real_scans.is_available(f"{real_scans.CHIP}.tiff"):
        samples.append(CHIP)
    steps = [("all", 1), *(("views", n) for n in config.every), *(("counts", n) for n in config.divisors)]
    return [(sample, reduction, str(n)) for sample in samples for reduction, n in steps]


def measure(config: Config, sample: str, reduction: str, n: str) -> tuple[dict, dict]:
    """Dose and number of views, and the measures of each method at its best setting.

    The measures are PSNR and SSIM; for the chip the error on held-out views, also in dB.
    """
    divisor = int(n) if reduction == "counts" else 1
    if sample == TWIN:
        scan, truth = simulate(config.twin, config.missing_deg, photons=config.photons / divisor)
        evaluate, prior = Reference.from_truth(truth, scan).measures, config.twin.prior
    elif sample == CHIP:
        scan, held_out = noisy_chip(config.chip, divisor, config.seed)
        evaluate, prior = functools.partial(prediction_measures, held_out), config.chip.prior
    else:
        real = config.real[sample]
        scan = real_scans.load_full_angle(real, 1 / divisor, config.seed)
        scan, prior = real_scans.limit_angle(scan, config.missing_deg), real.prior
        evaluate = reference(real, config.reference).measures
    views = scan.views
    if reduction == "views":
        scan = scan.select_views(slice(0, views, int(n)))
    by_method = {}
    for method in config.methods:
        result, best = reconstruct_at_best(
            scan,
            method,
            lambda result: -quality(evaluate(result)),
            {"weight": config.weights, "rho": config.rhos},
            prior=prior,
            iterations=config.iterations,
        )
        by_method[method] = evaluate(result) | best
    return {"dose": scan.views / views / divisor, "views": scan.views, "methods": by_method}, {}


def quality(measures: dict) -> float:
    """Quality in dB; larger is better."""
    return measures["psnr"] if "psnr" in measures else measures["prediction_db"]


def prediction_measures(held_out: pf.Scan, result: pf.Result) -> dict[str, float]:
    """Error on held-out views, and ``-20 log10`` of it, dB."""
    error = real_scans.prediction_error(result, held_out)
    return {"error": error, "prediction_db": float(-20 * np.log10(error))}


@functools.cache
def reference(sample: real_scans.FullAngleSample, method: str) -> Reference:
    """Reference of a real scan, from all views and all counts."""
    return Reference.from_full_scan(real_scans.load_full_angle(sample), method)


def noisy_chip(config: Chip, divisor: int, seed: int) -> tuple[pf.Scan, pf.Scan]:
    """Chip with the noise of ``1/divisor`` of its counts, and its held-out views; both corrected for roll.

    The noise has the same variance in every bin and is added to the raw data, before the roll correction.
    """
    raw = real_scans.load_chip(config.center, exclude_views=config.views)
    sigma = float(noise_from_differences(np.moveaxis(raw.projections, 1, 0), np.moveaxis(raw.mask, 1, 0)))
    noise = np.random.default_rng(seed).standard_normal(raw.projections.shape, np.float32)
    noisy = raw.projections + np.float32(sigma * np.sqrt(divisor - 1)) * noise
    used = raw.with_projections(np.where(raw.mask, noisy, 0))
    held_out = real_scans.load_chip(config.center, config.roll_deg, views=config.views)
    scans = (correct_roll(used, config.roll_deg), held_out)
    return tuple(scan.take_rows(config.rows) for scan in scans)


def curve(by_reduction: dict, reduction: str, method: str) -> tuple[list[float], list[float]]:
    """Doses and qualities of a method, the largest dose first."""
    cells = [*by_reduction["all"].values(), *by_reduction.get(reduction, {}).values()]
    return [cell["dose"] for cell in cells], [quality(cell["methods"][method]) for cell in cells]


def tables(config: Config, results: dict) -> str:
    """Markdown: every cell, with the dose saving of the second method over the first."""
    baseline, ours = config.methods
    lines = [
        f"Quality: PSNR, dB; for {CHIP} -20 log10 of the error on held-out views. Saving: dose of "
        f"{baseline} over the dose of {ours} at equal quality; > and <: the curve of {ours} "
        "does not reach that quality.",
        "",
        f"| sample | reduction | dose | views | {baseline} | {ours} | saving |",
        "|---|---|---|---|---|---|---|",
    ]
    for sample, by_reduction in results.items():
        for reduction in (name for name in REDUCTIONS if name in by_reduction):
            for n, cell in [*by_reduction["all"].items(), *by_reduction[reduction].items()]:
                qualities = [quality(cell["methods"][method]) for method in config.methods]
                saving = dose_saving(cell["dose"], qualities[0], *curve(by_reduction, reduction, ours))
                lines.append(
                    f"| {sample} | {reduction} / {n} | {cell['dose']:.3g} | {cell['views']} | "
                    f"{qualities[0]:.2f} | {qualities[1]:.2f} | {saving} |"
                )
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images) -> Figure:
    """Quality by dose, one panel for each sample: colours are methods, line styles are reductions."""
    figure = Figure(figsize=(4 * len(results), 3.8), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (sample, by_reduction) in zip(axes, results.items(), strict=True):
        for number, method in enumerate(config.methods):
            for reduction, style in zip(REDUCTIONS, ("s--", "o-"), strict=True):
                doses, qualities = curve(by_reduction, reduction, method)
                label = f"{method}, fewer {reduction}"
                axis.semilogx(doses, qualities, style, ms=4, color=f"C{number}", label=label)
        unit = "error on held-out views, -20 log10" if sample == CHIP else "PSNR, dB"
        axis.set(title=sample, xlabel="relative dose", ylabel=unit)
    axes[0].legend(fontsize=7)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    priors = {config.twin.prior, *(sample.prior for sample in config.real.values())}
    run_experiment(NAME, options, config, cells(config), measure, tables, picture, priors=priors)


if __name__ == "__main__":
    main()
