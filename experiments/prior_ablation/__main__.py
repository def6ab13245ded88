"""See :mod:`experiments.prior_ablation.config`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.prior_ablation.config import GROUPS, LOSSES, PARTS, PRESETS, Config
from experiments.record import Record, command_line, folder
from pfitre_jax.metrics import psnr
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors.files import pretrained
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.training import Optimisation, Pool, Report, Stage, TrainingConfig, load_config, train
from pfitre_jax.twin import Instrument
from pfitre_jax.twin.pairs import PairSettings, draw, start

NAME = "prior_ablation"
FIRST_ITERATIONS = 10
EVERY = sum(GROUPS.values(), ())


def training(config: Config, name: str, instrument: Instrument, **changes) -> TrainingConfig:
    """The training of one variant; ``changes`` are fields of its :class:`TrainingConfig`."""
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
    """Mean PSNR, dB, of the loop's results, and of what it starts from, on scans that were not trained on."""
    like = training(config, "judge", instrument)

    @jax.jit
    def scores(prior, key):
        k_scenes, k_scan = jax.random.split(key)
        fine = draw(k_scenes, like.scenes, like.pairs)
        scan = start(k_scan, fine, instrument, like.pairs, config.views, FIRST_ITERATIONS)

        def one(problem, x, truth):
            result = run(HQS(prior, config.rho), problem, 0 * x, iterations=config.iterations).value
            return psnr(x, truth, problem.support), psnr(result, truth, problem.support)

        return scan.each(one, scan.state.x, scan.truth)

    # Not a key of the training's, which folds its own with the step.
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 2**31 - 2), config.scans)
    before, after = np.mean([scores(prior, key) for key in keys], axis=(0, 2))
    return {"start": float(before), "psnr": float(after), "gain": float(after - before)}


