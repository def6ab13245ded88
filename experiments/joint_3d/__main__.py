"""Joint reconstruction of volumes; see :mod:`experiments.joint_3d.config`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

import pfitre_jax as pf
from experiments.common.comparison import crop_center
from experiments.common.real_scans import (
    CHIP,
    CHIP_CENTER,
    CHIP_ROLL_DEG,
    is_available,
    load_chip,
    prediction_error,
)
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_volumes import has_layout, psnr, simulate
from experiments.joint_3d.config import PRESETS, Config
from pfitre_jax.contrib import Planes
from pfitre_jax.reconstruction import find_method

NAME = "joint_3d"
WAYS = SLICES, SMOOTHED, JOINT = "slice by slice", "smoothed along the rows", "joint"
#: Separator between a method and another volume prior, and the name of :class:`pfitre_jax.contrib.Planes`.
WITH, PLANES = " with ", "planes"


def cells(config: Config, priors=()) -> list[tuple[str, str, str]]:
    """Keys: kind of volume, volume, method (optionally with another prior).

    The real chip is solved with the last method only: TV takes longest there.
    """
    volumes = [("circuits", str(seed)) for seed in config.circuits]
    if config.layouts and has_layout():
        volumes += [("layout", str(seed)) for seed in config.layouts]
    chips = []
    if config.held_out and is_available(f"{CHIP}.tiff"):
        chips = [("Cu_23", views) for views in config.held_out]
    others = [f"pfitre{WITH}{prior}" for prior in priors]
    return [(*volume, method) for volume in volumes for method in (*config.methods, *others)] + [
        (*chip, config.methods[-1]) for chip in chips
    ]


def measure(config: Config, kind: str, name: str, method: str) -> tuple[dict, dict]:
    """Results of one cell."""
    if kind == "Cu_23":
        return measure_chip(config, name, method)
    simulated = simulate(config.scans, int(name), layout=kind == "layout")
    truth, geometry = simulated.truth, simulated.ideal.geometry()
    results, images = {}, {"truth": truth[config.scans.rows // 2]}
    if WITH in method:
        solved = [solve_with_prior(simulated.ideal, method)]
    else:
        solved = solve_each_way(config, simulated.ideal, method, lambda v: -psnr(v, truth, geometry))
    for way, volume, facts in solved:
        measures = {
            "psnr": psnr(volume, truth, geometry),
            "difference_error": difference_error(volume, truth),
        }
        results[way] = facts | measures
        images[way] = volume[config.scans.rows // 2]
    return results, images


def solve_each_way(
    config: Config, scan: pf.Scan, method: str, loss: Callable[[np.ndarray], float]
) -> Iterator[tuple[str, np.ndarray, dict]]:
    """Name, volume and facts of each of ``WAYS``, at the best TV weight and smoothing."""
    candidates = [{"weight": weight} for weight in config.weights]
    if "weight" not in find_method(method).defaults:
        candidates = [{}]
    for way, joint in ((SLICES, False), (JOINT, True)):
        start = time.perf_counter()
        results = [pf.reconstruct(scan, method, joint=joint, **settings) for settings in candidates]
        seconds = (time.perf_counter() - start) / len(candidates)
        best = min(results, key=lambda result: loss(crop_center(result.volume, scan.columns)))
        volume = crop_center(best.volume, scan.columns)
        yield way, volume, {"seconds": seconds, "residual": float(np.mean(best.residual))}
        if way == SLICES:
            smooth = [ndimage.gaussian_filter1d(volume, width, axis=0) for width in config.smoothing]
            yield SMOOTHED, min(smooth, key=loss), {}


def solve_with_prior(scan: pf.Scan, method: str) -> tuple[str, np.ndarray, dict]:
    """Name, volume and facts of a joint reconstruction with another prior."""
    method, name = method.split(WITH, 1)
    prior = Planes(pf.priors.pretrained("circuits")) if name == PLANES else name
    start = time.perf_counter()
    result = pf.reconstruct(scan, method, joint=True, prior=prior)
    facts = {"seconds": time.perf_counter() - start, "residual": float(np.mean(result.residual))}
    return JOINT, crop_center(result.volume, scan.columns), facts


def difference_error(volume: np.ndarray, truth: np.ndarray) -> float:
    """Relative error of the differences between neighbouring rows."""
    true = np.diff(truth, axis=0)
    return float(np.linalg.norm(np.diff(volume, axis=0) - true) / np.linalg.norm(true))


def measure_chip(config: Config, name: str, method: str) -> tuple[dict, dict]:
    """Error on held-out views of the real chip, slice by slice and joint."""
    views = config.held_out[name]
    rows = range(*map(int, config.rows.split(":")))
    used = load_chip(CHIP_CENTER, CHIP_ROLL_DEG, exclude_views=views).take_rows(rows)
    held_out = load_chip(CHIP_CENTER, CHIP_ROLL_DEG, views=views).take_rows(rows)
    results, images = {}, {}
    for way, joint in ((SLICES, False), (JOINT, True)):
        result = pf.reconstruct(used, method, joint=joint)
        results[way] = {"error": prediction_error(result, held_out)}
        volume = crop_center(result.volume, used.columns) / result.scale
        images[way] = volume[len(volume) // 2]
    return results, images


def tables(config: Config, results: dict) -> str:
    """Markdown: means over the volumes of each kind, and the real chip."""
    lines = [
        "Simulated volumes, means: PSNR in dB, and in brackets the relative error of the differences between "
        "neighbouring rows.",
        "",
        "| volumes | method | " + " | ".join(WAYS) + " | gain of each volume | residual, seconds |",
        "|---" * 7 + "|",
    ]
    for kind, by_volume in results.items():
        methods = {method: None for by_method in by_volume.values() for method in by_method}
        for method in methods if kind != "Cu_23" else ():
            cells = [by_method[method] for by_method in by_volume.values() if method in by_method]
            if WITH in method:
                lines.append(_line_with_prior(kind, method, cells))
                continue
            mean = lambda way, name: np.mean([cell[way][name] for cell in cells])  # noqa: B023, E731
            texts = [f"{mean(way, 'psnr'):.2f} ({mean(way, 'difference_error'):.2f})" for way in WAYS]
            gains = ", ".join(f"{cell[JOINT]['psnr'] - cell[SLICES]['psnr']:+.2f}" for cell in cells)
            facts = "; ".join(
                f"{way} {mean(way, 'residual'):.3f}, {mean(way, 'seconds'):.0f} s" for way in (SLICES, JOINT)
            )
            lines.append(f"| {kind} | {method} | " + " | ".join([*texts, gains, facts]) + " |")
    if by_views := results.get("Cu_23"):
        lines += ["", f"Cu_23, rows {config.rows}: error on held-out views.", ""]
        lines += ["| views | method | " + f"{SLICES} | {JOINT} |", "|---" * 4 + "|"]
        for views, by_method in by_views.items():
            for method, cell in by_method.items():
                errors = " | ".join(f"{cell[way]['error']:.4f}" for way in (SLICES, JOINT))
                lines.append(f"| {views} | {method} | {errors} |")
    return "\n".join(lines) + "\n"


def _line_with_prior(kind: str, method: str, cells: list[dict]) -> str:
    mean = {name: np.mean([cell[JOINT][name] for cell in cells]) for name in cells[0][JOINT]}
    score = f"{mean['psnr']:.2f} ({mean['difference_error']:.2f})"
    return f"| {kind} | {method} | | | {score} | | {mean['residual']:.3f}, {mean['seconds']:.0f} s |"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One row of the first volume of each kind, by the last method."""
    method = config.methods[-1]
    first_volumes = [(kind, next(iter(by_volume))) for kind, by_volume in results.items()]
    figure = Figure(figsize=(11, 2.9 * max(len(first_volumes), 1)), layout="constrained")
    lines = figure.subplots(max(len(first_volumes), 1), 4, squeeze=False)
    for axis in lines.ravel():
        axis.set_axis_off()
    for line, (kind, volume) in zip(lines, first_volumes, strict=False):
        for axis, name in zip(line, ("truth", *WAYS), strict=True):
            if (image := images.get(f"{kind}/{volume}/{method}/{name}")) is not None:
                axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
                axis.set_title(f"{kind}, {name if name == 'truth' else f'{method}, {name}'}", fontsize=8)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument(
        "--with",
        dest="priors",
        action="append",
        default=[],
        metavar="PRIOR",
        help='further volume prior: "planes", a name or a weights file; can be repeated',
    )
    options = parser.parse_args()
    config = PRESETS[options.preset]
    pfitre = find_method("pfitre")
    run_experiment(
        NAME,
        options,
        config,
        cells(config, options.priors),
        measure,
        tables,
        picture,
        priors=[pfitre.defaults["prior"], pfitre.joint_defaults["prior"]],
        pictured=cells(config),
    )


if __name__ == "__main__":
    main()
