"""Architectures of the network, each trained for the same time on one core."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import jax
import numpy as np

from experiments.prior_ablation.config import ArchitectureConfig
from pfitre_jax.models import UNetConfig, count
from pfitre_jax.priors import NetworkPrior, pretrained
from pfitre_jax.training import LossWeights, Pool, Programs, TrainingConfig, train


def architectures(config: ArchitectureConfig) -> dict[str, UNetConfig]:
    """The networks to compare, by name."""

    def changed(**fields) -> UNetConfig:
        return dataclasses.replace(config.network, **fields)

    full, half, quarter = config.network.channels
    deep, wide = {"deep": config.deep}, {"channels": (full, half, quarter * 4 // 3)}
    networks = {
        "base": changed(),
        "unshuffled": changed(unshuffled=True),
        "1/8, 1/16, dilations 1, 2": changed(**deep, dilations=(1, 2)),
        "1/8, 1/16": changed(**deep),
        "half the channels at full resolution": changed(channels=(full // 2, half, quarter)),
        "wide": changed(**wide, growth=config.network.growth * 4 // 3),
        "twice the blocks": changed(blocks=2 * config.network.blocks),
        "dilations 1, 2, 4": changed(dilations=(1, 2, 4)),
        "unshuffled, 1/8, 1/16": changed(**deep, unshuffled=True),
    }
    return {name: networks[name] for name in config.names or networks}


def training(base: TrainingConfig, network: UNetConfig, steps: int, seed: int) -> TrainingConfig:
    """Training of one architecture: single proposals, on the loop's iterates after the first steps."""
    stage = dataclasses.replace(base.stages[0], steps=steps, warm_up=min(100, steps // 4))
    return dataclasses.replace(
        base,
        network=network,
        seed=seed,
        stages=(stage,),
        losses=LossWeights(l1=0.25, rms=1.0, gradient=0.05),
        pool=Pool(base.pool.views, base.pool.scans, base.pool.iterations, alone_share=0.05),
        report=dataclasses.replace(base.report, log_every=20, validate_every=steps, checkpoint_every=steps),
    )


class _Timer:
    """Processor times of a training's steps and of the simulation of its scans, s."""

    def __init__(self, config: TrainingConfig):
        key = jax.random.key(config.seed)
        prior = NetworkPrior.create(config.network, key)
        self.programs, self.stage = (
            Programs(config, dataclasses.replace(prior, symmetric=False)),
            config.stage(0),
        )
        self.simulate = lambda: self.programs.start_batch(key, config.pool.views[0], self.stage)
        self.batch = self.simulate()
        self.state = self.programs.start_state(prior, self.stage)
        self.step_times: list[float] = []
        self.start_times: list[float] = []
        self.step()

    def step(self) -> None:
        start = time.process_time()
        self.state, batch, _ = self.programs.step(self.state, self.batch, self.stage)
        jax.block_until_ready((self.state, batch))
        self.step_times.append(time.process_time() - start)

    def start(self) -> None:
        start = time.process_time()
        jax.block_until_ready(self.simulate())
        self.start_times.append(time.process_time() - start)

    def seconds(self, iterations: int) -> float:
        """Of a step, where a scan is simulated for every ``iterations`` steps."""
        return float(np.median(self.step_times[1:]) + np.median(self.start_times) / iterations)


def step_seconds(base: TrainingConfig, other: TrainingConfig, steps: int) -> tuple[float, float]:
    """Processor time of a step of two trainings, s.

    The steps alternate, so that whatever else the machine does slows both down.
    """
    timers = [_Timer(config) for config in (base, other)]
    for _ in range(steps):
        for timer in timers:
            timer.step()
            timer.start()
    first, second = (timer.seconds(base.pool.iterations) for timer in timers)
    return first, second


def train_for(
    config: ArchitectureConfig, base: TrainingConfig, name: str, seed: int, work: Path
) -> tuple[NetworkPrior, dict[str, float]]:
    """Train one architecture for as long as ``config.network`` needs for ``config.steps``.

    Returns:
        The prior, and its parameters, steps and time of a step, relative to ``config.network`` and in ms.
    """
    network = architectures(config)[name]
    reference = training(base, config.network, config.steps, seed)
    first, second = step_seconds(reference, training(base, network, config.steps, seed), config.timed_steps)
    relative = 1.0 if network == config.network else second / first
    steps = max(round(config.steps / relative), 2)
    folder = work / name.replace("/", "_") / str(seed)
    prior = pretrained(train(training(base, network, steps, seed), folder))
    facts = {"parameters": count(prior.params), "steps": steps, "relative": relative, "ms": 1000 * second}
    return prior, facts


def table(results: dict) -> list[str]:
    """Markdown lines: a row for each architecture, the mean over the seeds."""
    lines = [
        "| architecture | parameters, M | time of a step | steps | one iteration, dB | gain, dB | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, seeds in results.items():
        scores = [cell["clean"] for cell in seeds.values()]
        mean = {key: np.mean([score[key] for score in scores]) for key in scores[0]}
        gains = ", ".join(f"{score['gain']:+.2f}" for score in scores)
        lines.append(
            f"| {name} | {mean['parameters'] / 1e6:.2f} | {mean['relative']:.2f} | {mean['steps']:.0f} | "
            f"{mean['once'] - mean['start']:+.2f} | {mean['gain']:+.2f} | {gains} |"
        )
    return lines


def draw(axis, results: dict) -> None:
    """Gain of each seed over the time of a step."""
    for name, seeds in results.items():
        scores = [cell["clean"] for cell in seeds.values()]
        times, gains = [s["relative"] for s in scores], [s["gain"] for s in scores]
        (line,) = axis.plot(times, gains, "o")
        axis.annotate(
            name,
            (np.mean(times), np.mean(gains)),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=7,
            color=line.get_color(),
        )
    axis.set(xlabel="time of a step, relative")
    axis.margins(x=0.4, y=0.12)
