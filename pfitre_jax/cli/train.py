"""``pfitre train``: train a prior."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import progress_bar, work


@app.command()
def train(
    ctx: typer.Context,
    config: Annotated[str, typer.Option(metavar="NAME|TOML", help="Training configuration.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Checkpoints, log, pictures, weights.")],
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N of the configured steps, to go on later.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Stop at the first checkpoint after so many minutes, to go on later."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Where DIR holds no checkpoint: take the run up from the prior that it left.",
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this stage of the configuration, from --weights or the shipped prior of its name.",
        ),
    ] = None,
) -> None:
    """Train a prior; goes on from the last checkpoint in DIR."""
    from pfitre_jax.data.results import check_folder
    from pfitre_jax.priors.files import available, pretrained
    from pfitre_jax.training.config import load_config
    from pfitre_jax.training.run import check_weights, claim
    from pfitre_jax.training.run import train as run_training

    began = time.monotonic()
    check_folder(out)
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"--minutes is {minutes:g}; expected a finite number, more than 0")
    configuration = load_config(config)
    if stage is not None:
        configuration.span(stage)
        if weights is None and configuration.name in available():
            weights = configuration.name
    prior = None if weights is None else pretrained(weights)
    if prior is not None:
        check_weights(configuration, prior, steps, stage)
    configuration.check()
    claim(configuration, out)
    with work(), progress_bar("compiling", "steps") as progress:

        def show(record: dict) -> None:
            progress(record["step"], record["steps"])

        path = run_training(
            configuration,
            out,
            command=ctx.find_root().meta[COMMAND],
            steps=steps,
            weights=prior,
            stage=stage,
            report=show,
            enough=lambda: minutes is not None and time.monotonic() - began > 60 * minutes,
        )
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    console.print(str(path), markup=False)
    last = configuration.steps if stage is None else configuration.span(stage)[1]
    made = pretrained(path).card["steps"]
    if made < last:
        console.print(f"{made} of {last} steps are made; the same command goes on", markup=False)
