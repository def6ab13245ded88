"""See :mod:`experiments.prior_ablation.config`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments.prior_ablation.config import GROUPS, Config
from pfitre_jax.loop import run
from pfitre_jax.metrics import psnr
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.training.config import Optimisation, Pool, Report, Stage, TrainingConfig, load_config
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import PairSettings, draw, start

HERE = Path(__file__).resolve().parent
FIRST_ITERATIONS = 10
PARTS = ("wedge", "scenes", "imperfections")


def training(config: Config, name: str, instrument: Instrument, **changes) -> TrainingConfig:
    """The training of one variant; ``changes`` are those of its :class:`TrainingConfig`."""
    base = TrainingConfig(
        name=name,
        seed=config.seed,
        network=config.network,
        pairs=PairSettings(size=config.size, rho=(0.003, 0.02)),
        instrument=instrument,
        scenes=dataclasses.replace(load_config(config.parent).scenes, layouts=0.0),
        pool=Pool(views=(config.views,), scans=8, iterations=config.iterations),
        optimisation=Optimisation(method="muon", ema=0.99),
        stages=(Stage(config.steps, config.rate, warm_up=50, first_iterations=FIRST_ITERATIONS),),
        report=Report(config.steps, config.steps, config.steps, 1),
    )
    return dataclasses.replace(base, **changes)


def judge(prior: NetworkPrior, config: Config, instrument: Instrument) -> dict:
    """Mean PSNR, dB, of the loop's results on scans of training-like scenes that were not trained on."""
    like = training(config, "judge", instrument)

    @functools.partial(jax.jit, static_argnums=2)
    def scores(prior, key, instrument):
        k_scenes, k_scan = jax.random.split(key)
        fine = draw(k_scenes, like.scenes, like.pairs)
        scan = start(k_scan, fine, instrument, like.pairs, config.views, FIRST_ITERATIONS)
        loop = HQS(prior, config.rho)

        def one(problem, truth):
            value = run(loop, problem, 0 * truth, iterations=config.iterations).value
            return psnr(value, truth, problem.support)

        before = scan.each(
            lambda problem, x, truth: psnr(x, truth, problem.support), scan.state.x, scan.truth
        )
        return before, scan.each(one, scan.truth)

    # Not a key of the training's, which folds its own with the step.
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 2**31 - 2), config.scans)
    before, after = (
        np.concatenate(a) for a in zip(*(scores(prior, k, instrument) for k in keys), strict=True)
    )
    return {
        "first": float(before.mean()),
        "psnr": float(after.mean()),
        "gain": float((after - before).mean()),
    }


def alone(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    """Only these imperfections, each in every scan at the middle of its range."""
    middle = {name: (sum(getattr(instrument, name)) / 2,) * 2 for name in group}
    # Half of the equalised scans would be no middle.
    middle |= {"equalised": (1.0, 1.0)} if "equalised" in group else {}
    return dataclasses.replace(
        without(instrument, sum(GROUPS.values(), ())), probability=1.0, clean_share=0.0, **middle
    )


def without(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    return dataclasses.replace(instrument, **dict.fromkeys(group, (0.0, 0.0)))


def variants(config: Config, part: str) -> dict[str, tuple[TrainingConfig, dict[str, Instrument]]]:
    """What is trained, by name, and the instruments that each is judged with."""
    parent = load_config(config.parent)
    clean = without(parent.instrument, sum(GROUPS.values(), ()))
    make = functools.partial(training, config)
    if part == "wedge":
        network = config.network
        return {
            "all": (make("all", clean), {"clean": clean}),
            "image's frame": (
                make("frame", clean, inputs=dataclasses.replace(make("", clean).inputs, frame=False)),
                {"clean": clean},
            ),
            "nothing told": (
                make("told", clean, inputs=dataclasses.replace(make("", clean).inputs, told=False)),
                {"clean": clean},
            ),
            "no data gradient": (
                make("gradient", clean, network=dataclasses.replace(network, in_channels=1)),
                {"clean": clean},
            ),
        }
    if part == "scenes":
        pairs = make("", clean).pairs
        few = {
            str(n): (
                make(f"scenes{n}", clean, pairs=dataclasses.replace(pairs, distinct=n)),
                {"clean": clean},
            )
            for n in config.scenes
        }
        return few | {"unlimited": (make("all", clean), {"clean": clean})}
    every = parent.stage(parent.steps - 1).instrument
    tests = {name: alone(every, GROUPS[name]) for name in config.groups}
    left_out = {
        f"without {name}": (make(f"without_{name}", without(every, GROUPS[name])), {name: tests[name]})
        for name in config.groups
    }
    return {"all": (make("everything", every), tests)} | left_out
