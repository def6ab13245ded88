"""See :mod:`experiments.joint_3d.config`."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

import pfitre_jax as pf
from experiments.comparing import middle
from experiments.joint_3d.config import PRESETS, Config
from experiments.real_scans import CHIP, CHIP_CENTER, CHIP_ROLL_DEG, chip, is_there, prediction_error, rows_of
from experiments.record import carry_out, command_line
from experiments.volume_scans import has_layout, psnr, simulate
from pfitre_jax.contrib.planes import Planes
from pfitre_jax.priors.files import pretrained
from pfitre_jax.reconstruction import find_method

NAME = "joint_3d"
APART, SMOOTHED, TOGETHER = "one by one", "smoothed along the rows", "together"
#: Between a method and another prior of its volume, and the network of single images on two planes.
WITH, PLANES = " with ", "planes"


def cells(config: Config, priors=()) -> list[tuple[str, str, str]]:
    """Kind of volume, which, and method, the learned one also with other priors; of the real chip the last
    method alone: total variation takes longest there."""
    volumes = [("circuits", str(seed)) for seed in config.circuits]
    if config.layouts and has_layout():
        volumes += [("layout", str(seed)) for seed in config.layouts]
    real = []
    if config.left_out and is_there(f"{CHIP}.tiff"):
        real = [("Cu_23", views) for views in config.left_out]
    others = [f"pfitre{WITH}{prior}" for prior in priors]
    return [(*volume, method) for volume in volumes for method in (*config.methods, *others)] + [
        (*volume, config.methods[-1]) for volume in real
    ]


def measure(config: Config, kind: str, which: str, method: str) -> tuple[dict, dict]:
    """One cell."""
    if kind == "Cu_23":
        return predict(config, which, method)
    made = simulate(config.scans, int(which), chip=kind == "layout")
    geometry, found, images = made.straight.geometry(), {}, {"truth": made.truth[config.scans.rows // 2]}
    if WITH in method:
        done = [together(made.straight, method)]
    else:
        done = ways(config, made.straight, method, lambda v: -psnr(v, made.truth, geometry))
    for way, volume, facts in done:
        found[way] = facts | {"psnr": psnr(volume, made.truth, geometry), "steps": steps(volume, made.truth)}
        images[way] = volume[config.scans.rows // 2]
    return found, images


def ways(config: Config, scan: pf.Scan, method: str, loss):
    """Name, volume and facts of the rows one by one, smoothed, and together; what is tried at its best."""
    tried = [{"weight": weight} for weight in config.weights]
    if "weight" not in find_method(method).defaults:
        tried = [{}]
    for way, joint in ((APART, False), (TOGETHER, True)):
        results, begin = [], time.perf_counter()
        for told in tried:
            results.append(pf.reconstruct(scan, method, joint=joint, **told))
        seconds = (time.perf_counter() - begin) / len(tried)
        best = min(results, key=lambda result: loss(middle(result.volume, scan.columns)))
        residual = float(np.mean(best.residual))
        # Wider where views run out of the field of view.
        volume = middle(best.volume, scan.columns)
        yield way, volume, {"seconds": seconds, "residual": residual}
        if way == APART:
            smooth = [ndimage.gaussian_filter1d(volume, width, axis=0) for width in config.smoothing]
            yield SMOOTHED, min(smooth, key=loss), {}


def together(scan: pf.Scan, method: str) -> tuple[str, np.ndarray, dict]:
    """Name, volume and facts of the rows together, by a method with another prior."""
    method, name = method.split(WITH, 1)
    prior = Planes(pretrained("circuits")) if name == PLANES else name
    begin = time.perf_counter()
    result = pf.reconstruct(scan, method, joint=True, prior=prior)
    facts = {"seconds": time.perf_counter() - begin, "residual": float(np.mean(result.residual))}
    return TOGETHER, middle(result.volume, scan.columns), facts


def steps(volume: np.ndarray, truth: np.ndarray) -> float:
    """Error of the differences between neighbouring rows, relative."""
    right = np.diff(truth, axis=0)
    return float(np.linalg.norm(np.diff(volume, axis=0) - right) / np.linalg.norm(right))


def predict(config: Config, which: str, method: str) -> tuple[dict, dict]:
    """Error on views of the real chip that were left out, rows one by one and together."""
    views = config.left_out[which]
    rows = range(*map(int, config.rows.split(":")))
    seen = rows_of(chip(CHIP_CENTER, CHIP_ROLL_DEG, exclude_views=views), rows)
    hidden = rows_of(chip(CHIP_CENTER, CHIP_ROLL_DEG, views=views), rows)
    found, images = {}, {}
    for way, joint in ((APART, False), (TOGETHER, True)):
        result = pf.reconstruct(seen, method, joint=joint)
        found[way] = {"error": prediction_error(result, hidden)}
        volume = middle(result.volume, seen.columns) / result.scale
        images[way] = volume[len(volume) // 2]
    return found, images


def tables(config: Config, results: dict) -> str:
    """Markdown: means over the volumes of a kind, and the real chip."""
    lines = [
        "Means over the volumes; PSNR, dB, and beside it the error of the differences of neighbours:",
        "",
    ]
    lines += ["| | rows | " + " | ".join((APART, SMOOTHED, TOGETHER)) + " | gain, each | residual, seconds |"]
    lines += ["|---" * 7 + "|"]
    for kind, by_volume in results.items():
        methods = {method: None for by_method in by_volume.values() for method in by_method}
        for method in methods if kind != "Cu_23" else ():
            found = [by_method[method] for by_method in by_volume.values() if method in by_method]
            if WITH in method:
                lines.append(_other(kind, method, found))
                continue
            mean = lambda way, name: np.mean([cell[way][name] for cell in found])  # noqa: B023, E731
            texts = [f"{mean(w, 'psnr'):.2f} ({mean(w, 'steps'):.2f})" for w in (APART, SMOOTHED, TOGETHER)]
            gains = ", ".join(f"{cell[TOGETHER]['psnr'] - cell[APART]['psnr']:+.2f}" for cell in found)
            facts = "; ".join(
                f"{way} {mean(way, 'residual'):.3f}, {mean(way, 'seconds'):.0f} s"
                for way in (APART, TOGETHER)
            )
            lines.append(f"| {kind} | {method} | " + " | ".join([*texts, gains, facts]) + " |")
    if by_views := results.get("Cu_23"):
        lines += ["", f"Cu_23, rows {config.rows}: error on views left out:", ""]
        lines += ["| views | method | " + f"{APART} | {TOGETHER} |", "|---" * 4 + "|"]
        for views, by_method in by_views.items():
            for method, cell in by_method.items():
                told = " | ".join(f"{cell[way]['error']:.4f}" for way in (APART, TOGETHER))
                lines.append(f"| {views} | {method} | {told} |")
    return "\n".join(lines) + "\n"


def _other(kind: str, method: str, found: list[dict]) -> str:
    """The line of a method with another prior."""
    mean = {name: np.mean([cell[TOGETHER][name] for cell in found]) for name in found[0][TOGETHER]}
    told = f"{mean['psnr']:.2f} ({mean['steps']:.2f}) | | {mean['residual']:.3f}, {mean['seconds']:.0f} s"
    return f"| {kind} | {method} | | | {told} |"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A row of the first volume of each kind, by the last method."""
    method = config.methods[-1]
    firsts = [(kind, next(iter(by_volume))) for kind, by_volume in results.items()]
    names = ("truth", APART, SMOOTHED, TOGETHER)
    figure = Figure(figsize=(11, 2.9 * max(len(firsts), 1)), layout="constrained")
    lines = figure.subplots(max(len(firsts), 1), 4, squeeze=False)
    for axis in lines.ravel():
        axis.set_axis_off()
    for line, (kind, which) in zip(lines, firsts, strict=False):
        for axis, name in zip(line, names, strict=True):
            if (image := images.get(f"{kind}/{which}/{method}/{name}")) is not None:
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
        help="Another prior of the volume: planes, a name or a weights file; more than once.",
    )
    options = parser.parse_args()
    config = PRESETS[options.preset]
    todo = cells(config, options.priors)
    carry_out(
        NAME,
        options,
        config,
        todo,
        measure,
        tables,
        picture,
        priors=[find_method("pfitre").defaults["prior"], find_method("pfitre").joint_defaults["prior"]],
        pictured=cells(config),
    )


if __name__ == "__main__":
    main()
