"""Self-supervised adaptation of the prior; see :mod:`experiments.self_supervision.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import Reference, crop_center, scan_with_reference
from experiments.common.real_scans import (
    CHIP,
    CHIP_CENTER,
    CHIP_ROLL_DEG,
    FULL_ANGLE,
    ReferencedSample,
    is_available,
    leading_angles,
    limit_angle,
    load_chip,
    prediction_error,
)
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import VolumeScans, has_layout, simulate
from experiments.self_supervision.config import PRESETS, Config
from pfitre_jax.evaluation import Cell, simulate_cell

NAME = "self_supervision"
CIRCUITS, LAYOUTS, SLICES, CU_23 = "circuits", "layouts", "slices", "Cu_23"
#: Kinds of simulated scans.
SIMULATED = (CIRCUITS, LAYOUTS, SLICES)
BEFORE, AFTER, TRUTH = "before", "after", "truth"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: kind of scan, scan, settings of the adaptation."""
    scans = [(CIRCUITS, str(seed)) for seed in config.circuits]
    if config.layouts and has_layout():
        scans += [(LAYOUTS, str(seed)) for seed in config.layouts]
    scans += [(SLICES, str(seed)) for seed in config.slices]
    if config.chip and is_available(f"{CHIP}.tiff"):
        scans += [(CU_23, views) for views in config.chip]
    for name in config.real:
        if is_available(FULL_ANGLE[name].file):
            scans += [(name, f"{missing:g} degrees") for missing in config.real_missing_deg]
    return [(*scan, settings) for settings in config.settings for scan in scans]


