"""Priors on real scans; see :mod:`experiments.real_samples.config`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import Reference, crop_center, reconstruct_at_best, scan_with_reference
from experiments.common.real_scans import (
    CATALYST,
    CHIP,
    FullAngleSample,
    ReferencedSample,
    is_available,
    leading_angles,
    limit_angle,
    load_catalyst,
    load_chip,
    prediction_error,
    registered_prediction_error,
)
from experiments.common.record import Record, command_line, output_folder, pfitre_dependencies
from experiments.real_samples.config import PRESETS, Config

NAME = "real_samples"
#: Samples that are not a :class:`FullAngleSample`.
CU_23, PARTICLE = "Cu_23", "catalyst"
REFERENCE = "from all views"
#: A scan that is compared with an image from all its views.
Real = FullAngleSample | ReferencedSample


def cells(config: Config, priors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Keys: sample, missing views, baseline or prior.

    Args:
        config: Configuration of the experiment.
        priors: Names or paths of the priors, by :func:`prior_label`.
    """
    samples = []
    if config.chip and is_available(f"{CHIP}.tiff"):
        samples += [(CU_23, f"views {views}") for views in config.chip]
    if config.catalyst and is_available(CATALYST):
        samples.append((PARTICLE, "every fourth view"))
    predicted = [(*sample, candidate) for sample in samples for candidate in (config.baseline, *priors)]
    best = [best_weight(config)] if config.weights else []
    real = [name for name, sample in config.real.items() if is_available(sample.file)]
    return predicted + [
        (name, f"{missing:g} degrees", candidate)
        for name in real
        for missing in config.missing_deg
        for candidate in (*config.methods, config.baseline, *best, *priors)
    ]


def best_weight(config: Config) -> str:
    """Label of the baseline with the TV weight of the best PSNR."""
    return f"{config.baseline}, best weight"


def prior_label(prior: str) -> str:
    """Name and shortened hash of a prior; other weights make another cell."""
    card = pf.priors.pretrained(prior).info.card
    return f"{card['name']} {card['sha256'][:8]}"


def measure(
    config: Config, priors: Mapping[str, str], sample: str, missing: str, candidate: str
) -> tuple[dict, dict]:
    """Error on held-out views, or PSNR against the baseline from all views; and one row of the image."""
    if candidate in priors:
        settings = {"method": "pfitre", "prior": priors[candidate]}
    else:
        settings = {"method": config.baseline if candidate == best_weight(config) else candidate}
    solve = functools.partial(pf.reconstruct, **settings, iterations=config.iterations)
    row, _ = config.shown[sample]
    if sample == CU_23:
        views = config.chip[missing.removeprefix("views ")]
        used = load_chip(config.center, config.roll_deg, exclude_views=views)
        held_out = load_chip(config.center, config.roll_deg, views=views)
        rows = range(0, used.rows, config.row_step)
        result = solve(used.take_rows(rows))
        error = prediction_error(result, held_out.take_rows(rows))
        return {"error": error}, {candidate: normalised_row(result, used, row)}
    if sample == PARTICLE:
        motion, scan, held_out = aligned_catalyst(config.catalyst)
        result = solve(scan)
        error = registered_prediction_error(result, held_out, motion)
        return {"error": error}, {candidate: normalised_row(result, scan, row)}
    wedge = (config.real[sample], float(missing.removesuffix(" degrees")), config.baseline)
    used, reference = limited_scan(*wedge)
    best = {}
    if candidate == config.baseline:
        result = baseline_result(*wedge, config.iterations)
    elif candidate == best_weight(config):
        result, best = reconstruct_at_best(
            used,
            config.baseline,
            lambda result: -reference.measures(result)["psnr"],
            {"weight": config.weights},
            iterations=config.iterations,
            support=baseline_result(*wedge, config.iterations).support,
        )
    else:
        result = solve(used)
    images = {candidate: reference.normalise(result)[row]}
    if candidate == config.baseline:
        images[REFERENCE] = reference.images[row]
    return reference.measures(result) | best | {"support": result.support_text}, images


def limited_scan(real: Real, missing_deg: float, baseline: str) -> tuple[pf.Scan, Reference]:
    """Scan of a sample without ``missing_deg`` degrees, with its air at zero, and its reference."""
    full, reference = scan_with_reference(real, baseline)
    limit = leading_angles if isinstance(real, ReferencedSample) else limit_angle
    return pf.with_air(limit(full, missing_deg)), reference


@functools.lru_cache(maxsize=1)
def baseline_result(real: Real, missing_deg: float, baseline: str, iterations: int | None) -> pf.Result:
    """Result of the baseline with its default settings."""
    return pf.reconstruct(limited_scan(real, missing_deg, baseline)[0], baseline, iterations=iterations)


def normalised_row(result: pf.Result, scan: pf.Scan, row: int) -> np.ndarray:
    """One row (n, n) of a result over its scale, cropped to the detector."""
    return crop_center(result.volume, scan.columns)[row] / result.scale


@functools.cache
def aligned_catalyst(held_out: str) -> tuple[pf.Motion, pf.Scan, pf.Scan]:
    """Motion and aligned scan of the catalyst without the held-out views, and those views as measured."""
    scan = load_catalyst()
    used = scan.select_views(slice(None), exclude=held_out)
    motion = pf.align(used, roll=False).motion
    return motion, motion.corrected(used), scan.select_views(held_out)


