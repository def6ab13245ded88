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
from experiments.support_and_size.wires import contrasts
from experiments.support_and_size.wires import simulate as simulate_wires
from pfitre_jax.estimation import estimate_parameters
from pfitre_jax.reconstruction import find_method
from pfitre_jax.solvers import FISTATV, SliceProblem, learned_loop, run

NAME = "support_and_size"
#: Parts of the experiment, the first key of a cell.
SIZE, WIRES, SUPPORT = "size", "wires", "support"
#: Solvers compared by size and on fine wires.
SOLVERS = (FISTA, ONE_LEVEL, COARSE_TO_FINE) = (
    "FISTA-TV",
    "pfitre, one level",
    "pfitre, from coarser levels",
)
#: Supports compared by outline.
TRUE, AUTO = "true outline", "auto"
SUPPORTS = (TRUE, AUTO, "disc", "extended")
TRUTH = "truth"


def measure(config: Config, part: str, *keys: str) -> tuple[dict, dict]:
    """Results and images of a cell of a part of the experiment."""
    return {SIZE: measure_size, WIRES: measure_wires, SUPPORT: measure_support}[part](config, *keys)


def measure_size(config: Config, columns: str, name: str) -> tuple[dict, dict]:
    """PSNR of a solver, dB, and its seconds per slice; the image of the first scene."""
    [size] = [size for size in config.sizes if str(size.columns) == columns]
    slices = slice_set(config.circuits(size), config.missing_deg, config.noise)
    solver, limits = solver_by_name(config, name, slices.prior, slices.tv_weight, slices.rho)
    solve = jax.jit(lambda solver, problem: run(solver, problem, problem.support * 0, **limits).value)
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


def solver_by_name(
    config: Config, name: str, prior: pf.interfaces.Prior, tv_weight, rho
) -> tuple[pf.interfaces.Solver, dict]:
    """A solver, and its limits for :func:`pfitre_jax.solvers.run`."""
    if name == FISTA:
        method = find_method("fista-tv")
        return FISTATV(tv_weight), {
            "iterations": method.defaults["iterations"],
            "tolerance": method.tolerance,
        }
    solver = learned_loop(prior, rho, coarse=name == COARSE_TO_FINE)
    return solver, {"iterations": config.iterations}


def measure_wires(config: Config, name: str) -> tuple[dict, dict]:
    """PSNR of a solver, dB, the contrast of each grating, and the image."""
    wires = simulate_wires(config.wires)
    sinogram = jnp.asarray(wires.scan.projections[:, 0])
    problem = jax.jit(SliceProblem.create)(pf.Projector(wires.scan.geometry()), sinogram)
    estimates = jax.jit(estimate_parameters)(problem, sinogram[None])
    prior = pf.priors.pretrained(config.prior)
    solver, limits = solver_by_name(config, name, prior, estimates.tv_weight, estimates.rho)
    scaled = problem.with_sinogram(sinogram / estimates.scale)
    solve = jax.jit(lambda solver, problem: run(solver, problem, problem.support * 0, **limits).value)
    image = np.asarray(estimates.scale * solve(solver, scaled))
    psnr = float(pf.metrics.psnr(image, wires.truth, problem.support))
    images = {name: image} | ({TRUTH: wires.truth} if name == FISTA else {})
    return {"psnr": psnr, "contrast": contrasts(config.wires, wires, image)}, images


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
    """Cells of all parts."""
    by_size = [(SIZE, str(size.columns), name) for size in config.sizes for name in SOLVERS]
    wires = [(WIRES, name) for name in SOLVERS]
    by_outline = [
        (SUPPORT, outline, method, support)
        for outline in config.outlines
        for method in config.methods
        for support in SUPPORTS
    ]
    return by_size + wires + by_outline


def pictured(config: Config) -> list[tuple[str, ...]]:
    """Cells whose images the figure shows: the largest size, the wires, and the last method."""
    shown = {SIZE: str(config.sizes[-1].columns), WIRES: WIRES, SUPPORT: config.methods[-1]}
    return [cell for cell in cells(config) if shown[cell[0]] in cell]


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
        texts = [format_size(by_name.get(name)) for name in SOLVERS]
        lines.append(f"| {columns} | " + " | ".join(texts) + " |")
    lines += wire_table(config, results.get(WIRES, {}))
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


def wire_table(config: Config, by_name: dict) -> list[str]:
    """Table of PSNR and contrast of the gratings."""
    gratings = [f"{width}/{pitch} {direction}" for direction, width, pitch in config.wires.names()]
    lines = [
        "",
        f"Fine wires on {config.wires.columns} columns: PSNR, dB, and the contrast of each grating over the "
        "true one, by width / pitch of the wires in bins. The views resolve wires along the beam; the "
        "spectrum of wires across it lies in the missing wedge.",
        "",
        f"| solver | PSNR | {' | '.join(gratings)} |",
        "|---" * (2 + len(gratings)) + "|",
    ]
    for name, cell in by_name.items():
        texts = [f"{cell['contrast'][grating]:.2f}" for grating in gratings]
        lines.append(f"| {name} | {cell['psnr']:.2f} | {' | '.join(texts)} |")
    return lines


def format_size(cell: dict | None) -> str:
    """PSNR and seconds of a cell of the first part."""
    return "" if cell is None else f"{cell['psnr']:.2f} ({cell['seconds']:.2g} s)"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Quality by size, images of the largest size and of the wires (above); images by outline (below)."""
    columns, method = str(config.sizes[-1].columns), config.methods[-1]
    figure = Figure(figsize=(11, 2.25 * (2 + len(config.outlines))), layout="constrained")
    panels = figure.subplots(2 + len(config.outlines), 1 + len(SUPPORTS), squeeze=False)
    draw_curves(panels[0, 0], results.get(SIZE, {}))
    panels[1, 0].axis("off")
    middle = slice(config.wires.columns // 4, 3 * config.wires.columns // 4)
    for size_axis, wire_axis, name in zip(panels[0, 1:], panels[1, 1:], (TRUTH, *SOLVERS), strict=True):
        owner = FISTA if name == TRUTH else name
        image = images.get(f"{SIZE}/{columns}/{owner}/{name}")
        show(size_axis, image, f"{name}, {columns}^2")
        wires = images.get(f"{WIRES}/{owner}/{name}")
        show(wire_axis, None if wires is None else wires[middle, middle], f"{name}, wires")
    for line, outline in zip(panels[2:], config.outlines, strict=True):
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
