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
from pfitre_jax.reconstruction import find_method
from pfitre_jax.solvers.fista import FISTATV

NAME = "loop_settings"
VARIATION = "FISTA-TV"
AUTO = "auto"


def measure(config: Config, case: str, which: str) -> tuple[dict, dict]:
    """After each iteration the mean PSNR, dB, and relative residual; seconds a slice of the first
    reconstruction, of an iteration, and of what is done after the last one; of "auto" the rho, and the noise
    found in each slice over that which is there, of FISTA-TV also the automatic weight."""
    of_case = config.of_case(case)
    slices = Slices(config.twin, of_case.missing_deg, of_case.noise)
    found = {}
    if which == VARIATION:
        weights = [*config.weights, slices.weight()]
        methods, iterations = [FISTATV(jnp.asarray(w)) for w in weights], config.variation_iterations
    else:
        rho = slices.rho() if which == AUTO else jnp.asarray(float(which))
        methods = [find_method("pfitre").build(prior=slices.prior, rho=rho)]
        if which == AUTO:
            noise = slices.found_noise()
            found = {
                "rho": float(rho),
                "noise": {way: np.asarray(n / slices.noise) for way, n in noise.items()},
            }
        iterations = config.iterations
    psnrs, residuals, seconds = course(slices, methods, iterations)
    if which == VARIATION:
        # The last one is the automatic one.
        found = {"automatic": {"weight": float(methods[-1].weight), "psnr": psnrs[-1].mean(0)}}
        psnrs, residuals = psnrs[:-1], residuals[:-1]
    # Each scan's best weight at every iteration: more than one can know of a real scan.
    best = np.argmax(psnrs, axis=0)[None]
    of_best = lambda values: np.take_along_axis(values, best, 0)[0].mean(0)  # noqa: E731
    return {"psnr": of_best(psnrs), "residual": of_best(residuals), "seconds": seconds} | found, {}


def course(slices: Slices, methods: list, iterations: int):
    """PSNR and residual of each slice by methods of one kind after each iteration, (methods, slices,
    iterations), and seconds a slice of what comes before the first iteration, of each, and after the last."""
    blank = jnp.zeros(slices.problem.A.shape)

    @jax.jit
    def begin(method):
        return slices.each(lambda problem: method.init(problem, blank))

    @jax.jit
    def step(method, states):
        return slices.each(lambda problem, s: method.step(problem, s), states)

    @jax.jit
    def end(method, states):
        finish = getattr(method, "finish", lambda problem, state: state.x)
        return slices.each(lambda problem, s: finish(problem, s), states)

    @jax.jit
    def told(images):
        return slices.psnr(images), slices.each(lambda problem, x: problem.residual(x), images)

    def one(method):
        # Iteration by iteration: the images of all of them at once would not fit.
        states, curves = begin(method), []
        for _ in range(iterations):
            states = step(method, states)
            curves.append(told(end(method, states)))
        return np.moveaxis(np.array(curves), 0, -1), states

    curves, states = zip(*(one(method) for method in methods), strict=True)
    calls = (
        lambda: begin(methods[0]),
        lambda: step(methods[0], states[0]),
        lambda: end(methods[0], states[0]),
    )
    seconds = [timed(call)[1] / len(slices.sinograms) for call in calls]
    return *np.moveaxis(curves, 1, 0), seconds


def whiches(config: Config) -> list[str]:
    """What is tried in each case; the dashed line of the automatic rho is drawn last, over the others."""
    return [VARIATION, *(f"{rho:g}" for rho in config.rhos), AUTO]


def tables(config: Config, results: dict) -> str:
    """Markdown: for each case and rho the PSNR after some iterations, and the iteration of the best."""
    shown = [k for k in (1, 2, 3, 5, 8, 10, 12, 16) if k <= config.iterations]
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
        if AUTO in by_which:
            auto = by_which[AUTO]
            noise = {way: f"{min(n):.2f} to {max(n):.2f}" for way, n in auto["noise"].items()}
            lines += ["", f"{AUTO}: rho {auto['rho']:.3g}"]
            told = f"noise found in each scan, over the real one: {noise['estimate_noise']}"
            lines += ["", f"{told}; by second differences alone {noise['noise_from_differences']}"]
        if VARIATION in by_which:
            psnrs, auto = by_which[VARIATION]["psnr"], by_which[VARIATION]["automatic"]
            told = f"best weight of each scan, after {len(psnrs)} iterations: {psnrs[-1]:.2f} dB"
            lines += ["", f"{VARIATION}, {told}; automatic, {auto['weight']:.2g}: {auto['psnr'][-1]:.2f} dB"]
    return "\n".join(lines).strip() + "\n"


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Above: quality by iteration, a line for each rho; below: quality by time, with the automatic rho."""
    figure = Figure(figsize=(3.8 * len(config.cases), 6.5), layout="constrained")
    above, below = figure.subplots(2, len(config.cases), squeeze=False)
    for left, right, case in zip(above, below, config.cases, strict=True):
        by_which = results.get(case.name, {})
        for number, which in enumerate(whiches(config)):
            if which != VARIATION and (cell := by_which.get(which)) is not None:
                style = {"color": "black", "linestyle": "--"} if which == AUTO else {"color": f"C{number}"}
                left.plot(np.arange(len(cell["psnr"])) + 1, cell["psnr"], label=f"rho {which}", **style)
        left.set(title=case.name, xlabel="iteration", ylabel="PSNR, dB")
        left.title.set_fontsize(9)
        for name, label, color in (
            (AUTO, "pfitre", "C1"),
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
    todo = [(case.name, which) for case in config.cases for which in whiches(config)]
    carry_out(NAME, options, config, todo, measure, tables, picture, priors=[config.twin.prior])


if __name__ == "__main__":
    main()
