"""See :mod:`experiments.ship_priors.config`."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.record import command_line
from experiments.ship_priors.config import PRESETS, Config
from pfitre_jax import evaluation as judge
from pfitre_jax.data import write_files
from pfitre_jax.evaluation import worst
from pfitre_jax.priors.files import locate, pretrained
from pfitre_jax.reconstruction import methods
from pfitre_jax.training import train

NAME = "ship_priors"
#: In a prior's folder: its line of the table.
ROW = "row.json"


class Spent(Exception):
    """The budget is."""


def last_step(config: Config, name: str) -> int:
    """After which a prior is made."""
    recipe, training = config.priors[name], config.training(name)
    return training.span(recipe.stages[-1])[1] if recipe.stages else training.steps


def made(config: Config, name: str, out: Path) -> Path | None:
    """Weights that this experiment has made, through all their stages."""
    path = out / name / f"{name}.npz"
    return path if path.is_file() and pretrained(path).info.card["steps"] >= last_step(config, name) else None


def make(config: Config, name: str, out: Path, anew: bool, enough: Callable[[], bool], command: str) -> Path:
    """The weights of a prior, trained as far as its configuration goes, or :class:`Spent`."""
    if (done := made(config, name, out)) is not None:
        return done
    recipe, weights, last = config.priors[name], None, last_step(config, name)
    if recipe.first is not None:
        weights = pretrained(made(config, recipe.first, out) or recipe.first)
    elif not (anew or config.small):
        weights = pretrained(name)
        if weights.info.card["steps"] >= last:
            print(f"{name}: the shipped weights have made all {last} steps; --anew trains from nothing")
            return locate(name)

    def report(record: dict) -> None:
        shown = {k: record[k] for k in ("loss", "validation_psnr", "seconds_per_step") if k in record}
        print(f"{name} {record['step']}/{last}", *(f"{k} {v:.4g}" for k, v in shown.items()), flush=True)

    for stage in recipe.stages or (None,):
        # One that is done stays as it is; the next goes on from its checkpoint.
        train(
            config.training(name),
            out / name,
            command=command,
            weights=weights,
            stage=stage,
            report=report,
            enough=enough,
        )
        if enough():
            break
    if (done := made(config, name, out)) is None:
        raise Spent
    return done


def judged(
    config: Config, path: Path, out: Path, enough: Callable[[], bool], baselines: Path | None = None
) -> tuple[dict, Path, Callable[[str], None]]:
    """The summary of ``pfitre evaluate`` of a prior's weights, the folder of its tables and pictures, and
    what writes the scores into its card for a command.

    baselines: of the folder of another prior, on the same scans, is taken what total variation makes
    """
    prior = pretrained(path)
    joint = prior.info.reach > 0
    settings = config.settings.of_volumes() if joint else config.settings
    asked = methods.Settings.create("pfitre", joint=joint, prior=prior)
    parameters = {"rho": asked.rho, "iterations": asked.iterations}
    how = "-".join(f"{value:g}" if isinstance(value, float) else str(value) for value in parameters.values())
    folder = out / f"judged-{prior.info.card['sha256'][:8]}-{how}"

    def progress(done: int, total: int) -> None:
        print(f"{folder}: {done}/{total} cells", flush=True)
        if done < total and enough():
            raise Spent

    where = {"only": config.only, "folder": folder, "baselines": baselines}
    records = judge.evaluate(prior, settings, **parameters, **where, progress=progress)
    judge.save(records, settings, {**parameters, "prior": prior.info.card.get("name")}, folder)
    worst.save(prior, records, settings, folder, **parameters)
    write = lambda command: judge.write_card(path, prior, records, settings, parameters, command)  # noqa: E731
    return judge.summarise(records), folder, write


def ship(config: Config, name: str, out: Path, options, enough: Callable[[], bool], command: str) -> None:
    """Make a prior, judge it beside the shipped one, tell both, and perhaps ship it."""
    before, folder, _ = judged(config, locate(name), out / name, enough)
    path, after = make(config, name, out, options.anew, enough, command), before
    if path != locate(name):
        after, _, write_card = judged(config, path, out / name, enough, baselines=folder)
        write_card(command)
    facts = {
        which: {k: s["gain"][k] for k in ("mean", "smallest")}
        for which, s in (("before", before), ("after", after))
    }
    facts["residual"] = after["residual_over_noise"]["mean"]
    write_files(out / name, {ROW: lambda path: path.write_text(json.dumps(facts) + "\n")})
    if options.install and path != locate(name):
        if after["gain"]["mean"] < before["gain"]["mean"]:
            print(f"{name}: gains less than the shipped one, which stays")
            return
        for suffix in (".npz", ".json"):
            shutil.copyfile(path.with_suffix(suffix), locate(name).with_suffix(suffix))


def table(config: Config, out: Path) -> str:
    """Markdown, of all priors judged so far: means over the base case."""
    lines = [
        "| prior | gain over FISTA-TV, dB: shipped | made | worst scan | residual / noise |",
        "|---|---|---|---|---|",
    ]
    for name in config.priors:
        if (out / name / ROW).is_file():
            row = json.loads((out / name / ROW).read_text())
            before, after = row["before"], row["after"]
            lines.append(
                f"| {name} | {before['mean']:+.2f} | {after['mean']:+.2f} | "
                f"{before['smallest']:+.2f} -> {after['smallest']:+.2f} | {row['residual']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = command_line(NAME)
    parser.add_argument("--prior", help="only this one; default all of the preset")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop after these, to go on later")
    parser.add_argument("--anew", action="store_true", help="circuits from nothing, not from what is shipped")
    parser.add_argument("--install", action="store_true", help="ship what is at least as good")
    options = parser.parse_args()
    config, began = PRESETS[options.preset], time.monotonic()
    if options.prior is not None and options.prior not in config.priors:
        parser.error(f"--prior is {options.prior}; expected one of {', '.join(config.priors)}")
    out = options.out or Path("runs") / ("ship" if options.preset == "default" else f"ship_{options.preset}")
    command = " ".join(["python -m experiments.ship_priors", *map(shlex.quote, sys.argv[1:])])
    enough = lambda: options.budget is not None and time.monotonic() - began > 60 * options.budget  # noqa: E731
    try:
        for name in config.priors if options.prior is None else [options.prior]:
            ship(config, name, out, options, enough, command)
    except Spent:
        print("the budget is spent; the same command goes on")
    text = table(config, out)
    write_files(out, {"table.md": lambda path: path.write_text(text)})
    print(text)


if __name__ == "__main__":
    main()