def measure(config: Config, kind: str, name: str, settings: str) -> tuple[dict, dict]:
    """Score before and after the adaptation, the decision, and the errors of all rounds."""
    if kind == CU_23:
        scan, held_out = chip(config, config.chip[name])
        score = lambda result: {"error": prediction_error(result, held_out)}  # noqa: E731
        images = {}
    else:
        scan, reference = simulated(config, kind, int(name)) if kind in SIMULATED else limited(kind, name)
        score = reference.measures
        images = {TRUTH: reference.images[len(reference.images) // 2]}
    solve = functools.partial(pf.reconstruct, scan, prior=config.prior, iterations=config.iterations)
    before = solve()
    after = solve(adapt=config.settings[settings], scale=before.scale)
    for label, result in ((BEFORE, before), (AFTER, after)):
        images[label] = crop_center(result.volume, scan.columns)[scan.rows // 2] / result.scale
    if TRUTH in images:
        images[TRUTH] = images[TRUTH] * reference.scale / before.scale
    seconds = after.selection["adaptation"]["rounds"][-1]["seconds"]
    return {
        BEFORE: score(before),
        AFTER: score(after),
        "seconds": seconds,
        "adaptation": after.selection["adaptation"],
    }, images


def simulated(config: Config, kind: str, seed: int) -> tuple[pf.Scan, Reference]:
    """Simulated scan of a held-out volume or slice, without artifacts but noise, and its truth."""
    if kind == LAYOUTS:
        scans = VolumeScans(config.size, config.rows, config.views, config.missing_deg, config.noise)
        volume = simulate(scans, seed, layout=True)
        return volume.ideal, Reference.from_truth(volume.truth, volume.ideal)
    orientations = config.circuits if kind == CIRCUITS else config.slices
    center_deg = 180 * orientations.index(seed) / len(orientations)
    scan_of = functools.partial(Cell, "orientation", f"{center_deg:g}", (), center_deg)
    cell = scan_of(config.missing_deg, config.views, config.noise, "heldout", (seed,))
    _, scans = simulate_cell(cell, config.rows if kind == CIRCUITS else 1, config.size)
    projections = np.moveaxis(np.asarray(scans.sinograms), 0, 1)
    theta = np.asarray(scans.problem.A.geometry.theta_rad, float)
    scan = pf.Scan.create(projections, theta, center=(config.size - 1) / 2)
    return scan, Reference.from_truth(np.asarray(scans.truth), scan)


def chip(config: Config, views: str) -> tuple[pf.Scan, pf.Scan]:
    """Some rows of Cu_23 without the held-out views, and these views."""
    load = functools.partial(load_chip, CHIP_CENTER, CHIP_ROLL_DEG)
    scan, held_out = load(exclude_views=views), load(views=views)
    rows = range(2, scan.rows, config.chip_row_step)
    return scan.take_rows(rows), held_out.take_rows(rows)


def limited(name: str, missing: str) -> tuple[pf.Scan, Reference]:
    """A measured scan without some of its angular range, and its reference from all views."""
    sample, missing_deg = FULL_ANGLE[name], float(missing.removesuffix(" degrees"))
    full, reference = scan_with_reference(sample, "fista-tv")
    limit = leading_angles if isinstance(sample, ReferencedSample) else limit_angle
    return pf.with_air(limit(full, missing_deg)), reference


def gain(cell: dict) -> float:
    """PSNR gained, dB; for held-out views the ratio of their errors."""
    before, after = cell[BEFORE], cell[AFTER]
    return after["error"] / before["error"] if "error" in after else after["psnr"] - before["psnr"]


def tables(config: Config, results: dict) -> str:
    """Markdown: mean and worst gain by kind of scan, and one line for each scan."""
    lines = ["Gain: dB; for Cu_23 the ratio of the errors on views that nothing else uses.", ""]
    lines += ["| scans | settings | mean gain | worst | adapted | minutes |", "|---" * 6 + "|"]
    for kind, by_name in results.items():
        for settings in config.settings:
            done = [by_settings[settings] for by_settings in by_name.values() if settings in by_settings]
            if not done:
                continue
            gains = [gain(cell) for cell in done]
            ratio = "error" in done[0][AFTER]
            worst, sign = (max(gains), "") if ratio else (min(gains), "+")
            adapted = sum(cell["adaptation"]["chosen"] > 0 for cell in done)
            minutes = np.mean([cell["seconds"] for cell in done]) / 60
            lines.append(
                f"| {kind} | {settings} | {np.mean(gains):{sign}.3g} | {worst:{sign}.3g} | {adapted} of "
                f"{len(done)} | {minutes:.1f} |"
            )
    lines += ["", "| scan | settings | before | after | gain | round kept |", "|---" * 6 + "|"]
    for kind, by_name in results.items():
        for name, by_settings in by_name.items():
            for settings, cell in by_settings.items():
                measure = "error" if "error" in cell[AFTER] else "psnr"
                digits = ".4f" if measure == "error" else ".2f"
                before, after = (f"{cell[label][measure]:{digits}}" for label in (BEFORE, AFTER))
                text = f"{gain(cell):.3f}" if measure == "error" else f"{gain(cell):+.2f}"
                record = cell["adaptation"]
                kept = f"{record['chosen']} of {len(record['rounds']) - 1}"
                lines.append(f"| {kind} {name} | {settings} | {before} | {after} | {text} | {kept} |")
    return "\n".join(lines) + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first scan of each kind: truth, before, after, and the difference."""
    first = [(kind, next(iter(by_name)), next(iter(config.settings))) for kind, by_name in results.items()]
    figure = Figure(figsize=(11, 2.9 * max(len(first), 1)), layout="constrained")
    lines = figure.subplots(max(len(first), 1), 4, squeeze=False)
    for axis in lines.ravel():
        axis.set_axis_off()
    for line, cell in zip(lines, first, strict=False):
        shown = {label: images.get("/".join((*cell, label))) for label in (TRUTH, BEFORE, AFTER)}
        for axis, (label, image) in zip(line, shown.items(), strict=False):
            if image is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.3)
                axis.set_title(f"{cell[0]} {cell[1]}, {label}", fontsize=8)
        if shown[BEFORE] is not None and shown[AFTER] is not None:
            difference = shown[AFTER].astype(np.float32) - shown[BEFORE].astype(np.float32)
            line[3].imshow(difference, cmap="gray", vmin=-0.5, vmax=0.5)
            line[3].set_title("after - before, -0.5 to 0.5", fontsize=8)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", metavar="KIND", help="only scans of this kind, for example circuits")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    chosen = [cell for cell in cells(config) if options.only in (None, cell[0])]
    run_experiment(NAME, options, config, chosen, measure, tables, picture, priors=[config.prior])


if __name__ == "__main__":
    main()
