"""Ablation of a prior; see :mod:`experiments.prior_ablation.config`."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import pfitre_jax as pf
from experiments.common.record import Record, command_line, output_folder
from experiments.prior_ablation import architecture
from experiments.prior_ablation.config import GROUPS, LOSSES, PARTS, PRESETS, Config
from pfitre_jax.models import UNetConfig
from pfitre_jax.priors import NetworkPrior, pretrained
from pfitre_jax.solvers import HQS, run
from pfitre_jax.training import Optimisation, Pool, Report, Stage, TrainingConfig, load_config, train
from pfitre_jax.twin import Instrument, PairSettings, draw_training_scenes, start_batch

NAME = "prior_ablation"
INITIAL_ITERATIONS = 10
ALL_ARTIFACTS = sum(GROUPS.values(), ())


def training_config(config: Config, name: str, instrument: Instrument, **changes) -> TrainingConfig:
    """Training of one variant; ``changes`` replace fields of the :class:`TrainingConfig`."""
    base = TrainingConfig(
        name=name,
        seed=config.seed,
        network=config.network,
        pairs=PairSettings(size=config.size, rho=(0.003, 0.02)),
        instrument=instrument,
        scenes=dataclasses.replace(load_config(config.parent).scenes, layouts=0.0),
        pool=Pool(views=(config.views,), scans=8, iterations=config.iterations),
        optimisation=Optimisation(method="muon", ema=0.99),
        stages=(Stage(config.steps, config.rate, warm_up=50, initial_iterations=INITIAL_ITERATIONS),),
        report=Report(config.steps, config.steps, config.steps, 1),
    )
    return dataclasses.replace(base, **changes)


def evaluate(prior: NetworkPrior, config: Config, instrument: Instrument) -> dict:
    """Mean PSNR (dB) of the initial estimate and of the result of the loop, on test scans, and their gain.

    ``once`` is the PSNR after one iteration.
    """
    test_config = training_config(config, "test", instrument)

    @jax.jit
    def scores(prior, key):
        k_scenes, k_scan = jax.random.split(key)
        fine = draw_training_scenes(k_scenes, test_config.scenes, test_config.pairs)
        scan = start_batch(k_scan, fine, instrument, test_config.pairs, config.views, INITIAL_ITERATIONS)

        def one(problem, x, truth):
            solver = HQS(prior, config.rho, stationary=True)
            results = [run(solver, problem, 0 * x, iterations=n).value for n in (1, config.iterations)]
            return jnp.stack([pf.metrics.psnr(a, truth, problem.support) for a in (x, *results)])

        return scan.each(one, scan.iterate.x, scan.truth)

    # The keys of the training are folded with its step number, which is smaller.
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 2**31 - 2), config.scans)
    before, once, after = np.mean([scores(prior, key) for key in keys], axis=(0, 1)).tolist()
    return {"start": before, "once": once, "psnr": after, "gain": after - before}


def only_artifacts(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    """Instrument with a group of artifacts only, each in every scan and at the middle of its range."""
    middle = {name: (sum(getattr(instrument, name)) / 2,) * 2 for name in group}
    clean = without_artifacts(instrument, ALL_ARTIFACTS)
    return dataclasses.replace(clean, probability=1.0, clean_share=0.0, **middle)


def without_artifacts(instrument: Instrument, group: tuple[str, ...]) -> Instrument:
    """Instrument without a group of artifacts."""
    return dataclasses.replace(instrument, **dict.fromkeys(group, (0.0, 0.0)))


def variants(config: Config, part: str) -> dict[str, tuple[TrainingConfig, dict[str, Instrument]]]:
    """Training configuration and test instruments of each variant of a part, by name."""
    parent, network = load_config(config.parent), config.network
    full, clean = parent.stage(parent.steps - 1).instrument, clean_instrument(config)
    if part == "artifacts":
        tests = {name: only_artifacts(full, GROUPS[name]) for name in config.groups}
        omitted = {
            f"without {name}": (
                training_config(config, f"without_{name}", without_artifacts(full, GROUPS[name])),
                {name: test},
            )
            for name, test in tests.items()
        }
        return {"all": (training_config(config, "all_artifacts", full), tests)} | omitted
    make = functools.partial(training_config, config, instrument=clean)
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
            "no wedge frame": make(
                "no_wedge_frame", network=dataclasses.replace(network, turned=False, condition=4)
            ),
            "no conditioning": make(
                "no_conditioning", network=dataclasses.replace(network, conditioned=False)
            ),
            "no data correction": make(
                "no_data_correction", network=dataclasses.replace(network, in_channels=1)
            ),
        }
    return {name: (config, {"clean": clean}) for name, config in trained.items()}


def networks(base: UNetConfig) -> dict[str, UNetConfig]:
    """Variants of the network ``base``, by name."""

    def wider(factor: float) -> UNetConfig:
        channels = tuple(round(factor * n) for n in base.channels)
        return dataclasses.replace(base, channels=channels, growth=round(factor * base.growth))

    return {
        "no dense block": dataclasses.replace(base, blocks=0),
        "twice the blocks": dataclasses.replace(base, blocks=2 * base.blocks),
        "no dilation": dataclasses.replace(base, dilations=(1,) * len(base.dilations)),
        "half the width": wider(0.5),
        "twice the width": wider(2),
    }


def clean_instrument(config: Config) -> Instrument:
    """Last instrument of the parent, without artifacts."""
    parent = load_config(config.parent)
    return without_artifacts(parent.stage(parent.steps - 1).instrument, ALL_ARTIFACTS)


def measure(config: Config, work: Path, part: str, name: str, seed: str = "") -> tuple[dict, dict]:
    """Train one variant and evaluate it with each of its test instruments."""
    if part == "architecture":
        settings, clean = config.architecture, clean_instrument(config)
        larger = dataclasses.replace(config, size=settings.size, views=settings.views, scans=settings.scans)
        base = training_config(larger, "architecture", clean)
        prior, facts = architecture.train_for(settings, base, name, int(seed), work)
        return {"clean": evaluate(prior, larger, clean) | facts}, {}
    training, tests = variants(config, part)[name]
    weights = train(training, work / training.name)
    return {test: evaluate(pretrained(weights), config, tests[test]) for test in tests}, {}


def tables(results: dict) -> str:
    """Markdown: one table for each part."""
    lines = []
    if "architecture" in results:
        lines += ["", *architecture.table(results["architecture"])]
    for part in PARTS["default"][:-1]:
        if part in results and part != "architecture":
            lines += ["", f"| {part} | initial estimate, dB | result, dB | gain, dB |", "|---|---|---|---|"]
            for name, row in results[part].items():
                score = row["clean"]
                lines.append(
                    f"| {name} | {score['start']:.2f} | {score['psnr']:.2f} | {score['gain']:+.2f} |"
                )
    if (part := results.get("artifacts", {})) and "all" in part:
        lines += [
            "",
            "| tested with | initial estimate, dB | trained with all | trained without it | loss, dB |",
        ]
        lines += ["|---|---|---|---|---|"]
        for name, with_all in part["all"].items():
            if omitted := part.get(f"without {name}"):
                psnrs = with_all["psnr"], omitted[name]["psnr"]
                lines.append(
                    f"| {name} | {with_all['start']:.2f} | {psnrs[0]:.2f} | {psnrs[1]:.2f} | "
                    f"{psnrs[0] - psnrs[1]:+.2f} |"
                )
    return "\n".join(lines[1:]) + "\n"


def picture(results: dict, images) -> Figure:
    """Gain of each variant, and for each group of artifacts the gain with and without it in the training."""
    columns = min(len(results), 4)
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(results) :]:
        axis.remove()
    for axis, (part, table) in zip(axes, results.items(), strict=False):
        axis.set(title=part, ylabel="gain over initial estimate, dB")
        axis.tick_params(axis="x", rotation=35)
        if part == "architecture":
            architecture.draw(axis, table)
            continue
        axis.axhline(0, color="k", lw=0.8)
        if part != "artifacts":
            axis.bar(list(table), [row["clean"]["gain"] for row in table.values()])
            continue
        with_all = table.get("all", {})
        omitted = {name.removeprefix("without "): row for name, row in table.items() if name != "all"}
        positions = np.arange(len(with_all))
        axis.bar(
            positions - 0.2, [score["gain"] for score in with_all.values()], 0.4, label="trained with all"
        )
        tested = [k for k, name in enumerate(with_all) if name in omitted]
        gains = [omitted[name][name]["gain"] for name in with_all if name in omitted]
        axis.bar(positions[tested] + 0.2, gains, 0.4, label="trained without it")
        axis.set_xticks(positions, list(with_all))
        axis.legend(fontsize=7)
    return figure


def make_record(config: Config, folder: Path) -> Record:
    """Record in a folder; the results also depend on the losses and the groups."""
    depends = {"losses": repr(LOSSES), "groups": repr(GROUPS)}
    return Record(folder, NAME, config, tables, picture, depends)


def part_cells(config: Config, part: str) -> list[tuple[str, ...]]:
    """The cells of a part: one for each variant, and for the architectures one for each seed."""
    if part != "architecture":
        return [(part, name) for name in variants(config, part)]
    names = architecture.architectures(config.architecture)
    return [(part, name, str(seed)) for seed in config.architecture.seeds for name in names]


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--only", choices=PARTS["default"], help="run one part only")
    options = parser.parse_args()
    config = PRESETS[options.preset]
    parts = PARTS[options.preset] if options.only is None else (options.only,)
    record = make_record(config, output_folder(NAME, options))
    cells = [cell for part in parts for cell in part_cells(config, part)]
    with tempfile.TemporaryDirectory() as work:
        record.fill(cells, functools.partial(measure, config, Path(work)))
    record.show()


if __name__ == "__main__":
    main()
