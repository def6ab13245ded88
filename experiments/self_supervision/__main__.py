"""Self-supervised adaptation of the prior; see :mod:`experiments.self_supervision.config`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import crop_center, reconstruct_at_best
from experiments.common.real_scans import CHIP, full_angle_samples, is_available, prediction_error
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import has_layout
from experiments.self_supervision.config import PRESETS, Config
from experiments.self_supervision.scans import (
    CIRCUITS,
    LAYOUTS,
    RODS,
    SIMULATED,
    SINGLE_ROWS,
    SLICES,
    VOLUMES,
    chip,
    limited,
    removed_error,
    simulated,
)
from pfitre_jax.training import AdaptationSettings

NAME = "self_supervision"
CU_23 = "Cu_23"
#: Kind of pairs of scans: the prior that is adapted to the first reconstructs the second.
REUSE = "reuse"
#: Measure of measured scans: relative error on the views that were removed.
REMOVED = "removed"
BEFORE, AFTER, TRUTH, TV = "before", "after", "truth", "fista-tv"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: kind of scan, scan, settings of the adaptation."""
    scans = [(CIRCUITS, str(seed)) for seed in config.circuits]
    if config.layouts and has_layout():
        scans += [(LAYOUTS, str(seed)) for seed in config.layouts]
        scans += [(kind, str(seed)) for seed in config.volumes for kind in (VOLUMES, SINGLE_ROWS)]
    scans += [(SLICES, str(seed)) for seed in config.slices]
    scans += [(RODS, str(seed)) for seed in config.rods]
    scans += [(REUSE, pair) for pair in config.reuse if has_layout() or not pair.startswith(LAYOUTS)]
    if config.chip and is_available(f"{CHIP}.tiff"):
        scans += [(CU_23, views) for views in config.chip]
    measured = full_angle_samples() if config.real else {}
    for name, wedges in config.real.items():
        if name in measured:
            scans += [(name, f"{missing:g} degrees") for missing in wedges]
    return [(*scan, settings) for settings in config.settings for scan in scans]


def measure(config: Config, kind: str, name: str, settings: str) -> tuple[dict, dict]:
    """Score before and after the adaptation, the decision, and the errors of all rounds."""
    if kind == CU_23:
        return predict_views(config, name, config.settings[settings])
    if kind == REUSE:
        return reuse(config, name, config.settings[settings])
    removed = None
    if kind in SIMULATED:
        scan, reference = simulated(config, kind, int(name))
    else:
        scan, reference, removed = limited(kind, name)
    volumes: list[np.ndarray] = []
    rows = slice(0, scan.rows)
    prior = config.joint_prior if kind == VOLUMES else config.prior
    adapted = pf.adapt(scan, prior, rows=rows, settings=config.settings[settings], observe=volumes.append)
    scores = [reference.volume_measures(volume) for volume in volumes]
    if removed is not None:
        scores = [
            score | {REMOVED: removed_error(volume, removed)}
            for score, volume in zip(scores, volumes, strict=True)
        ]
    middle, chosen = scan.rows // 2, adapted.record["chosen"]
    images = {
        label: crop_center(volume, scan.columns)[middle] / reference.scale
        for label, volume in ((BEFORE, volumes[0]), (AFTER, volumes[chosen]))
    }
    rounds = [r | score for r, score in zip(adapted.record["rounds"], scores, strict=True)]
    result = {BEFORE: scores[0], AFTER: scores[chosen], "adaptation": adapted.record | {"rounds": rounds}}
    return result, images | {TRUTH: reference.images[middle]}


