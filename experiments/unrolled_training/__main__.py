"""Training through the loop; see :mod:`experiments.unrolled_training.config`."""

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

import pfitre_jax as pf
from experiments.common.record import Record, command_line, output_folder
from experiments.unrolled_training.config import PRESETS, VARIANTS, Config
from pfitre_jax.contrib import LearnedPrimalDual
from pfitre_jax.priors import NetworkPrior, UnrolledPrior, pretrained
from pfitre_jax.solvers import HQS, run
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
from pfitre_jax.twin import Batch, Instrument, PairSettings, draw_training_scenes, start_batch

NAME = "unrolled_training"
START = "plug-and-play"
#: Variants with separate parameters for each of a fixed number of iterations.
FIXED = ("separate weights, rho learned", "learned primal-dual")
INITIAL_ITERATIONS = 10
OPTIMISATION = Optimisation(method="muon", ema=0.98)
#: Key of the test scans; the keys of the training are folded with its step number, which is smaller.
TEST_KEY = 2**31 - 2


def parent_stage(config: Config) -> Stage:
    """First stage of the parent configuration, without the scenes that need files."""
    stage = load_config(config.parent).stage(0)
    return dataclasses.replace(stage, scenes=dataclasses.replace(stage.scenes, layouts=0.0))


def training_config(config: Config, *more: Stage) -> TrainingConfig:
    """Plug-and-play training that all variants start from, followed by the stages ``more``."""
    first = Stage(config.steps, config.rate, warm_up=50, initial_iterations=INITIAL_ITERATIONS)
    stages = (first, *more)
    steps = stages[-1].steps
    return TrainingConfig(
        name="plug_and_play",
        seed=config.seed,
        network=config.network,
        pairs=PairSettings(size=config.size, slices=config.slices, rho=(config.rho / 2, 2 * config.rho)),
        instrument=parent_stage(config).instrument,
        scenes=parent_stage(config).scenes,
        pool=Pool(views=(config.views,), scans=8, iterations=max(config.iterations)),
        optimisation=OPTIMISATION,
        stages=stages,
        report=Report(steps, steps, steps, 1),
    )


