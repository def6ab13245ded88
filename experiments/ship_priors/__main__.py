"""Training and evaluation of the shipped priors; see :mod:`experiments.ship_priors.config`."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from experiments.common.record import command_line
from experiments.ship_priors.config import PRESETS, Config
from pfitre_jax import evaluation
from pfitre_jax.data import write_files
from pfitre_jax.priors import locate, pretrained
from pfitre_jax.reconstruction import Settings
from pfitre_jax.training import train

NAME = "ship_priors"
#: File in the folder of a prior: its line of the table.
ROW = "row.json"


class BudgetSpent(Exception):
    """Raised when the time budget is spent."""


def last_step(config: Config, name: str) -> int:
    """Step at which the training of a prior is complete."""
    recipe, training = config.priors[name], config.training(name)
    return training.span(recipe.stages[-1])[1] if recipe.stages else training.steps


def finished_weights(config: Config, name: str, out: Path) -> Path | None:
    """Weights that this experiment has trained through all stages, or None."""
    path = out / name / f"{name}.npz"
    finished = path.is_file() and pretrained(path).info.card["steps"] >= last_step(config, name)
    return path if finished else None


def train_prior(
    config: Config, name: str, out: Path, from_scratch: bool, stop: Callable[[], bool], command: str
) -> Path:
    """Weights of a prior, trained through all stages of its configuration.

    Raises:
        BudgetSpent: If the budget ends first; the next call resumes.
    """
    if (path := finished_weights(config, name, out)) is not None:
        return path
    recipe, weights, last = config.priors[name], None, last_step(config, name)
    if recipe.start_from is not None:
        weights = pretrained(finished_weights(config, recipe.start_from, out) or recipe.start_from)
    elif not (from_scratch or config.small):
        weights = pretrained(name)
        if weights.info.card["steps"] >= last:
            print(f"{name}: the shipped weights have all {last} steps; --from-scratch trains new ones")
            return locate(name)

    def report(record: dict) -> None:
        shown = {k: record[k] for k in ("loss", "validation_psnr", "seconds_per_step") if k in record}
        print(f"{name} {record['step']}/{last}", *(f"{k} {v:.4g}" for k, v in shown.items()), flush=True)

    for stage in recipe.stages or (None,):
        # A finished stage returns at once; the next one resumes from its checkpoint.
        train(
            config.training(name),
            out / name,
            command=command,
            weights=weights,
            stage=stage,
            report=report,
            should_stop=stop,
        )
        if stop():
            break
    if (path := finished_weights(config, name, out)) is None:
        raise BudgetSpent
    return path


def evaluate_prior(
    config: Config, path: Path, out: Path, stop: Callable[[], bool], baselines: Path | None = None
) -> tuple[dict, Path, Callable[[str], None]]:
    """Evaluation of a prior, as ``pfitre evaluate`` does it.

    Args:
        config: Configuration of the experiment.
        path: Weights of the prior.
        out: Parent of the folder for tables and figures.
        stop: Whether the budget is spent.
        baselines: Folder of the evaluation of another prior on the same scans, whose results for total
            variation are reused.

    Returns:
        The summary, the folder, and a function that writes the scores into the card of the weights; its
        argument is the command to record.

    Raises:
        BudgetSpent: If the budget ends first; the next call resumes.
    """
    prior = pretrained(path)
    joint = prior.info.reach > 0
    settings = config.settings.of_volumes() if joint else config.settings
    defaults = Settings.create("pfitre", joint=joint, prior=prior)
    parameters = {"rho": defaults.rho, "iterations": defaults.iterations}
    label = "-".join(
        f"{value:g}" if isinstance(value, float) else str(value) for value in parameters.values()
    )
    card = prior.info.card
    folder = out / f"evaluation-{card['sha256'][:8]}-{label}"

    def progress(done: int, total: int) -> None:
        print(f"{folder}: {done}/{total} cells", flush=True)
        if done < total and stop():
            raise BudgetSpent

    options = {"only": config.only, "folder": folder, "baselines": baselines}
    records = evaluation.evaluate(prior, settings, **parameters, **options, progress=progress)
    evaluation.write_report(records, settings, {**parameters, "prior": card.get("name")}, folder)
    evaluation.write_worst(prior, records, settings, folder, **parameters)

    def write_card(command: str) -> None:
        evaluation.write_card(path, prior, records, settings, parameters, command)

    return evaluation.summarise(records), folder, write_card


def compare_with_shipped(
    config: Config, name: str, out: Path, options, stop: Callable[[], bool], command: str
) -> None:
    """Train a prior, compare it with the shipped one, and with ``--install`` replace that."""
    before, folder, _ = evaluate_prior(config, locate(name), out / name, stop)
    path, after = train_prior(config, name, out, options.from_scratch, stop, command), before
    if path != locate(name):
        after, _, write_card = evaluate_prior(config, path, out / name, stop, baselines=folder)
        write_card(command)
    row = {
        label: {k: summary["gain"][k] for k in ("mean", "smallest")}
        for label, summary in (("before", before), ("after", after))
    }
    row["residual"] = after["residual_over_noise"]["mean"]
    write_files(out / name, {ROW: lambda path: path.write_text(json.dumps(row) + "\n")})
    if options.install and path != locate(name):
        if after["gain"]["mean"] < before["gain"]["mean"]:
            print(f"{name}: the new prior gains less than the shipped one; not installed")
            return
        for suffix in (".npz", ".json"):
            shutil.copyfile(path.with_suffix(suffix), locate(name).with_suffix(suffix))


def table(config: Config, out: Path) -> str:
    """Markdown: means over the base case for all priors evaluated so far."""
    lines = [
        "| prior | gain of the shipped, dB | gain of the new, dB | smallest gain, dB | residual / noise |",
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
    parser.add_argument("--prior", help="train and evaluate only this prior; default: all of the preset")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="time limit; run again to resume")
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help='train "circuits" from scratch instead of from the shipped weights',
    )
    parser.add_argument(
        "--install",
        action="store_true",
        help="replace the shipped prior if the new one gains at least as much",
    )
    options = parser.parse_args()
    config, began = PRESETS[options.preset], time.monotonic()
    if options.prior is not None and options.prior not in config.priors:
        parser.error(f"--prior {options.prior}: unknown prior; expected one of {', '.join(config.priors)}")
    out = options.out or Path("runs") / ("ship" if options.preset == "default" else f"ship_{options.preset}")
    command = " ".join(["python -m experiments.ship_priors", *map(shlex.quote, sys.argv[1:])])
    stop = lambda: options.budget is not None and time.monotonic() - began > 60 * options.budget  # noqa: E731
    try:
        for name in config.priors if options.prior is None else [options.prior]:
            compare_with_shipped(config, name, out, options, stop, command)
    except BudgetSpent:
        print("The time budget is spent; run the same command again to resume.")
    text = table(config, out)
    write_files(out, {"table.md": lambda path: path.write_text(text)})
    print(text)


if __name__ == "__main__":
    main()
