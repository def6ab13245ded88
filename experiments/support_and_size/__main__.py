"""Coarser levels and sample support; see :mod:`experiments.support_and_size.config`."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.comparison import Reference
from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_scans import CircuitScans, SliceSet
from experiments.support_and_size.config import PRESETS, Config
from experiments.support_and_size.outlines import Outline, OutlinedSample, OutlineScans, simulate
from pfitre_jax.reconstruction import find_method
from pfitre_jax.solvers import FISTATV, learned_loop, run

NAME = "support_and_size"
#: Parts of the experiment, the first key of a cell.
SIZE, SUPPORT = "size", "support"
#: Solvers compared by size.
FISTA, ONE_LEVEL, COARSE_TO_FINE = "FISTA-TV", "pfitre, one level", "pfitre, from coarser levels"
#: Supports compared by outline.
TRUE, AUTO = "true outline", "auto"
SUPPORTS = (TRUE, AUTO, "disc", "extended")
TRUTH = "truth"


def measure(config: Config, part: str, *keys: str) -> tuple[dict, dict]:
    """Results and images of a cell of a part of the experiment."""
    return {SIZE: measure_size, SUPPORT: measure_support}[part](config, *keys)


def measure_size(config: Config, columns: str, name: str) -> tuple[dict, dict]:
    """PSNR of a solver, dB, and its seconds per slice; the image of the first scene."""
    [size] = [size for size in config.sizes if str(size.columns) == columns]
    slices = slice_set(config.circuits(size), config.missing_deg, config.noise)
    if name == FISTA:
        method = find_method("fista-tv")
        solver = FISTATV(slices.tv_weight)
        limits = {"iterations": method.defaults["iterations"], "tolerance": method.tolerance}
    else:
        solver = learned_loop(slices.prior, slices.rho, coarse=name == COARSE_TO_FINE)
        limits = {"iterations": config.iterations}
    blank = jnp.zeros(slices.problem.A.shape)
    solve = jax.jit(lambda solver, problem: run(solver, problem, blank, **limits).value)
    problems = [slices.problem.with_sinogram(y) for y in slices.sinograms]
    program = solve.lower(solver, problems[0]).compile()
    start = time.perf_counter()
    images = jnp.stack([jax.block_until_ready(program(solver, problem)) for problem in problems])
    seconds = (time.perf_counter() - start) / len(problems)
    psnrs = np.asarray(slices.psnr(images))
    shown = {name: np.asarray(slices.scale * images[0])}
    if name == FISTA:
        shown[TRUTH] = np.asarray(slices.truth[0])
    return {"psnr": psnrs.mean(), "psnrs": psnrs, "seconds": seconds}, shown


@functools.lru_cache(maxsize=1)
def slice_set(scans: CircuitScans, missing_deg: float, noise: float) -> SliceSet:
    """The slices of one size, shared by the solvers."""
    return SliceSet(scans, missing_deg, noise)


def measure_support(config: Config, outline: str, method: str, support: str) -> tuple[dict, dict]:
    """PSNR inside the field of view, dB, with a support, and its description; the image of the first row."""
    sample = outlined_sample(config.outlined, config.outlines[outline])
    reference = Reference.from_truth(sample.truth, sample.scan)
    settings = {"prior": config.prior, "iterations": config.iterations} if method == "pfitre" else {}
    chosen = sample.outline if support == TRUE else support
    result = pf.reconstruct(sample.scan, method, support=chosen, **settings)
    images = {support: reference.normalise(result)[0]}
    if support == TRUE:
        images[TRUTH] = sample.truth[0]
    return {"psnr": reference.measures(result)["psnr"], "support": result.support_text}, images


@functools.lru_cache(maxsize=1)
def outlined_sample(scans: OutlineScans, outline: Outline) -> OutlinedSample:
    """The sample of one outline, shared by methods and supports."""
    return simulate(scans, outline)


def cells(config: Config) -> list[tuple[str, ...]]:
    """Cells of both parts."""
    by_size = [
        (SIZE, str(size.columns), name)
        for size in config.sizes
        for name in (FISTA, ONE_LEVEL, COARSE_TO_FINE)
    ]
    by_outline = [
        (SUPPORT, outline, method, support)
        for outline in config.outlines
        for method in config.methods
        for support in SUPPORTS
    ]
    return by_size + by_outline


def pictured(config: Config) -> list[tuple[str, ...]]:
    """Cells whose images the figure shows: the largest size, and the last method."""
    keys = (str(config.sizes[-1].columns), config.methods[-1])
    return [cell for cell in cells(config) if keys[cell[0] == SUPPORT] in cell]


def tables(config: Config, results: dict) -> str:
    """Markdown: PSNR and seconds by size, and PSNR by outline and support."""
    lines = [
        f"PSNR, dB, and seconds per slice, by size of the detector; `pfitre` after {config.iterations} "
        "iterations at the finest level.",
        "",
        f"| columns | {FISTA} | {ONE_LEVEL} | {COARSE_TO_FINE} |",
        "|---" * 4 + "|",
    ]
    for columns, by_name in results.get(SIZE, {}).items():
        texts = [format_size(by_name.get(name)) for name in (FISTA, ONE_LEVEL, COARSE_TO_FINE)]
        lines.append(f"| {columns} | " + " | ".join(texts) + " |")
    for method in config.methods:
        lines += [
            "",
            f"{method}: PSNR inside the field of view, dB, with the true outline as the support, and the "
            "difference to it with other supports.",
            "",
            f"| sample | {' | '.join(SUPPORTS)} | chosen by auto |",
            "|---" * (2 + len(SUPPORTS)) + "|",
        ]
        for outline, by_method in results.get(SUPPORT, {}).items():
            by_support = by_method.get(method, {})
            if set(by_support) == set(SUPPORTS):
                best = by_support[TRUE]["psnr"]
                others = [f"{by_support[name]['psnr'] - best:+.2f}" for name in SUPPORTS[1:]]
                chosen = by_support[AUTO]["support"]
                lines.append(f"| {outline} | {best:.2f} | {' | '.join(others)} | {chosen} |")
    return "\n".join(lines) + "\n"


def format_size(cell: dict | None) -> str:
    """PSNR and seconds of a cell of the first part."""
    return "" if cell is None else f"{cell['psnr']:.2f} ({cell['seconds']:.2g} s)"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Quality by size with images of the largest size (above), and images by outline and support (below)."""
    columns, method = str(config.sizes[-1].columns), config.methods[-1]
    figure = Figure(figsize=(11, 2.25 * (1 + len(config.outlines))), layout="constrained")
    panels = figure.subplots(1 + len(config.outlines), 1 + len(SUPPORTS), squeeze=False)
    draw_curves(panels[0, 0], results.get(SIZE, {}))
    names = (TRUTH, FISTA, ONE_LEVEL, COARSE_TO_FINE)
    for axis, name in zip(panels[0, 1:], names, strict=True):
        owner = FISTA if name == TRUTH else name
        show(axis, images.get(f"{SIZE}/{columns}/{owner}/{name}"), f"{name}, {columns}^2")
    for line, outline in zip(panels[1:], config.outlines, strict=True):
        line[0].set_ylabel(outline, fontsize=8)
        for axis, name in zip(line, (TRUTH, *SUPPORTS), strict=True):
            owner = TRUE if name == TRUTH else name
            title = name if name == TRUTH else f"{method}, {name}"
            show(axis, images.get(f"{SUPPORT}/{outline}/{method}/{owner}/{name}"), title)
    return figure


def draw_curves(axis, by_size: dict) -> None:
    """PSNR of each solver by the number of columns."""
    for name, style in ((FISTA, "k.-"), (ONE_LEVEL, "C0.-"), (COARSE_TO_FINE, "C1.-")):
        points = [(int(columns), cell[name]["psnr"]) for columns, cell in by_size.items() if name in cell]
        if points:
            axis.plot(*zip(*points, strict=True), style, label=name)
    ticks = [int(columns) for columns in by_size]
    axis.set(xscale="log", xlabel="columns", ylabel="PSNR, dB")
    axis.set_xticks(ticks, ticks)
    axis.minorticks_off()
    if by_size:
        axis.legend(fontsize=6)


def show(axis, image: np.ndarray | None, title: str) -> None:
    """Draws one image in the range [0, 1]."""
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=8)
    if image is not None:
        axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1)


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    run_experiment(
        NAME,
        options,
        config,
        cells(config),
        measure,
        tables,
        picture,
        priors=[config.prior],
        pictured=pictured(config),
    )


if __name__ == "__main__":
    main()
