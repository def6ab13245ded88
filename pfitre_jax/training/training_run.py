"""A training run: steps on a pool of scans, with log, figures, checkpoints and exported weights."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.plotting.style import save_png
from pfitre_jax.plotting.training import draw_samples, draw_training_curves
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.training.checkpoints import Checkpoints
from pfitre_jax.training.config import TrainingConfig
from pfitre_jax.training.export import export_weights
from pfitre_jax.training.initial_weights import check_weights, steps_done
from pfitre_jax.training.programs import Programs
from pfitre_jax.training.run_folder import (
    LOG,
    PICTURES,
    append_record,
    claim_folder,
    save_failed_batch,
    truncate_log,
)
from pfitre_jax.training.scan_pool import ScanPool
from pfitre_jax.training.start_weights import mix_start_weights, start_weights
from pfitre_jax.training.train_step import TrainState


def train(
    config: TrainingConfig,
    out: Path,
    *,
    command: str = "",
    steps: int | None = None,
    weights: NetworkPrior | UnrolledPrior | None = None,
    stage: str | None = None,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Trains a prior.

    Resumes from the last checkpoint in ``out``. Writes ``log.jsonl``, and at each validation ``curve.png``,
    ``samples.png``, the weights ``NAME.npz`` and their model card ``NAME.json``.

    Args:
        config: The configuration.
        out: Folder of the run.
        command: Command line, for the model card.
        steps: Step after which the run stops, to be resumed later; by default the last.
        weights: A prior to start from if ``out`` holds no checkpoint. The run starts after the steps of its
            card, with new moments of the optimiser.
        stage: Name of the only stage to train. It starts from ``weights``, whatever their steps, or from a
            checkpoint of that stage in ``out``.
        report: Called with each record of the log.
        should_stop: Called at each checkpoint; if it returns True, the run stops there, to be resumed later.

    Returns:
        Path of the weights.

    Raises:
        FloatingPointError: If a loss is not finite. The weights remain those of the last validation, and the
            batch of the step is written to ``bad_batch.npz``.
        ValueError: If ``out`` holds the run of another configuration, and as :func:`check_weights` and
            :meth:`TrainingConfig.check`.
    """
    out = Path(out)
    config.check()
    if weights is not None:
        check_weights(config, weights, steps, stage)
    claim_folder(config, out)
    key = jax.random.key(config.seed)
    template = NetworkPrior.create(config.network, jax.random.fold_in(key, 0), {"name": config.name})
    # Mirror images come from the scenes, so a step needs no mean over them.
    template = dataclasses.replace(template, symmetric=False)
    programs = Programs(config, template)
    initial = template if weights is None else weights.extend(config.network)
    first, last = (steps_done(initial), config.steps) if stage is None else config.span(stage)
    last = last if steps is None else min(steps, last)
    if last <= first:
        raise ValueError(f"steps is {steps} and the stage begins after {first}; expected more than that")
    log, (samples, curve) = out / LOG, PICTURES
    with Checkpoints(out / "checkpoints") as checkpoints:
        state = _first_state(config, programs, checkpoints, initial, first, stage, weights is not None, out)
        first = int(state.step)
        hours_before = truncate_log(log, first)
        current = None
        generator = np.random.default_rng([config.seed, first])
        start_time = time.monotonic()
        for step in range(first, last):
            if current != (current := config.stage(step)):
                state = programs.enter_stage(state, current)
                # Loops of another stage started from other initial estimates.
                settings = config.stage_pool(current)
                pool = ScanPool(settings.views)
                validation_batches = programs.validation_batches(key, current)
                start, share = start_weights(config, template, state, out)
            views = int(generator.choice(settings.views))
            progress = step / config.stages[0].steps
            batch, slot = pool.take(views, settings, progress, generator)
            if batch is None:
                batch = programs.start_batch(jax.random.fold_in(key, 1 + step), views, current, state)
            state, next_batch, metrics = programs.step(state, batch, current)
            pool.put(views, slot, next_batch)
            done = step + 1
            checkpoint_due = done % config.report.checkpoint_every == 0 or done == last
            ends = done == last or (checkpoint_due and should_stop())
            validates = done % config.report.validate_every == 0 or ends
            log_due = done % config.report.log_every == 0 or validates
            if not np.isfinite([metrics["loss"], metrics["gradient_norm"]]).all():
                raise FloatingPointError(save_failed_batch(batch, metrics, done, out))
            if log_due:
                record: dict[str, Any] = {"step": done, "k": int(batch.k), "views": views}
                record |= {name: float(value) for name, value in metrics.items()}
                seconds = time.monotonic() - start_time
                record["seconds_per_step"] = seconds / (done - first)
                record["hours"] = hours_before + seconds / 3600
                record["steps"] = config.steps
                if validates:
                    mixed = mix_start_weights(state, start, share)
                    validation = programs.validate(mixed, validation_batches, current)
                    record |= validation.scores
                    _save_picture(draw_samples(validation.images), out / samples)
                    export_weights(config, mixed, validation.scores, validation.trust, out, command)
                append_record(log, record)
                if "validation_psnr" in record:
                    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
                    _save_picture(draw_training_curves(records), out / curve)
                report(record)
            if checkpoint_due:
                checkpoints.save(done, state)
            if ends:
                break
    return out / f"{config.name}.npz"


def _save_picture(figure: Figure, path: Path) -> None:
    write_files(path.parent, {path.name: lambda file: save_png(figure, file)})


def _first_state(
    config: TrainingConfig,
    programs: Programs,
    checkpoints: Checkpoints,
    initial: NetworkPrior | UnrolledPrior,
    first: int,
    stage: str | None,
    has_weights: bool,
    out: Path,
) -> TrainState:
    """Returns the state of the last checkpoint, or one that starts from ``initial`` after ``first`` steps."""
    latest = checkpoints.latest()
    if latest is None:
        if stage is not None and not has_weights:
            raise ValueError(
                f"there are no weights for the stage {stage!r} to start from; expected weights, or a "
                f"checkpoint of that stage in {out}"
            )
        return programs.start_state(initial, config.stage(first), first)
    state = checkpoints.restore(programs.start_state(programs.prior, config.stage(latest - 1)))
    if stage is not None and int(state.step) < config.span(stage)[0]:
        raise ValueError(
            f"{out} holds a run that is at step {int(state.step)}; expected one within the stage "
            f"{stage!r}, from step {first} on: choose another folder"
        )
    return state