def alone(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    """Only these imperfections, each in every scan, at the middle of its range."""
    middle = {name: (sum(getattr(instrument, name)) / 2,) * 2 for name in group}
    clean = without(instrument, EVERY)
    return dataclasses.replace(clean, probability=1.0, clean_share=0.0, **middle)


def without(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    return dataclasses.replace(instrument, **dict.fromkeys(group, (0.0, 0.0)))


def variants(config: Config, part: str) -> dict[str, tuple[TrainingConfig, dict[str, Instrument]]]:
    """What is trained, by name, and the instruments that each is judged with."""
    parent, network = load_config(config.parent), config.network
    every = parent.stage(parent.steps - 1).instrument
    clean = without(every, EVERY)
    if part == "imperfections":
        tests = {name: alone(every, GROUPS[name]) for name in config.groups}
        blind = {
            f"without {name}": (
                training(config, f"without_{name}", without(every, GROUPS[name])),
                {name: test},
            )
            for name, test in tests.items()
        }
        return {"all": (training(config, "all_imperfections", every), tests)} | blind
    make = functools.partial(training, config, instrument=clean)
    if part == "optimiser":
        adamw = dataclasses.replace(make("base").optimisation, method="adamw")
        trained = {"Muon": make("base"), "AdamW": make("adamw", optimisation=adamw)}
    elif part == "scenes":
        pairs = make("base").pairs
        trained = {
            str(n): make(f"scenes_{n}", pairs=dataclasses.replace(pairs, distinct=n)) for n in config.scenes
        } | {"unlimited": make("base")}
    elif part == "network":
        trained = {"all": make("base")} | {
            name: make(name.replace(" ", "_"), network=changed) for name, changed in networks(network).items()
        }
    elif part == "loss":
        trained = {"L1 and gradient": make("base")} | {
            name: make(name.replace(" ", "_"), losses=dataclasses.replace(make("base").losses, **change))
            for name, change in LOSSES.items()
        }
    else:
        trained = {
            "all": make("base"),
            "not turned": make("not_turned", network=dataclasses.replace(network, turned=False, condition=4)),
            "not told": make("not_told", network=dataclasses.replace(network, conditioned=False)),
            "no data gradient": make("no_gradient", network=dataclasses.replace(network, in_channels=1)),
        }
    return {name: (config, {"clean": clean}) for name, config in trained.items()}


def networks(base: UNetConfig) -> dict[str, UNetConfig]:
    """The layouts that are compared with ``base``."""

    def wider(factor: float) -> UNetConfig:
        channels = tuple(round(factor * n) for n in base.channels)
        return dataclasses.replace(base, channels=channels, growth=round(factor * base.growth))

    return {
        "no dense block": dataclasses.replace(base, blocks=0),
        "twice the blocks": dataclasses.replace(base, blocks=2 * base.blocks),
        "no dilation": dataclasses.replace(base, dilations=(1,) * len(base.dilations)),
        "half as wide": wider(0.5),
        "twice as wide": wider(2),
    }


def measure(config: Config, work: Path, part: str, name: str) -> tuple[dict, dict]:
    """Train one variant and judge it with each of its instruments."""
    made, tests = variants(config, part)[name]
    weights = train(made, work / made.name)
    return {test: judge(pretrained(weights), config, tests[test]) for test in tests}, {}


def tables(results: dict) -> str:
    """Markdown: a table for each part."""
    lines = []
    for part in PARTS["default"][:-1]:
        if part in results:
            lines += ["", f"| {part} | start, dB | result, dB | gain, dB |", "|---|---|---|---|"]
            for name, row in results[part].items():
                score = row["clean"]
                lines.append(
                    f"| {name} | {score['start']:.2f} | {score['psnr']:.2f} | {score['gain']:+.2f} |"
                )
    if (part := results.get("imperfections", {})) and "all" in part:
        lines += ["", "| tested with | start, dB | trained with all | trained without it | lost |"]
        lines += ["|---|---|---|---|---|"]
        for name, seen in part["all"].items():
            if blind := part.get(f"without {name}"):
                score, lost = blind[name]["psnr"], seen["psnr"] - blind[name]["psnr"]
                lines.append(
                    f"| {name} | {seen['start']:.2f} | {seen['psnr']:.2f} | {score:.2f} | {lost:+.2f} |"
                )
    return "\n".join(lines[1:]) + "\n"


def picture(results: dict, images) -> Figure:
    """Bars: the gain of each variant, and with each group of imperfections of both priors."""
    figure = Figure(figsize=(4 * len(results), 3.4), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (part, table) in zip(axes, results.items(), strict=True):
        axis.set(title=part, ylabel="gain over the start, dB")
        axis.tick_params(axis="x", rotation=35)
        axis.axhline(0, color="k", lw=0.8)
        if part != "imperfections":
            axis.bar(list(table), [row["clean"]["gain"] for row in table.values()])
            continue
        seen = table.get("all", {})
        blind = {name.removeprefix("without "): row for name, row in table.items() if name != "all"}
        place = np.arange(len(seen))
        axis.bar(place - 0.2, [score["gain"] for score in seen.values()], 0.4, label="trained with all")
        known = [k for k, name in enumerate(seen) if name in blind]
        gains = [blind[name][name]["gain"] for name in seen if name in blind]
        axis.bar(place[known] + 0.2, gains, 0.4, label="trained without it")
        axis.set_xticks(place, list(seen))
        axis.legend(fontsize=7)
    return figure


def record(config: Config, where: Path) -> Record:
    """The results in the folder ``where``."""
    depends = {"losses": repr(LOSSES), "groups": repr(GROUPS)}
    return Record(where, NAME, config, tables, picture, depends)


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", choices=PARTS["default"])
    options = parser.parse_args()
    config = PRESETS[options.preset]
    parts = PARTS[options.preset] if options.only is None else (options.only,)
    results = record(config, folder(NAME, options))
    todo = [(part, name) for part in parts for name in variants(config, part)]
    with tempfile.TemporaryDirectory() as work:
        results.fill(todo, functools.partial(measure, config, Path(work)))
    results.show()


if __name__ == "__main__":
    main()
