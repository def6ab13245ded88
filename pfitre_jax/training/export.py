"""Export of trained weights with their model card."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from pfitre_jax.data.atomic_write import write_files
from pfitre_jax.models.engines import engine_of, engine_versions
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.runtime.versions import package_versions
from pfitre_jax.training.config import TrainingConfig
from pfitre_jax.training.parameters import prior_with_parameters
from pfitre_jax.training.train_step import TrainState


def export_weights(
    config: TrainingConfig,
    state: TrainState,
    scores: dict[str, float],
    trust: dict[str, Any],
    out: Path,
    command: str,
) -> Path:
    """Writes the averaged weights as ``out/NAME.npz``, with the card inside and beside it as ``NAME.json``.

    Args:
        config: Configuration of the training.
        state: State of the training.
        scores: Validation scores.
        trust: References of the domain check: ``disagreement`` (median and limit of the relative change of
            the prior's results by the prior) and ``likeness``
            (:func:`pfitre_jax.trust.image_statistics.reference_statistics`).
        out: Folder.
        command: Command line of the training.

    Returns:
        Path of the weights.
    """
    stage = config.stage(int(state.step) - 1)
    assert stage.instrument is not None
    prior = prior_with_parameters(NetworkPrior(None, config.network), state.average)
    rho = prior.info.rho
    views = config.stage_pool(stage).views
    card = {
        "name": config.name,
        "command": command,
        "steps": int(state.step),
        "config": config.as_dict(),
        "trained_on": {
            "missing_deg": list(stage.instrument.missing_deg),
            "views": [min(views), max(views)],
            "noise": list(stage.instrument.noise),
            "rho": list(config.stage_pairs(stage).rho)
            if rho is None
            else [float(jnp.min(rho)), float(jnp.max(rho))],
            "size": config.pairs.size,
            "initial_iterations": stage.initial_iterations,
        },
        "scale": "0.995 quantile of a quick reconstruction is 1",
        "made_on": {
            "machine": platform.platform(),
            "devices": str(jax.devices()[0].device_kind),
            **package_versions(),
            **engine_versions(engine_of(config.network.network, config.network.compute_dtype)),
        },
        "training_scores": scores,
        **trust,
    }
    path = out / f"{config.name}.npz"
    saved = files.save(path, prior.with_card(card))
    text = json.dumps(saved.info.card, indent=2) + "\n"
    write_files(out, {path.with_suffix(".json").name: lambda file: file.write_text(text, encoding="utf-8")})
    return path