def reuse(config: Config, pair: str, settings: AdaptationSettings) -> tuple[dict, dict]:
    """Score of a scan, with all its views, before and with the prior that was adapted to another scan."""
    kind, *seeds = pair.split()
    (first, _), (second, reference) = (simulated(config, kind, int(seed)) for seed in seeds)
    adapted = pf.adapt(first, config.prior, rows=slice(0, first.rows), settings=settings)
    before, after = (pf.reconstruct(second, prior=prior) for prior in (config.prior, adapted.prior))
    scores = {BEFORE: reference.measures(before), AFTER: reference.measures(after)}
    images = {
        label: reference.normalise(v)[second.rows // 2] for label, v in ((BEFORE, before), (AFTER, after))
    }
    rounds = [{"seconds": r["seconds"]} for r in adapted.record["rounds"]]
    rounds = [rounds[0] | scores[BEFORE], rounds[-1] | scores[AFTER]]
    record = adapted.record | {"rounds": rounds}
    return scores | {"adaptation": record}, images | {TRUTH: reference.images[second.rows // 2]}


def predict_views(config: Config, views: str, settings: AdaptationSettings) -> tuple[dict, dict]:
    """Error on held-out views of Cu_23 by TV at its best weight, and before and after the adaptation."""
    scan, held_out = chip(config, config.chip[views])
    adapted = pf.adapt(scan, config.prior, settings=settings)
    results = {BEFORE: pf.reconstruct(scan, prior=config.prior)}
    results[AFTER] = pf.reconstruct(scan, prior=adapted.prior) if adapted.changed else results[BEFORE]
    error = functools.partial(prediction_error, held_out=held_out)
    results[TV], _ = reconstruct_at_best(scan, "fista-tv", error, {"tv_weight": config.tv_weights})
    images = {
        label: crop_center(result.volume, scan.columns)[scan.rows // 2] / results[BEFORE].scale
        for label, result in results.items()
    }
    errors = {label: {"error": error(result)} for label, result in results.items()}
    return errors | {"adaptation": adapted.record}, images


def gain(cell: dict) -> float:
    """PSNR gained, dB; for held-out views the ratio of their errors."""
    before, after = cell[BEFORE], cell[AFTER]
    return after["error"] / before["error"] if "error" in after else after["psnr"] - before["psnr"]


def tables(config: Config, results: dict) -> str:
    """Markdown: mean and worst gain by kind of scan, and one line for each scan."""
    simulated_kinds = {kind: results[kind] for kind in results if kind != CU_23}
    lines = [
        "| scans | settings | mean gain, dB | worst | best round | adapted | minutes |",
        "|---" * 7 + "|",
    ]
    for kind, by_name in simulated_kinds.items():
        for settings in config.settings:
            done = [by_settings[settings] for by_settings in by_name.values() if settings in by_settings]
            if not done:
                continue
            gains = [gain(cell) for cell in done]
            best = np.mean([max(_psnr_of_rounds(cell)) - cell[BEFORE]["psnr"] for cell in done])
            adapted = sum(cell["adaptation"]["chosen"] > 0 for cell in done)
            minutes = np.mean([cell["adaptation"]["rounds"][-1]["seconds"] for cell in done]) / 60
            lines.append(
                f"| {kind} | {settings} | {np.mean(gains):+.2f} | {min(gains):+.2f} | {best:+.2f} | "
                f"{adapted} of {len(done)} | {minutes:.1f} |"
            )
    lines += ["", "| scan | settings | before | after | gain | PSNR of each round | kept |", "|---" * 7 + "|"]
    for kind, name, settings, cell in _flat(simulated_kinds):
        before, after = (f"{cell[label]['psnr']:.2f}" for label in (BEFORE, AFTER))
        rounds = " ".join(f"{psnr:.2f}" for psnr in _psnr_of_rounds(cell))
        lines.append(
            f"| {kind} {name} | {settings} | {before} | {after} | {gain(cell):+.2f} | {rounds} | "
            f"{cell['adaptation']['chosen']} |"
        )
    measured = [row for row in _flat(simulated_kinds) if REMOVED in row[3][AFTER]]
    if measured:
        lines += ["", "| measured scan, without | settings | error on the removed views, before | after |"]
        lines.append("|---" * 4 + "|")
        for kind, name, settings, cell in measured:
            errors = " | ".join(f"{cell[label][REMOVED]:.4f}" for label in (BEFORE, AFTER))
            lines.append(f"| {kind}, {name} | {settings} | {errors} |")
    if CU_23 in results:
        lines += ["", "| Cu_23, error on views | settings | fista-tv | before | after | ratio | kept |"]
        lines.append("|---" * 7 + "|")
        for _, name, settings, cell in _flat({CU_23: results[CU_23]}):
            errors = " | ".join(f"{cell[label]['error']:.4f}" for label in (TV, BEFORE, AFTER))
            kept = f"{cell['adaptation']['chosen']} of {len(cell['adaptation']['rounds']) - 1}"
            lines.append(f"| {name} | {settings} | {errors} | {gain(cell):.3f} | {kept} |")
    return "\n".join(lines) + "\n"


def _flat(results: dict) -> Iterator[tuple[str, str, str, dict]]:
    for kind, by_name in results.items():
        for name, by_settings in by_name.items():
            for settings, cell in by_settings.items():
                yield kind, name, settings, cell


def _psnr_of_rounds(cell: dict) -> list[float]:
    return [r["psnr"] for r in cell["adaptation"]["rounds"]]


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first scan of each kind: truth, before, after, and the difference."""
    settings = next(iter(config.settings))
    pictured = {kind: [(kind, name, settings) for name in by_name] for kind, by_name in results.items()}
    has_image = lambda cell: "/".join((*cell, AFTER)) in images  # noqa: E731
    first = [cell for cells in pictured.values() for cell in [c for c in cells if has_image(c)][:1]]
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
    run_experiment(
        NAME, options, config, chosen, measure, tables, picture, priors=[config.prior, config.joint_prior]
    )


if __name__ == "__main__":
    main()