def continue_training(
    config: Config, prior: NetworkPrior, work: Path, unrolled: int, steps: int
) -> NetworkPrior:
    """Prior after ``steps`` further steps of the package's training, through ``unrolled`` iterations."""
    stage = Stage(
        steps,
        config.fine_rate,
        warm_up=max(1, steps // 10),
        initial_iterations=INITIAL_ITERATIONS,
        unrolled=unrolled,
        name="more",
    )
    out = work / f"more_{unrolled}"
    return pretrained(train(training_config(config, stage), out, weights=prior, stage="more"))


def draw_batch(config: Config, key, instrument: Instrument) -> Batch:
    """Slices of a new simulated scan, scaled."""
    k_scenes, k_scan = jax.random.split(key)
    settings = PairSettings(size=config.size, slices=config.slices, rho=(config.rho, config.rho))
    scenes = draw_training_scenes(k_scenes, parent_stage(config).scenes, settings)
    return start_batch(k_scan, scenes, instrument, settings, config.views)


def initial_params(variant: str, prior: NetworkPrior, config: Config) -> dict:
    """Parameters that a variant trains, before its training."""
    if variant == "learned primal-dual":
        return {"method": LearnedPrimalDual.create(jax.random.key(config.seed), VARIANTS[variant])}
    log_rho = jnp.log(jnp.float32(config.rho))
    if variant in FIXED:
        stacked = UnrolledPrior.create(prior, config.rho, VARIANTS[variant])
        return {"network": stacked.prior.params, "log_rho": jnp.log(stacked.rho)}
    params = {"network": prior.params}
    return params | ({"log_rho": log_rho} if "rho learned" in variant else {})


def build_solver(variant: str, params: dict, prior: NetworkPrior, config: Config):
    """Solver of a variant from its parameters."""
    if variant == "learned primal-dual":
        return params["method"]
    trained = dataclasses.replace(prior, params=params["network"])
    rho = jnp.exp(params["log_rho"]) if "log_rho" in params else jnp.float32(config.rho)
    if variant in FIXED:
        return HQS(UnrolledPrior(trained, rho), rho)
    return HQS(trained, rho, stationary=True)


def solve(solver, batch: Batch, iterations: int, differentiate=None):
    """Images (slices, ny, nx), and whether the gradient of each slice converged (slices,)."""
    blank = jnp.zeros(batch.problem.A.shape)

    def one(problem):
        solution = run(solver, problem, blank, iterations=iterations, differentiate=differentiate)
        return solution.value, solution.status != int(pf.Status.NOT_AT_FIXED_POINT)

    return batch.each(one)


def steps_of(variant: str, config: Config) -> int:
    """Training steps of a variant, so that all variants have the same number of network passes."""
    relative_cost = {"equilibrium": 2.0, "learned primal-dual": config.primal_dual_share}.get(variant, 1)
    # Learned primal-dual starts from scratch: it also gets the steps of the common first training.
    passes = config.passes + (config.steps if variant == "learned primal-dual" else 0)
    return max(1, round(passes / (VARIANTS[variant] * relative_cost)))


def fit(variant: str, prior: NetworkPrior, config: Config) -> tuple[dict, float]:
    """End-to-end training of a variant.

    Returns:
        Averaged parameters, and the share of slices whose gradient converged.
    """
    iterations, steps = VARIANTS[variant], steps_of(variant, config)
    # Muon would treat stacked kernels and stacked biases as one matrix.
    optimiser_name = "adamw" if variant in FIXED else OPTIMISATION.method
    optimiser = make_optimiser(
        dataclasses.replace(OPTIMISATION, method=optimiser_name),
        (Stage(steps, config.fine_rate, warm_up=max(1, steps // 10)),),
        stacked_axes=lambda parameters: 0,
    )
    differentiate = "implicit" if variant == "equilibrium" else "checkpoint"
    params = initial_params(variant, prior, config)

    @jax.jit
    def step(params, average, moments, number, batch):
        def loss(params):
            solver = build_solver(variant, params, prior, config)
            images, converged = solve(solver, batch, iterations, differentiate)
            return compare(LossWeights(), images, batch.truth), jnp.mean(converged)

        (value, converged), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        params, moments = optimiser.update(gradients, moments, params, number)
        decay = jnp.minimum(OPTIMISATION.ema, (1 + number) / (10 + number))
        average = jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, params)
        return params, average, moments, value, converged

    make_batch = jax.jit(lambda key: draw_batch(config, key, parent_stage(config).instrument))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), steps)
    average, moments, converged_shares = params, optimiser.init(params), []
    for number, key in enumerate(keys):
        params, average, moments, value, converged = step(
            params, average, moments, jnp.asarray(number), make_batch(key)
        )
        converged_shares.append(float(converged))
        if not np.isfinite(value):
            raise FloatingPointError(f"{variant}: the loss of step {number} is {float(value)}")
    return average, float(np.mean(converged_shares))


def evaluate(variant: str, params: dict, prior: NetworkPrior, config: Config) -> dict:
    """Mean PSNR (dB) on test scans and seconds per slice, by number of iterations."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), TEST_KEY), config.scans)
    make_batch = jax.jit(lambda key: draw_batch(config, key, parent_stage(config).instrument))
    scans = [make_batch(key) for key in keys]
    scores = {}
    for iterations in (VARIANTS[variant],) if variant in FIXED else config.iterations:
        solve_scan = jax.jit(
            lambda params, scan, n=iterations: solve(build_solver(variant, params, prior, config), scan, n)[0]
        )
        jax.block_until_ready(solve_scan(params, scans[0]))
        began = time.monotonic()
        images = [jax.block_until_ready(solve_scan(params, scan)) for scan in scans]
        seconds = (time.monotonic() - began) / (config.scans * config.slices)
        psnrs = [
            jax.vmap(lambda a, b: pf.metrics.psnr(a, b, scan.problem.support))(image, scan.truth)  # noqa: B023
            for image, scan in zip(images, scans, strict=True)
        ]
        scores[str(iterations)] = {"psnr": float(np.mean(psnrs)), "seconds_per_slice": seconds}
    return scores


def measure(config: Config, prior: NetworkPrior, work: Path, variant: str) -> tuple[dict, dict]:
    """Train and evaluate one variant."""
    began, facts = time.monotonic(), {}
    if variant == START:
        params, steps = {"network": prior.params}, config.steps
    else:
        steps = steps_of(variant, config)
        if variant in ("plug-and-play, longer", "unrolled"):
            trained = continue_training(config, prior, work, VARIANTS[variant], steps)
            params = {"network": trained.params}
        else:
            params, facts["converged"] = fit(variant, prior, config)
        facts["training_seconds"] = time.monotonic() - began
    if "log_rho" in params:
        facts["rho"] = np.exp(np.atleast_1d(params["log_rho"])).tolist()
    return {"steps": steps, "scores": evaluate(variant, params, prior, config)} | facts, {}


def tables(results: dict) -> str:
    """Markdown: one line for each variant and number of iterations."""
    lines = ["| variant | steps | training, s | iterations | PSNR, dB | ms per slice |", "|---" * 6 + "|"]
    for variant, row in results.items():
        for iterations, score in row["scores"].items():
            seconds = f"{row['training_seconds']:.0f}" if "training_seconds" in row else ""
            cells = [variant, str(row["steps"]), seconds, iterations]
            cells += [f"{score['psnr']:.2f}", f"{1e3 * score['seconds_per_slice']:.0f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """PSNR by time per slice, one curve for each variant."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axis = figure.subplots()
    for variant, row in results.items():
        scores = row["scores"].values()
        times = [1e3 * score["seconds_per_slice"] for score in scores]
        axis.plot(times, [score["psnr"] for score in scores], "o-", ms=4, label=variant)
    axis.set(xlabel="milliseconds per slice", ylabel="PSNR, dB", xscale="log")
    axis.legend(fontsize=8)
    return figure


def main() -> None:
    options = command_line(NAME).parse_args()
    config = PRESETS[options.preset]
    depends = {name: repr(n) for name, n in VARIANTS.items()}
    record = Record(output_folder(NAME, options), NAME, config, tables, picture, depends)
    with tempfile.TemporaryDirectory() as work:
        prior = functools.cache(lambda: pretrained(train(training_config(config), Path(work) / "first")))
        record.fill(
            [(name,) for name in (START, *config.variants)],
            lambda name: measure(config, prior(), Path(work), name),
        )
    record.show()


if __name__ == "__main__":
    main()
