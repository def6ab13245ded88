"""See :mod:`experiments.unrolled_training.config`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.record import Record, command_line, folder
from experiments.unrolled_training.config import PRESETS, VARIANTS, Config
from pfitre_jax.loop import run
from pfitre_jax.metrics import psnr
from pfitre_jax.priors.network import NetworkPrior, pretrained
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.primal_dual import LearnedPrimalDual
from pfitre_jax.solvers.unrolled import Unrolled
from pfitre_jax.training.config import Optimisation, Pool, Report, Stage, TrainingConfig, load_config
from pfitre_jax.training.losses import LossWeights, compare
from pfitre_jax.training.run import train
from pfitre_jax.training.step import make_optimiser
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import Batch, PairSettings, draw, start

NAME = "unrolled_training"
START = "plug-and-play"
FIRST_ITERATIONS = 10
OPTIMISATION = Optimisation(method="muon", ema=0.98)
#: Keys of the scans to judge by; those of the training are folded with the step, which stays below it.
JUDGE_KEY = 2**31 - 2


def stage(config: Config) -> Stage:
    """The parent's first stage: its scenes without files, its instrument."""
    parent = load_config(config.parent)
    return dataclasses.replace(
        parent.stage(0), scenes=dataclasses.replace(parent.stage(0).scenes, layouts=0.0)
    )


def plug_and_play(config: Config, work: Path) -> NetworkPrior:
    """The prior that the others go on from: trained where the loop stands, not through it."""
    made = TrainingConfig(
        name="plug_and_play",
        seed=config.seed,
        network=config.network,
        pairs=PairSettings(size=config.size, slices=config.slices, rho=(config.rho / 2, 2 * config.rho)),
        instrument=stage(config).instrument,
        scenes=stage(config).scenes,
        pool=Pool(views=(config.views,), scans=8, iterations=max(config.iterations)),
        optimisation=OPTIMISATION,
        stages=(Stage(config.steps, config.rate, warm_up=50, first_iterations=FIRST_ITERATIONS),),
        report=Report(config.steps, config.steps, config.steps, 1),
    )
    return pretrained(train(made, work))


def batch(config: Config, key, instrument: Instrument) -> Batch:
    """A fresh scan, scaled; its loop's start is not used."""
    k_scenes, k_scan = jax.random.split(key)
    settings = PairSettings(size=config.size, slices=config.slices, rho=(config.rho, config.rho))
    return start(k_scan, draw(k_scenes, stage(config).scenes, settings), instrument, settings, config.views)


def method(variant: str, params: dict, prior: NetworkPrior):
    """The solver of a variant from what is trained."""
    if variant == "learned primal-dual":
        return params["method"]
    trained = dataclasses.replace(prior, params=params["network"])
    rho = jnp.exp(params["log_rho"]) if "rho learned" in variant else params["rho"]
    return (Unrolled if variant.startswith("own") else HQS)(trained, rho)


def begin(variant: str, prior: NetworkPrior, config: Config) -> dict:
    """What a variant trains, where it starts."""
    if variant == "learned primal-dual":
        return {"method": LearnedPrimalDual.create(jax.random.key(config.seed), VARIANTS[variant])}
    params = {"network": prior.params, "rho": jnp.float32(config.rho)}
    if variant.startswith("own"):
        own = Unrolled.create(prior, config.rho, VARIANTS[variant])
        params = {"network": own.prior.params, "rho": own.rho}
    return params | {"log_rho": jnp.log(params["rho"])}


def results(variant: str, solver, batch: Batch, iterations: int, differentiate=None):
    """Images (slices, ny, nx) of every slice of a batch."""
    blank = jnp.zeros(batch.problem.A.shape)

    def one(problem):
        return run(solver, problem, blank, iterations=iterations, differentiate=differentiate).value

    return batch.each(one)


