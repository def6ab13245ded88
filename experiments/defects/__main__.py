"""Defects of chips; see :mod:`experiments.defects.config`."""

from __future__ import annotations

import dataclasses

import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import crop_center
from experiments.common.record import command_line, run_experiment
from experiments.defects.chips import angle_to_wedge
from experiments.defects.config import METHODS, PRESETS, Config
from experiments.defects.report import CROP, picture, tables
from experiments.defects.scans import DefectScan, simulate
from experiments.defects.visibility import (
    contained_share,
    contrast,
    core,
    detectability,
    supplied_share,
    wider_share,
)
from pfitre_jax.twin import OVERSAMPLING

NAME = "defects"


def cells(config: Config) -> list[tuple[str, str, str]]:
    """Keys: kind of defect, size, method."""
    return [(k, f"{s:g}", m) for s in config.sizes for k in config.kinds for m in config.methods]


def measure(config: Config, kind: str, size: str, label: str) -> tuple[dict, dict]:
    """Measures of the defects of a kind and size, by chip, and images around them."""
    scans = simulate(config, kind, float(size))
    method, more = METHODS[label]
    settings = dict(config.settings) | more
    if method == "pfitre":
        settings["prior"] = config.prior
    else:
        settings.pop("iterations", None)
    result = pf.reconstruct(scans.scan, method, **settings)
    n = scans.healthy.shape[-1]
    volume = crop_center(np.asarray(result.volume), n)
    limits = None
    if result.lower is not None and result.upper is not None:
        limits = crop_center(np.asarray(result.lower), n), crop_center(np.asarray(result.upper), n)
    found, images = {}, {}
    for chip in range(len(scans.chips)):
        found[str(chip)], crops = _measure_chip(config, scans, chip, volume, limits)
        images |= {f"{chip}/{name}": image for name, image in crops.items()}
    by_chip = list(found.values())
    ratios = detectability(
        *(np.array([c[name] for c in by_chip]) for name in ("contrast", "healthy_contrast"))
    )
    for values, ratio in zip(by_chip, ratios, strict=True):
        values["detectability"] = float(ratio)
    return found, images


def _measure_chip(
    config: Config,
    scans: DefectScan,
    chip: int,
    volume: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Measures of one chip, and its images around the defect in the first scan with it."""
    healthy, defective, drawn = scans.healthy[chip], scans.defective[chip], scans.chips[chip]
    rows, healthy_rows = scans.rows_of(chip)
    region, normal = core(healthy, defective), drawn.normal_deg
    values = {
        "source": scans.sources[chip],
        "direction": scans.directions[chip],
        "angle_to_wedge_deg": None if normal is None else angle_to_wedge(normal, config.center_deg),
        "supplied_share": supplied_share(defective - healthy, config.center_deg, config.missing_deg),
        "contrast": [contrast(image, healthy, defective) for image in volume[rows]],
        "healthy_contrast": [contrast(image, healthy, defective) for image in volume[healthy_rows]],
    }
    images = {"healthy": healthy, "defective": defective, "image": volume[rows.start]}
    if limits is not None:
        lower, upper = limits
        pairs = zip(lower[rows], upper[rows], strict=True)
        values["contained"] = [contained_share(low, up, defective, region) for low, up in pairs]
        triples = zip(volume[rows], lower[rows], upper[rows], strict=True)
        values["wider"] = [wider_share(image, low, up, region) for image, low, up in triples]
        images["lower"], images["upper"] = lower[rows.start], upper[rows.start]
    row, column = (round(position / OVERSAMPLING) for position in (drawn.row, drawn.column))
    return values, {name: _crop(image, row, column) for name, image in images.items()}


def _crop(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """Surroundings of a pixel, 0 outside of the image."""
    half = CROP // 2
    return np.pad(image, half)[row : row + CROP, column : column + CROP]


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--prior", help="prior of pfitre: its name or weights file")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    if options.prior:
        config = dataclasses.replace(config, prior=options.prior)
    run_experiment(NAME, options, config, cells(config), measure, tables, picture, priors=[config.prior])


if __name__ == "__main__":
    main()
