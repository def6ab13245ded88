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
from pfitre_jax.solvers.unrolled import Unrolled

from experiments.record import Record, command_line, folder
from experiments.unrolled_training.config import PRESETS, VARIANTS, Config
from pfitre_jax.contrib.primal_dual import LearnedPrimalDual
from pfitre_jax.metrics import psnr
from pfitre_jax.priors.files import pretrained
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Status, run
from pfitre_jax.training import (
    LossWeights,
    Optimisation,
    Pool,
    Report,
    Stage,
    TrainingConfig,
    compare,
    load_config,
    make_optimiser,
    train,
)
from pfitre_jax.twin import Instrument
from pfitre_jax.twin.pairs import Batch, PairSettings, draw, start

NAME = "unrolled_training"
START = "plug-and-play"
#: What has parameters for a fixed number of iterations, stacked.
FIXED = ("own weights, rho learned", "learned primal-dual")
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


def training(config: Config, *more: Stage) -> TrainingConfig:
    """Of the prior that all go on from, where the loop stands, and stages after that."""
    first = Stage(config.steps, config.rate, warm_up=50, first_iterations=FIRST_ITERATIONS)
    stages = (first, *more)
    steps = stages[-1].steps
    return TrainingConfig(
        name="plug_and_play",
        seed=config.seed,
        network=config.network,
        pairs=PairSettings(size=config.size, slices=config.slices, rho=(config.rho / 2, 2 * config.rho)),
        instrument=stage(config).instrument,
        scenes=stage(config).scenes,
        pool=Pool(views=(config.views,), scans=8, iterations=max(config.iterations)),
        optimisation=OPTIMISATION,
        stages=stages,
        report=Report(steps, steps, steps, 1),
    )