def fit(variant: str, prior: NetworkPrior, config: Config) -> tuple[dict, int, float]:
    """``(params, steps, seconds)``: a variant trained end to end; the average of its weights."""
    iterations = VARIANTS[variant]
    cost = iterations * {"equilibrium": 2.0, "learned primal-dual": config.primal_dual_share}.get(variant, 1)
    # From scratch, it has what the others had before.
    passes = config.passes + (config.steps if variant == "learned primal-dual" else 0)
    steps = max(1, round(passes / cost))
    optimiser = make_optimiser(OPTIMISATION, (Stage(steps, config.fine_rate, warm_up=max(1, steps // 10)),))
    differentiate = "implicit" if variant == "equilibrium" else "checkpoint"
    params = begin(variant, prior, config)

    @jax.jit
    def step(params, average, moments, number, batch):
        def loss(params):
            solver = method(variant, params, prior)
            images = results(variant, solver, batch, iterations, differentiate)
            return compare(LossWeights(), images, batch.truth)

        value, gradients = jax.value_and_grad(loss)(params)
        params, moments = optimiser.update(gradients, moments, params, number)
        decay = jnp.minimum(OPTIMISATION.ema, (1 + number) / (10 + number))
        average = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, params)
        return params, average, moments, value

    make = jax.jit(lambda key: batch(config, key, stage(config).instrument))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), steps)
    average, moments, seconds = params, optimiser.init(params), 0.0
    for number, key in enumerate(keys):
        given = jax.block_until_ready(make(key))
        began = time.monotonic()
        params, average, moments, value = jax.block_until_ready(
            step(params, average, moments, jnp.asarray(number), given)
        )
        # The first step is the compilation.
        seconds += (time.monotonic() - began) * (number > 0)
        if not np.isfinite(value):
            raise FloatingPointError(f"{variant}: the loss of step {number} is {float(value)}")
    return average, steps, seconds


def judge(variant: str, params: dict, prior: NetworkPrior, config: Config) -> dict:
    """By number of iterations: mean PSNR, dB, on scans that were not trained on, and seconds per slice."""
    fixed = variant.startswith("own") or variant == "learned primal-dual"
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), JUDGE_KEY), config.scans)
    make = jax.jit(lambda key: batch(config, key, stage(config).instrument))
    scans = [make(key) for key in keys]
    found = {}
    for iterations in (VARIANTS[variant],) if fixed else config.iterations:
        solve = jax.jit(
            lambda params, given, n=iterations: results(variant, method(variant, params, prior), given, n)
        )
        jax.block_until_ready(solve(params, scans[0]))
        began = time.monotonic()
        images = [jax.block_until_ready(solve(params, scan)) for scan in scans]
        seconds = (time.monotonic() - began) / (config.scans * config.slices)
        scores = [
            jax.vmap(lambda a, b: psnr(a, b, scan.problem.support))(image, scan.truth)  # noqa: B023
            for image, scan in zip(images, scans, strict=True)
        ]
        found[str(iterations)] = {"psnr": float(np.mean(scores)), "seconds_per_slice": seconds}
    return found


def measure(config: Config, prior: NetworkPrior, variant: str) -> tuple[dict, dict[str, np.ndarray]]:
    """A variant, trained and judged."""
    if variant == START:
        params = {"network": prior.params, "rho": jnp.float32(config.rho)}
        return {"steps": config.steps, "judged": judge(variant, params, prior, config)}, {}
    params, steps, seconds = fit(variant, prior, config)
    facts = {"steps": steps, "training_seconds": seconds, "judged": judge(variant, params, prior, config)}
    if "rho learned" in variant:
        facts["rho"] = np.exp(np.atleast_1d(params["log_rho"])).tolist()
    return facts, {}


def tables(results: dict) -> str:
    """Markdown: a row for each variant and number of iterations."""
    lines = ["| trained | steps | seconds | iterations | PSNR, dB | ms per slice |", "|---" * 6 + "|"]
    for variant, row in results.items():
        for iterations, score in row["judged"].items():
            took = f"{row['training_seconds']:.0f}" if "training_seconds" in row else ""
            cells = [variant, str(row["steps"]), took, iterations]
            cells += [f"{score['psnr']:.2f}", f"{1e3 * score['seconds_per_slice']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """Quality against time per slice, a curve for each variant."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axis = figure.subplots()
    for variant, row in results.items():
        scores = row["judged"].values()
        times = [1e3 * score["seconds_per_slice"] for score in scores]
        axis.plot(times, [score["psnr"] for score in scores], "o-", ms=4, label=variant)
    axis.set(xlabel="milliseconds per slice", ylabel="PSNR, dB", xscale="log")
    axis.legend(fontsize=8)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    out = folder(NAME, options)
    record = Record(out, NAME, config, tables, picture)
    with tempfile.TemporaryDirectory() as work:
        prior = functools.cache(lambda: plug_and_play(config, Path(work)))
        record.fill(
            [(name,) for name in (START, *config.variants)], lambda name: measure(config, prior(), name)
        )
    record.show()


if __name__ == "__main__":
    main()