def tables(config: Config, results: dict) -> str:
    """Markdown: one line for each sample, with the comparison to the baseline in brackets."""
    names = candidates(results)
    compared = best_weight(config) if config.weights else config.baseline
    lines = [
        f"Chip and catalyst: error on held-out views, and in brackets its ratio to {config.baseline}. Other "
        "samples: PSNR, dB, against their reference from all views, and in brackets the gain over "
        f"{compared} from the same views. Priors are listed with the beginning of their hash.",
        "",
        "| sample | " + " | ".join(names) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for sample, by_missing in results.items():
        for missing, by_name in by_missing.items():
            base = by_name.get(compared, by_name.get(config.baseline))
            texts = [format_score(by_name[name], base) if name in by_name else "" for name in names]
            lines.append(f"| {sample}, without {missing} | " + " | ".join(texts) + " |")
    return "\n".join([*lines, *gains(config, results, names, compared)]) + "\n"


def gains(config: Config, results: dict, names: list[str], compared: str) -> list[str]:
    """Table of the mean and the worst gain of each candidate over all scans; empty for a single scan."""
    lines = []
    for degrees in config.missing_deg:
        scans = [results[name].get(f"{degrees:g} degrees", {}) for name in config.real if name in results]
        texts = []
        for name in names:
            gain = [
                scan[name]["psnr"] - scan[compared]["psnr"] for scan in scans if {name, compared} <= set(scan)
            ]
            texts.append(f"{np.mean(gain):+.2f}, {np.min(gain):+.2f}" if len(gain) > 1 else "")
        if any(texts):
            lines.append(f"| {degrees:g} | " + " | ".join(texts) + " |")
    if not lines:
        return []
    heading = f"Gain over {compared}, dB: mean of the scans, and the worst."
    return [
        "",
        heading,
        "",
        "| degrees missing | " + " | ".join(names) + " |",
        "|---" * (1 + len(names)) + "|",
        *lines,
    ]


def candidates(results: dict) -> list[str]:
    """Baseline and priors of the results, in order of appearance."""
    names = (name for by_missing in results.values() for by_name in by_missing.values() for name in by_name)
    return list(dict.fromkeys(names))


def format_score(cell: dict, base: dict | None) -> str:
    """Error or PSNR of a cell, and its comparison to the baseline where there is one."""
    if base is None:
        return f"{cell['error']:.3f}" if "error" in cell else f"{cell['psnr']:.2f}"
    if "error" in cell:
        return f"{cell['error']:.3f} ({cell['error'] / base['error']:.2f})"
    return f"{cell['psnr']:.2f} ({cell['psnr'] - base['psnr']:+.2f})"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One line for each sample with one of its sets of missing views: every candidate and the reference."""
    lines = [(sample, shown_missing(config, by_missing)) for sample, by_missing in results.items()]
    columns = [*candidates(results), REFERENCE]
    figure = Figure(figsize=(2.6 * len(columns), 2.7 * len(lines)), layout="constrained")
    panels = figure.subplots(len(lines), len(columns), squeeze=False)
    for line, (sample, missing) in zip(panels, lines, strict=True):
        white = config.shown[sample][1]
        base = images.get(f"{sample}/{missing}/{config.baseline}/{config.baseline}")
        part = slice(None) if base is None else central_extent(base, 0.05 * white)
        line[0].set_ylabel(f"{sample}\nwithout {missing}", fontsize=8)
        for axis, name in zip(line, columns, strict=True):
            axis.set(xticks=[], yticks=[])
            candidate = config.baseline if name == REFERENCE else name
            image = images.get(f"{sample}/{missing}/{candidate}/{name}")
            if image is None:
                for spine in axis.spines.values():
                    spine.set_visible(False)
                continue
            axis.imshow(image[part, part].astype(np.float32), cmap="gray", vmin=0, vmax=white)
            axis.set_title(name, fontsize=8)
    return figure


def shown_missing(config: Config, missing: Iterable[str]) -> str:
    """The set of missing views that the figure shows: the configured wedge, else the first set."""
    names, wedge = list(missing), f"{config.shown_missing_deg:g} degrees"
    return wedge if wedge in names else names[0]


def central_extent(image: np.ndarray, threshold: float) -> slice:
    """Central part of a square image with 98% of the pixels above ``threshold``, and a margin of 1/8."""
    rows, columns = np.nonzero(image > threshold)
    half = len(image) / 2
    radius = np.quantile(np.maximum(abs(rows + 0.5 - half), abs(columns + 0.5 - half)), 0.98)
    width = min(int(np.ceil(1.125 * radius)), len(image) // 2)
    return slice(len(image) // 2 - width, len(image) // 2 + width)


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument(
        "--with",
        dest="others",
        action="append",
        default=[],
        metavar="WEIGHTS",
        help="weights file (.npz) of a further prior; can be repeated",
    )
    options = parser.parse_args()
    config = PRESETS[options.preset]
    for path in options.others:
        if not Path(path).is_file():
            parser.error(f"--with {path}: file not found; expected the weights file (.npz) of a prior")
    priors = {prior_label(prior): prior for prior in (*config.priors, *options.others)}
    selected = cells(config, priors)
    if not selected:
        raise SystemExit(2)
    # Not run_experiment: the labels of the priors hold their hashes, so that new weights keep the other
    # cells.
    record = Record(
        output_folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        pfitre_dependencies(),
    )
    shown = [
        cell
        for cell in selected
        if cell[1] == shown_missing(config, (c[1] for c in selected if c[0] == cell[0]))
    ]
    record.fill(selected, functools.partial(measure, config, priors), shown)
    record.show()


if __name__ == "__main__":
    main()
