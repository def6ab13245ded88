"""Architectures of the network, each trained for the same time on one core."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np

from experiments.prior_ablation.config import ArchitectureConfig
from pfitre_jax.models import UNetConfig, count
from pfitre_jax.priors import NetworkPrior, pretrained
from pfitre_jax.training import LossWeights, Pool, TrainingConfig, train

#: First step whose time is measured: the programs are compiled before it.
TIMED_FROM = 4


def architectures(config: ArchitectureConfig) -> dict[str, UNetConfig]:
    """The networks to compare, by name."""
    base, deep = config.network, config.deep
    unshuffled = dataclasses.replace(base, unshuffled=True)
    both = dataclasses.replace(unshuffled, deep=deep)
    full, half, quarter = base.channels
    wide = dataclasses.replace(
        both, channels=(full, half * 3 // 2, quarter * 4 // 3), growth=base.growth * 4 // 3
    )
    near = dataclasses.replace(both, dilations=(1, 2))
    networks = {
        "base": base,
        "unshuffled, 1/8, 1/16": both,
        "1/8, 1/16": dataclasses.replace(base, deep=deep),
        "unshuffled": unshuffled,
        "unshuffled, 1/8, 1/16, dilations 1, 2": near,
        "unshuffled, 1/8, 1/16, wide": wide,
        "unshuffled, 1/8, 1/16, wide, dilations 1, 2": dataclasses.replace(wide, dilations=(1, 2)),
        "unshuffled, 1/8, 1/16, dilations 1, 2, twice the blocks": dataclasses.replace(
            near, blocks=2 * base.blocks
        ),
        "1/8": dataclasses.replace(base, deep=deep[:1]),
        "unshuffled, 1/8, 1/16, dilations 1, 2, 4": dataclasses.replace(both, dilations=(1, 2, 4)),
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
        report=dataclasses.replace(base.report, log_every=1, validate_every=steps, checkpoint_every=steps),
    )


def seconds_per_step(config: TrainingConfig, folder: Path) -> float:
    """Processor time of a step of a short training, the simulation of its scans included, s.

    The time of the processor does not depend on what else the machine does.
    """
    times: list[float] = []
    train(config, folder, report=lambda record: times.append(time.process_time()))
    # The last step also validates.
    measured = np.diff(times[TIMED_FROM - 1 : -1])
    return float(np.mean(measured))


def train_for(
    config: ArchitectureConfig, base: TrainingConfig, name: str, seed: int, work: Path
) -> tuple[NetworkPrior, dict[str, float]]:
    """Train one architecture for ``config.minutes``.

    Returns:
        The prior, and its parameters, steps and milliseconds per step.
    """
    network = architectures(config)[name]
    timed = training(base, network, config.timed_steps, seed)
    seconds = seconds_per_step(timed, work / "timed" / name.replace("/", "_") / str(seed))
    steps = max(round(60 * config.minutes / seconds), 2)
    weights = train(
        training(base, network, steps, seed), work / "trained" / name.replace("/", "_") / str(seed)
    )
    prior = pretrained(weights)
    return prior, {"parameters": count(prior.params), "steps": steps, "ms_per_step": 1000 * seconds}


def table(results: dict) -> list[str]:
    """Markdown lines: a row for each architecture, the mean over the seeds."""
    lines = [
        "| architecture | parameters, M | ms per step | steps | one iteration, dB | gain, dB | of each seed |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, seeds in results.items():
        scores = [cell["clean"] for cell in seeds.values()]
        mean = {key: np.mean([score[key] for score in scores]) for key in scores[0]}
        gains = ", ".join(f"{score['gain']:+.2f}" for score in scores)
        lines.append(
            f"| {name} | {mean['parameters'] / 1e6:.2f} | {mean['ms_per_step']:.0f} | {mean['steps']:.0f} | "
            f"{mean['once'] - mean['start']:+.2f} | {mean['gain']:+.2f} | {gains} |"
        )
    return lines


def draw(axis, results: dict) -> None:
    """Gain of each seed over the processor time of a step."""
    for name, seeds in results.items():
        scores = [cell["clean"] for cell in seeds.values()]
        times, gains = [s["ms_per_step"] for s in scores], [s["gain"] for s in scores]
        (line,) = axis.plot(times, gains, "o")
        axis.annotate(
            name.replace("unshuffled", "u").replace("dilations ", "d"),
            (np.mean(times), np.mean(gains)),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=6,
            color=line.get_color(),
        )
    axis.set(xlabel="ms per step, one core")
    axis.margins(x=0.35)
