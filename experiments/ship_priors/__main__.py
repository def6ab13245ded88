"""See :mod:`experiments.ship_priors.config`."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path

from experiments.record import command_line
from experiments.ship_priors.config import PRESETS, Config
from pfitre_jax import evaluate as judge
from pfitre_jax.engine import methods
from pfitre_jax.evaluate import worst
from pfitre_jax.io.results import write_files
from pfitre_jax.priors.files import available, locate, pretrained
from pfitre_jax.training.run import train

NAME = "ship_priors"


class Spent(Exception):
    """The budget is."""


def path_of(out: Path, name: str) -> Path:
    """Weights that this experiment makes."""
    return out / name / f"{name}.npz"


def make(config: Config, name: str, out: Path, anew: bool, enough, command: str) -> Path:
    """The weights of a prior, trained as far as its configuration goes, or :class:`Spent`."""
    recipe, training, path = config.priors[name], config.training(name), path_of(out, name)
    _, last = (0, training.steps) if recipe.stage is None else training.span(recipe.stage)
    begun = (out / name / "checkpoints").is_dir()
    if path.is_file() and pretrained(path).card["steps"] >= last:
        return path
    weights = None
    if recipe.first is not None:
        made = path_of(out, recipe.first)
        weights = pretrained(made if made.is_file() else recipe.first)
    elif not anew and not begun and name in available():
        weights = pretrained(name)
        if weights.card["steps"] >= last:
            print(f"{name}: the shipped weights have made all {last} steps; --anew trains from nothing")
            return locate(name)

    def report(record: dict) -> None:
        shown = {k: record[k] for k in ("loss", "validation_psnr", "seconds_per_step") if k in record}
        print(f"{name} {record['step']}/{last}", *(f"{k} {v:.4g}" for k, v in shown.items()), flush=True)

    done = train(
        training,
        path.parent,
        command=command,
        weights=weights,
        stage=recipe.stage,
        report=report,
        enough=enough,
    )
    if pretrained(done).card["steps"] < last:
        raise Spent
    return done


def judged(config: Config, path: Path, out: Path, enough, command: str = "") -> dict:
    """The summary of ``pfitre evaluate`` of a prior's weights; tables and pictures lie in ``out``.

    command: that the scores are written into the card with; "" to leave it as it is
    """
    prior = pretrained(path)
    joint = getattr(prior, "reach", 0) > 0
    settings = config.settings.of_volumes() if joint else config.settings
    asked = methods.settings("pfitre", joint=joint, prior=prior)
    parameters = {name: asked[name] for name in ("rho", "iterations")}

    def progress(done: int, total: int) -> None:
        print(f"{out}: {done}/{total} cells", flush=True)
        if done < total and enough():
            raise Spent

    records = judge.evaluate(prior, settings, **parameters, only=config.only, folder=out, progress=progress)
    told = {**parameters, "prior": prior.card.get("name")}
    picture = worst.picture(prior, worst.worst(records), settings, **parameters)
    judge.save(records, settings, told, out, picture)
    if command:
        judge.write_card(path, prior, records, settings, parameters, command)
    return judge.summarise(records)


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--prior", choices=PRESETS["default"].priors, help="only this one; default all")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop after these, to go on later")
    parser.add_argument("--anew", action="store_true", help="train from nothing, not from what is shipped")
    parser.add_argument("--install", action="store_true", help="ship what is at least as good")
    options = parser.parse_args()
    config, began = PRESETS[options.preset], time.monotonic()
    out = options.out or Path("runs") / ("ship" if options.preset == "default" else f"ship_{options.preset}")
    enough = lambda: options.budget is not None and time.monotonic() - began > 60 * options.budget  # noqa: E731
    command = " ".join(["python -m experiments.ship_priors", *map(shlex.quote, sys.argv[1:])])
    lines = []
    try:
        for name in config.priors if options.prior is None else [options.prior]:
            before = judged(config, locate(name), out / name / "shipped", enough)
            path = make(config, name, out, options.anew, enough, command)
            after = before
            if path != locate(name):
                after = judged(config, path, out / name / "judged", enough, command)
                if options.install and after["gain"]["mean"] >= before["gain"]["mean"]:
                    install(path)
            lines.append(row(name, before, after))
    except Spent:
        print("the budget is spent; the same command goes on")
    if lines:
        header = "| prior | gain over FISTA-TV, dB: shipped | made | worst scan | residual / noise |"
        text = "\n".join([header, "|---|---|---|---|---|", *lines])
        print(text)
        write_files(out, {"table.md": lambda path: path.write_text(text + "\n")})


def row(name: str, before: dict, after: dict) -> str:
    """Of the table: means over the base case."""
    gain, worst_gain = (lambda s: f"{s['gain']['mean']:+.2f}"), (lambda s: f"{s['gain']['smallest']:+.2f}")
    return (
        f"| {name} | {gain(before)} | {gain(after)} | {worst_gain(before)} -> {worst_gain(after)} | "
        f"{after['residual_over_noise']['mean']:.2f} |"
    )


def install(path: Path) -> None:
    """Ship weights and card in the place of those of their name."""
    for suffix in (".npz", ".json"):
        shutil.copyfile(path.with_suffix(suffix), locate(path.stem).with_suffix(suffix))


if __name__ == "__main__":
    main()
