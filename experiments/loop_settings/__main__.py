"""See :mod:`experiments.loop_settings.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.loop_settings.config import PRESETS, Config
from experiments.record import carry_out, command_line
from experiments.simulated_scans import Slices, timed
from pfitre_jax.engine.methods import recipe
from pfitre_jax.solvers.fista import FISTATV

NAME = "loop_settings"
VARIATION = "FISTA-TV"


def measure(config: Config, case: str, which: str) -> tuple[dict, dict]:
    """After each iteration the mean PSNR, dB, and relative residual; seconds a slice of the first
    reconstruction, of an iteration, and of what is done after the last one."""
    of_case = config.of_case(case)
    slices = Slices(config.twin, of_case.missing_deg, of_case.noise)
    if which == VARIATION:
        curves = [
            course(slices, FISTATV(jnp.asarray(weight)), config.variation_iterations)
            for weight in config.weights
        ]
        # Each scan's best weight at every iteration: more than one can know of a real scan.
        best = np.argmax([psnrs for psnrs, _, _ in curves], axis=0)
        of_best = lambda k: np.take_along_axis(np.array([c[k] for c in curves]), best[None], 0)[0]  # noqa: E731
        psnrs, residuals, seconds = of_best(0), of_best(1), curves[0][2]
    else:
        loop = recipe("pfitre").build(prior=slices.prior, rho=jnp.asarray(float(which)))
        psnrs, residuals, seconds = course(slices, loop, config.iterations)
    return {"psnr": psnrs.mean(0), "residual": residuals.mean(0), "seconds": seconds}, {}


def course(slices: Slices, method, iterations: int):
    """PSNR and residual of each slice after each iteration, (slices, iterations), and seconds a slice of
    what comes before the first iteration, of each, and after the last."""
    blank = jnp.zeros(slices.problem.A.shape)
    told = {"psnr": [], "residual": []}

    # Iteration by iteration: the images of all of them at once would not fit.
    begin = jax.jit(lambda: slices.each(lambda problem: method.init(problem, blank)))
    step = jax.jit(lambda states: slices.each(lambda problem, s: method.step(problem, s), states))
    finish = getattr(method, "finish", lambda problem, state: state.x)
    end = jax.jit(lambda states: slices.each(lambda problem, s: finish(problem, s), states))
    residual = jax.jit(lambda images: slices.each(lambda problem, x: problem.residual(x), images))
    states, before = timed(begin)
    for _ in range(iterations):
        states = step(states)
        images = end(states)
        told["psnr"].append(slices.psnr(images))
        told["residual"].append(residual(images))
    _, each = timed(lambda: step(states))
    _, after = timed(lambda: end(states))
    curves = (np.stack([np.asarray(t) for t in told[name]], axis=1) for name in ("psnr", "residual"))
    return *curves, [t / len(slices.sinograms) for t in (before, each, after)]


def tables(config: Config, results: dict) -> str:
    """Markdown: for each case and rho the PSNR after some iterations, and the iteration of the best."""
    shown = [k for k in (1, 2, 3, 5, 8, 12, 16) if k <= config.iterations]
    lines = []
    for case, by_which in results.items():
        lines += ["", f"{case}: PSNR, dB, after iteration", ""]
        lines.append("| rho | " + " | ".join(map(str, shown)) + " | best at | residual there |")
        lines.append("|---" * (len(shown) + 3) + "|")
        for which, cell in by_which.items():
            if which == VARIATION:
                continue
            best = int(np.argmax(cell["psnr"]))
            told = [f"{cell['psnr'][k - 1]:.2f}" for k in shown]
            lines.append(
                f"| {which} | " + " | ".join(told) + f" | {best + 1} | {cell['residual'][best]:.4f} |"
            )
        if VARIATION in by_which:
            cell = by_which[VARIATION]
            lines += ["", f"{VARIATION}, best weight of each scan: {cell['psnr'][-1]:.2f} dB"]
    return "\n".join(lines).strip() + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Above: quality by iteration, a line for each rho; below: quality by time, at the default rho."""
    default = f"{recipe('pfitre').defaults['rho']:g}"
    figure = Figure(figsize=(3.8 * len(config.cases), 6.5), layout="constrained")
    above, below = figure.subplots(2, len(config.cases), squeeze=False)
    for left, right, case in zip(above, below, config.cases, strict=True):
        by_which = results.get(case.name, {})
        for number, rho in enumerate(config.rhos):
            if (cell := by_which.get(f"{rho:g}")) is not None:
                left.plot(
                    np.arange(len(cell["psnr"])) + 1, cell["psnr"], color=f"C{number}", label=f"rho {rho:g}"
                )
        left.set(title=case.name, xlabel="iteration", ylabel="PSNR, dB")
        left.title.set_fontsize(9)
        for name, label, color in (
            (default, f"pfitre, rho {default}", "C1"),
            (VARIATION, VARIATION, "black"),
        ):
            if (cell := by_which.get(name)) is not None:
                before, each, after = cell["seconds"]
                seconds = before + each * (np.arange(len(cell["psnr"])) + 1) + after
                right.plot(seconds, cell["psnr"], color=color, label=label)
        right.set(xscale="log", xlabel="seconds a slice", ylabel="PSNR, dB")
    for axis in (above[0], below[0]):
        if axis.lines:
            axis.legend(fontsize=8)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--prior", help="name or file of the prior; default that of the preset")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    if options.prior is not None:
        if options.out is None:
            parser.error("--prior without --out; expected --out DIR, as results/ is of the preset's prior")
        config = dataclasses.replace(config, twin=dataclasses.replace(config.twin, prior=options.prior))
    whiches = [VARIATION, *(f"{rho:g}" for rho in config.rhos)]
    todo = [(case.name, which) for case in config.cases for which in whiches]
    carry_out(NAME, options, config, todo, measure, tables, picture, priors=[config.twin.prior])


if __name__ == "__main__":
    main()
