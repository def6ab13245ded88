"""``pfitre train``: training of a prior."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pfitre_jax.cli.app import PRIORS_PANEL, command, command_line
from pfitre_jax.cli.console import print_line, progress_bar
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import EXECUTION, INPUT, OUTPUT


@command(PRIORS_PANEL)
def train(
    ctx: typer.Context,
    *,
    config: Annotated[
        str,
        option(
            "--config",
            "NAME|TOML",
            "Training configuration: general, circuits, volume, discs, unrolled, volume3d or a TOML file of "
            "your own.",
            INPUT,
        ),
    ],
    weights: Annotated[
        str | None,
        option(
            "--weights",
            "NAME|PATH",
            "Prior to start from if DIR has no checkpoint.",
            INPUT,
            "random weights; with --stage: the shipped prior of the same name",
        ),
    ] = None,
    stage: Annotated[
        str | None,
        option("--stage", "NAME", "Train only this stage of the configuration.", INPUT, "all stages"),
    ] = None,
    out: Annotated[
        Path,
        option("--out", "DIR", "Folder for checkpoints, log.jsonl, pictures and the prior.", OUTPUT),
    ],
    steps: Annotated[
        int | None,
        option(
            "--steps", "N", "Stop after N training steps; repeat the command to resume.", EXECUTION, "all"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        option(
            "--minutes",
            "M",
            "Stop at the first checkpoint after M minutes; repeat the command to resume.",
            EXECUTION,
            "no limit",
        ),
    ] = None,
) -> None:
    """Train a prior on simulated scans.

    Reads a configuration and writes checkpoints, a log, pictures and the
    prior NAME.npz to DIR. An interrupted run resumes from its last checkpoint
    when the command is repeated.

    Example: pfitre train --config circuits --out runs/circuits
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.data.folder_lock import lock_folder
    from pfitre_jax.priors.files import available, pretrained
    from pfitre_jax.training.config_file import load_config
    from pfitre_jax.training.initial_weights import check_weights, steps_done
    from pfitre_jax.training.run_folder import claim_folder
    from pfitre_jax.training.start_weights import check_start_weights
    from pfitre_jax.training.training_run import train as run_training

    start = time.monotonic()
    check_output_folder(out)
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"--minutes is {minutes:g}; expected a finite number above 0")
    configuration = load_config(config)
    if stage is not None:
        configuration.span(stage)
        if weights is None and configuration.name in available():
            weights = configuration.name
    prior = None if weights is None else pretrained(weights)
    if prior is not None:
        check_weights(configuration, prior, steps, stage)
        first = steps_done(prior) if stage is None else configuration.span(stage)[0]
        check_start_weights(configuration, first, out)
    configuration.check()
    check_replaceable(out, [f"{configuration.name}.npz"], inputs=[weights and Path(weights)], overwrite=True)
    ctx.with_resource(lock_folder(out, command_line(ctx)))
    claim_folder(configuration, out)

    def out_of_time() -> bool:
        return minutes is not None and time.monotonic() - start > 60 * minutes

    with computation(), progress_bar("compiling", "steps") as progress:

        def report(record: dict[str, Any]) -> None:
            progress(record["step"], record["steps"], "training")

        path = run_training(
            configuration,
            out,
            command=command_line(ctx),
            steps=steps,
            weights=prior,
            stage=stage,
            report=report,
            should_stop=out_of_time,
        )
    print_line(path)
    last_step = configuration.steps if stage is None else configuration.span(stage)[1]
    done = pretrained(path).info.card["steps"]
    if done < last_step:
        print_line(f"{done} of {last_step} steps are done; repeat the command to resume")
