"""Files in the folder of a training run: its configuration, its log and the batch of a failed step."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from pfitre_jax.data.atomic_write import check_replaceable, write_files
from pfitre_jax.training.config import TrainingConfig
from pfitre_jax.training.config_file import structure
from pfitre_jax.twin.pairs import Batch

#: Log of a run, and its pictures: validation images and curves.
LOG, PICTURES = "log.jsonl", ("samples.png", "curve.png")


def claim_folder(config: TrainingConfig, out: Path) -> None:
    """Makes ``out`` the folder of a configuration's run and writes ``config.json`` into it.

    Raises:
        ValueError: If it holds the run of another configuration. Stages may be longer, or added.
        FileExistsError: If it holds no run, but a file that a run would replace.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.json"
    if not path.exists():
        check_replaceable(out, [LOG, *PICTURES, f"{config.name}.npz", f"{config.name}.json"])
    new = _as_json(config)
    if path.exists():
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            # Versions before 0.3 call the option of a stage `first_iterations`.
            for stage in table.get("stages", []) if isinstance(table, dict) else []:
                if isinstance(stage, dict) and "first_iterations" in stage:
                    stage.setdefault("initial_iterations", stage.pop("first_iterations"))
            # A run of an older version lacks newer options, which have their defaults.
            old = _as_json(structure(table, path.name, unknown_keys=True))
        except ValueError as error:
            raise ValueError(
                f"{path} is not a training configuration ({error}); expected that of the run in this folder: "
                "use another output folder"
            ) from error
        started = _without_steps(old)
        if {**old, "stages": 0} != {**new, "stages": 0} or started != _without_steps(new)[: len(started)]:
            raise ValueError(
                f"{path.parent} holds a run of another configuration ({path.name} differs); expected the "
                "same, or one with longer or more stages, to resume it: use another output folder"
            )
    write_files(
        out, {path.name: lambda path: path.write_text(json.dumps(new, indent=2) + "\n", encoding="utf-8")}
    )


def _as_json(config: TrainingConfig) -> dict[str, Any]:
    """Returns a configuration as JSON restores it."""
    return json.loads(json.dumps(config.as_dict()))


def _without_steps(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**stage, "steps": 0} for stage in config["stages"]]


def truncate_log(path: Path, step: int) -> float:
    """Removes the records after ``step``, from which the run resumes, and an incomplete last record.

    Returns:
        The hours that the run took until then; 0 without a record.
    """
    if not path.exists():
        return 0.0
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    text = "".join(line + "\n" for line in kept)
    write_files(path.parent, {path.name: lambda file: file.write_text(text, encoding="utf-8")})
    # Logs of version 0.2 have no hours.
    return json.loads(kept[-1]).get("hours", 0.0) if kept else 0.0


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Appends a record to the log; a symbolic link is not followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o666), "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def save_failed_batch(batch: Batch, metrics: dict, step: int, out: Path) -> str:
    """Writes the batch of a step whose loss is not finite; returns the message of the error."""
    path = out / "bad_batch.npz"
    arrays: dict[str, Any] = {
        "sinograms": batch.sinograms,
        "truth": batch.truth,
        "mask": batch.problem.mask,
        "theta_rad": batch.problem.A.geometry.theta_rad,
        "center": batch.problem.A.geometry.center,
        "x": batch.iterate.x,
        "correction": -batch.state.gradient / batch.rho,
        "rho": batch.rho,
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_files(out, {path.name: lambda p: p.write_bytes(buffer.getvalue())})
    return (
        f"the loss at step {step} is {float(metrics['loss'])} and the norm of its gradient is "
        f"{float(metrics['gradient_norm'])}; expected finite values, and the batch is in {path}: lower the "
        "rate of the stage and train into another folder, from the last weights in this one if there are any"
    )