def trained_on(config: Config, prior: NetworkPrior, work: Path, unrolled: int, steps: int) -> NetworkPrior:
    """The prior after more steps of the package's own training, through so many iterations."""
    more = Stage(
        steps,
        config.fine_rate,
        warm_up=max(1, steps // 10),
        first_iterations=FIRST_ITERATIONS,
        unrolled=unrolled,
        name="more",
    )
    out = work / f"more_{unrolled}"
    return pretrained(train(training(config, more), out, weights=prior, stage="more"))


def batch(config: Config, key, instrument: Instrument) -> Batch:
    """A fresh scan, scaled; its loop's start is not used."""
    k_scenes, k_scan = jax.random.split(key)
    settings = PairSettings(size=config.size, slices=config.slices, rho=(config.rho, config.rho))
    return start(k_scan, draw(k_scenes, stage(config).scenes, settings), instrument, settings, config.views)


def method(variant: str, params: dict, prior: NetworkPrior, config: Config):
    """The solver of a variant from what is trained."""
    if variant == "learned primal-dual":
        return params["method"]
    trained = dataclasses.replace(prior, params=params["network"])
    rho = jnp.exp(params["log_rho"]) if "log_rho" in params else jnp.float32(config.rho)
    return (Unrolled if variant in FIXED else HQS)(trained, rho)


def begin(variant: str, prior: NetworkPrior, config: Config) -> dict:
    """What a variant trains, where it starts."""
    if variant == "learned primal-dual":
        return {"method": LearnedPrimalDual.create(jax.random.key(config.seed), VARIANTS[variant])}
    if variant in FIXED:
        own = Unrolled.create(prior, config.rho, VARIANTS[variant])
        return {"network": own.prior.params, "log_rho": jnp.log(own.rho)}
    params = {"network": prior.params}
    return params | ({"log_rho": jnp.log(jnp.float32(config.rho))} if "rho learned" in variant else {})


def results(solver, batch: Batch, iterations: int, differentiate=None):
    """``(images, settled)``: (slices, ny, nx), and whether each slice's gradient holds."""
    blank = jnp.zeros(batch.problem.A.shape)

    def one(problem):
        done = run(solver, problem, blank, iterations=iterations, differentiate=differentiate)
        return done.value, done.status != int(Status.UNSETTLED)

    return batch.each(one)


def steps_of(variant: str, config: Config) -> int:
    """Steps of a variant, so that all have as many passes of the network."""
    cost = VARIANTS[variant] * {"equilibrium": 2.0, "learned primal-dual": config.primal_dual_share}.get(
        variant, 1
    )
    # From scratch, it has what the others had before.
    passes = config.passes + (config.steps if variant == "learned primal-dual" else 0)
    return max(1, round(passes / cost))


def fit(variant: str, prior: NetworkPrior, config: Config) -> tuple[dict, float]:
    """``(params, settled)``: a variant trained end to end, the average of its weights, and the share of the
    slices whose gradient held."""
    iterations, steps = VARIANTS[variant], steps_of(variant, config)
    # Muon takes a stack of kernels, or of biases, for one matrix.
    kind = "adamw" if variant in FIXED else OPTIMISATION.method
    optimiser = make_optimiser(
        dataclasses.replace(OPTIMISATION, method=kind),
        (Stage(steps, config.fine_rate, warm_up=max(1, steps // 10)),),
    )
    differentiate = "implicit" if variant == "equilibrium" else "checkpoint"
    params = begin(variant, prior, config)

    @jax.jit
    def step(params, average, moments, number, batch):
        def loss(params):
            solver = method(variant, params, prior, config)
            images, settled = results(solver, batch, iterations, differentiate)
            return compare(LossWeights(), images, batch.truth), jnp.mean(settled)

        (value, settled), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        params, moments = optimiser.update(gradients, moments, params, number)
        decay = jnp.minimum(OPTIMISATION.ema, (1 + number) / (10 + number))
        average = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, params)
        return params, average, moments, value, settled

    make = jax.jit(lambda key: batch(config, key, stage(config).instrument))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), steps)
    average, moments, held = params, optimiser.init(params), []
    for number, key in enumerate(keys):
        params, average, moments, value, settled = step(
            params, average, moments, jnp.asarray(number), make(key)
        )
        held.append(float(settled))
        if not np.isfinite(value):
            raise FloatingPointError(f"{variant}: the loss of step {number} is {float(value)}")
    return average, float(np.mean(held))


def judge(variant: str, params: dict, prior: NetworkPrior, config: Config) -> dict:
    """By number of iterations: mean PSNR, dB, on scans that were not trained on, and seconds per slice."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), JUDGE_KEY), config.scans)
    make = jax.jit(lambda key: batch(config, key, stage(config).instrument))
    scans = [make(key) for key in keys]
    found = {}
    for iterations in (VARIANTS[variant],) if variant in FIXED else config.iterations:
        solve = jax.jit(
            lambda params, given, n=iterations: results(method(variant, params, prior, config), given, n)[0]
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


def measure(config: Config, prior: NetworkPrior, work: Path, variant: str) -> tuple[dict, dict]:
    """A variant, trained and judged."""
    began, facts = time.monotonic(), {}
    if variant == START:
        params, steps = {"network": prior.params}, config.steps
    else:
        steps = steps_of(variant, config)
        if variant in ("plug-and-play, longer", "unrolled"):
            more = trained_on(config, prior, work, VARIANTS[variant], steps)
            params = {"network": more.params}
        else:
            params, facts["settled"] = fit(variant, prior, config)
        facts["training_seconds"] = time.monotonic() - began
    if "log_rho" in params:
        facts["rho"] = np.exp(np.atleast_1d(params["log_rho"])).tolist()
    return {"steps": steps, "judged": judge(variant, params, prior, config)} | facts, {}


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
    record = Record(out, NAME, config, tables, picture, {name: repr(n) for name, n in VARIANTS.items()})
    with tempfile.TemporaryDirectory() as work:
        prior = functools.cache(lambda: pretrained(train(training(config), Path(work) / "first")))
        record.fill(
            [(name,) for name in (START, *config.variants)],
            lambda name: measure(config, prior(), Path(work), name),
        )
    record.show()


if __name__ == "__main__":
    main()
