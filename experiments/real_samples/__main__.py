"""See :mod:`experiments.real_samples.config`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.comparing import middle, with_reference
from experiments.real_samples.config import PRESETS, Config
from experiments.real_scans import (
    CATALYST,
    CHIP,
    catalyst,
    chip,
    is_there,
    limited,
    prediction_error,
    registered_error,
    rows_of,
)
from experiments.record import Record, command_line, folder, of_learned
from pfitre_jax.priors.files import pretrained

NAME = "real_samples"
#: Names of the samples that are no :class:`FullAngle`.
CU_23, PARTICLE = "Cu_23", "catalyst"
REFERENCE = "from all views"


def cells(config: Config, priors: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Sample, what is left out of it, and the baseline or a prior.

    priors: names or paths by label
    """
    samples = []
    if config.chip and is_there(f"{CHIP}.tiff"):
        samples += [(CU_23, f"views {views}") for views in config.chip]
    if config.catalyst and is_there(CATALYST):
        samples.append((PARTICLE, "every fourth view"))
    there = [name for name, sample in config.real.items() if is_there(sample.file)]
    samples += [(name, f"{config.missing_deg:g} degrees") for name in there]
    return [(*sample, by) for sample in samples for by in (config.baseline, *priors)]


def label(prior: str) -> str:
    """Name and the beginning of the hash of a prior's weights: other weights are other cells."""
    card = pretrained(prior).info.card
    return f"{card['name']} {card['sha256'][:8]}"


def measure(
    config: Config, priors: Mapping[str, str], sample: str, left_out: str, by: str
) -> tuple[dict, dict]:
    """Error on the views left out, or PSNR beside the baseline from all views, and the row that is shown."""
    asked = (
        {"method": config.baseline} if by == config.baseline else {"method": "pfitre", "prior": priors[by]}
    )
    solve = functools.partial(pf.reconstruct, **asked, iterations=config.iterations)
    row, _ = config.shown[sample]
    if sample == CU_23:
        views = config.chip[left_out.removeprefix("views ")]
        seen = chip(config.center, config.roll_deg, exclude_views=views)
        hidden = chip(config.center, config.roll_deg, views=views)
        rows = range(0, seen.rows, config.every)
        result = solve(rows_of(seen, rows))
        return {"error": prediction_error(result, rows_of(hidden, rows))}, {by: shown(result, seen, row)}
    if sample == PARTICLE:
        motion, scan, hidden = aligned(config.catalyst)
        result = solve(scan)
        return {"error": registered_error(result, hidden, motion)}, {by: shown(result, scan, row)}
    whole, reference = with_reference(config.real[sample], config.baseline)
    result = solve(limited(whole, config.missing_deg))
    images = {by: reference.relative(result)[row]}
    if by == config.baseline:
        images[REFERENCE] = reference.images[row]
    return reference.measures(result), images


def shown(result: pf.Result, scan: pf.Scan, row: int) -> np.ndarray:
    return middle(result.volume, scan.columns)[row] / result.scale


@functools.cache
def aligned(left_out: str) -> tuple[pf.Motion, pf.Scan, pf.Scan]:
    """Motion of the catalyst's other views, the scan that they make, and the views left out."""
    scan = catalyst()
    seen = scan.select_views(slice(None), exclude=left_out)
    motion = pf.align(seen, roll=False).motion
    return motion, motion.corrected(seen), scan.select_views(left_out)


def tables(config: Config, results: dict) -> str:
    """Markdown: a line for each sample, and in brackets what the prior is worth beside the baseline."""
    names = {by: None for by_set in results.values() for by_name in by_set.values() for by in by_name}
    lines = [
        f"Error on views left out, and its ratio to that of {config.baseline}; PSNR, dB, beside "
        f"{config.baseline} from all views, and the gain over the same from the views that are left. Priors "
        "with the beginning of their hash.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---" * (1 + len(names)) + "|",
    ]
    for sample, by_set in results.items():
        for left_out, by_name in by_set.items():
            base = by_name[config.baseline]
            texts = [told(by_name[name], base) if name in by_name else "" for name in names]
            lines.append(f"| {sample}, without {left_out} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def told(cell: dict, base: dict) -> str:
    if "error" in cell:
        return f"{cell['error']:.3f} ({cell['error'] / base['error']:.2f})"
    return f"{cell['psnr']:.2f} ({cell['psnr'] - base['psnr']:+.2f})"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A line for each sample, of what was left out first: the reference, the baseline, and the priors."""
    lines = [(sample, next(iter(by_set))) for sample, by_set in results.items()]
    names = {by: None for by_set in results.values() for by_name in by_set.values() for by in by_name}
    columns = [*names, REFERENCE]
    figure = Figure(figsize=(2.6 * len(columns), 2.7 * len(lines)), layout="constrained")
    panels = figure.subplots(len(lines), len(columns), squeeze=False)
    for line, (sample, left_out) in zip(panels, lines, strict=True):
        white = config.shown[sample][1]
        base = images.get(f"{sample}/{left_out}/{config.baseline}/{config.baseline}")
        part = slice(None) if base is None else extent(base, 0.05 * white)
        line[0].set_ylabel(f"{sample}\nwithout {left_out}", fontsize=8)
        for axis, name in zip(line, columns, strict=True):
            axis.set(xticks=[], yticks=[])
            by = config.baseline if name == REFERENCE else name
            image = images.get(f"{sample}/{left_out}/{by}/{name}")
            if image is None:
                for spine in axis.spines.values():
                    spine.set_visible(False)
                continue
            axis.imshow(image[part, part].astype(np.float32), cmap="gray", vmin=0, vmax=white)
            axis.set_title(name, fontsize=8)
    return figure


def extent(image: np.ndarray, threshold: float) -> slice:
    """The middle of a square image, as far as 98% of what is above ``threshold``, and an eighth around it."""
    rows, columns = np.nonzero(image > threshold)
    half = len(image) / 2
    far = np.quantile(np.maximum(abs(rows + 0.5 - half), abs(columns + 0.5 - half)), 0.98)
    width = min(int(np.ceil(1.125 * far)), len(image) // 2)
    return slice(len(image) // 2 - width, len(image) // 2 + width)


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument(
        "--with",
        dest="others",
        action="append",
        default=[],
        metavar="WEIGHTS",
        help="Another prior, beside those of the preset: its weights file; more than once.",
    )
    options = parser.parse_args()
    config = PRESETS[options.preset]
    for path in options.others:
        if not Path(path).is_file():
            parser.error(f"--with is {path}, which is no file; expected a prior's weights, .npz")
    priors = {label(prior): prior for prior in (*config.priors, *options.others)}
    todo = cells(config, priors)
    if not todo:
        raise SystemExit(2)
    record = Record(
        folder(NAME, options),
        NAME,
        config,
        functools.partial(tables, config),
        functools.partial(picture, config),
        of_learned(),
    )
    drawn = [cell for cell in todo if cell[:2] == next(c[:2] for c in todo if c[0] == cell[0])]
    record.fill(todo, functools.partial(measure, config, priors), drawn)
    record.show()


if __name__ == "__main__":
    main()
