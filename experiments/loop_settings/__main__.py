"""Settings of the loop of ``pfitre``; see :mod:`experiments.loop_settings.config`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.common.record import command_line, run_experiment
from experiments.common.simulated_scans import SliceSet, timed
from experiments.loop_settings.config import PRESETS, Config
from pfitre_jax.reconstruction import find_method
from pfitre_jax.solvers import FISTATV

NAME = "loop_settings"
FISTA = "FISTA-TV"
AUTO = "auto"


def measure(config: Config, case: str, setting: str) -> tuple[dict, dict]:
    """Mean PSNR (dB) and relative residual after each iteration, and the times of :func:`run_iterations`.

    The setting ``auto`` adds the automatic rho and, for each slice, the estimated noise over the true one.
    FISTA-TV adds the automatic TV weight and its PSNR.
    """
    condition = config.case(case)
    slices = SliceSet(config.twin, condition.missing_deg, condition.noise)
    extra = {}
    if setting == FISTA:
        weights = [*config.weights, slices.tv_weight]
        solvers, iterations = [FISTATV(jnp.asarray(w)) for w in weights], config.fista_iterations
    else:
        rho = slices.rho if setting == AUTO else jnp.asarray(float(setting))
        solvers, iterations = [find_method("pfitre").build(prior=slices.prior, rho=rho)], config.iterations
        if setting == AUTO:
            noise = {name: np.asarray(n / slices.noise) for name, n in slices.estimated_noise().items()}
            extra = {"rho": float(rho), "noise": noise}
    psnrs, residuals, seconds = run_iterations(slices, solvers, iterations)
    if setting == FISTA:
        # The last solver has the automatic weight.
        extra = {"automatic": {"weight": float(solvers[-1].weight), "psnr": psnrs[-1].mean(0)}}
        psnrs, residuals = psnrs[:-1], residuals[:-1]
    # The best weight of each scan at every iteration needs the truth: an upper bound for real scans.
    best = np.argmax(psnrs, axis=0)[None]
    at_best = lambda values: np.take_along_axis(values, best, 0)[0].mean(0)  # noqa: E731
    return {"psnr": at_best(psnrs), "residual": at_best(residuals), "seconds": seconds} | extra, {}


def run_iterations(slices: SliceSet, solvers: list, iterations: int):
    """PSNR and relative residual after each iteration of several solvers of one class.

    Returns:
        PSNR and residual, each (solvers, slices, iterations), and the seconds per slice of the
        initialisation, of one iteration and of the finish.
    """
    blank = jnp.zeros(slices.problem.A.shape)

    @jax.jit
    def init(solver):
        return slices.map(lambda problem: solver.init(problem, blank))

    @jax.jit
    def step(solver, carry):
        return slices.map(lambda problem, carry: solver.step(problem, *carry), carry)

    @jax.jit
    def finish(solver, carry):
        return slices.map(lambda problem, carry: solver.finish(problem, *carry), carry)

    @jax.jit
    def evaluate(images):
        return slices.psnr(images), slices.map(lambda problem, x: problem.residual_norm(x), images)

    def run_one(solver):
        # One iteration at a time: the images of all iterations together would not fit into memory.
        carry, curves = init(solver), []
        for _ in range(iterations):
            carry = step(solver, carry)
            curves.append(evaluate(finish(solver, carry)))
        return np.moveaxis(np.array(curves), 0, -1), carry

    curves, carries = zip(*(run_one(solver) for solver in solvers), strict=True)
    calls = (
        lambda: init(solvers[0]),
        lambda: step(solvers[0], carries[0]),
        lambda: finish(solvers[0], carries[0]),
    )
    seconds = [timed(call)[1] / len(slices.sinograms) for call in calls]
    return *np.moveaxis(curves, 1, 0), seconds


def settings(config: Config) -> list[str]:
    """Settings of each case; the automatic rho comes last, so that its dashed line lies on top."""
    return [FISTA, *(f"{rho:g}" for rho in config.rhos), AUTO]


def tables(config: Config, results: dict) -> str:
    """Markdown: PSNR by iteration for each case and rho, and the best iteration."""
    shown = [k for k in (1, 2, 3, 5, 8, 10, 12, 16) if k <= config.iterations]
    lines = []
    for case, by_setting in results.items():
        lines += ["", f"{case}: PSNR, dB, after each iteration.", ""]
        lines.append("| rho | " + " | ".join(map(str, shown)) + " | best iteration | its residual |")
        lines.append("|---" * (len(shown) + 3) + "|")
        for setting, cell in by_setting.items():
            if setting == FISTA:
                continue
            best = int(np.argmax(cell["psnr"]))
            values = [f"{cell['psnr'][k - 1]:.2f}" for k in shown]
            lines.append(
                f"| {setting} | " + " | ".join(values) + f" | {best + 1} | {cell['residual'][best]:.4f} |"
            )
        if AUTO in by_setting:
            auto = by_setting[AUTO]
            noise = {name: f"{min(n):.2f} to {max(n):.2f}" for name, n in auto["noise"].items()}
            lines += ["", f"Automatic rho: {auto['rho']:.3g}."]
            text = f"Estimated over true noise of each slice: {noise['estimate_noise']}"
            lines += ["", f"{text}; from second differences only: {noise['noise_from_differences']}."]
        if FISTA in by_setting:
            psnrs, auto = by_setting[FISTA]["psnr"], by_setting[FISTA]["automatic"]
            text = f"best weight of each scan, after {len(psnrs)} iterations: {psnrs[-1]:.2f} dB"
            lines += [
                "",
                f"{FISTA}, {text}; automatic weight {auto['weight']:.2g}: {auto['psnr'][-1]:.2f} dB.",
            ]
    return "\n".join(lines).strip() + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Quality by iteration for each rho (above), and quality by time for the automatic rho (below)."""
    figure = Figure(figsize=(3.8 * len(config.cases), 6.5), layout="constrained")
    above, below = figure.subplots(2, len(config.cases), squeeze=False)
    for by_iteration, by_time, case in zip(above, below, config.cases, strict=True):
        by_setting = results.get(case.name, {})
        for number, setting in enumerate(settings(config)):
            if setting != FISTA and (cell := by_setting.get(setting)) is not None:
                style = {"color": "black", "linestyle": "--"} if setting == AUTO else {"color": f"C{number}"}
                steps = np.arange(len(cell["psnr"])) + 1
                by_iteration.plot(steps, cell["psnr"], label=f"rho {setting}", **style)
        by_iteration.set(title=case.name, xlabel="iteration", ylabel="PSNR, dB")
        by_iteration.title.set_fontsize(9)
        for name, label, color in ((AUTO, "pfitre", "C1"), (FISTA, FISTA, "black")):
            if (cell := by_setting.get(name)) is not None:
                before, each, after = cell["seconds"]
                seconds = before + each * (np.arange(len(cell["psnr"])) + 1) + after
                by_time.plot(seconds, cell["psnr"], color=color, label=label)
        by_time.set(xscale="log", xlabel="seconds per slice", ylabel="PSNR, dB")
    for axis in (above[0], below[0]):
        if axis.lines:
            axis.legend(fontsize=8)
    return figure


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--prior", help="name or file of the prior; default: the prior of the preset")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    if options.prior is not None:
        if options.out is None:
            parser.error("--prior needs --out DIR: results/ is reserved for the prior of the preset")
        config = dataclasses.replace(config, twin=dataclasses.replace(config.twin, prior=options.prior))
    cells = [(case.name, setting) for case in config.cases for setting in settings(config)]
    run_experiment(NAME, options, config, cells, measure, tables, picture, priors=[config.twin.prior])


if __name__ == "__main__":
    main()
