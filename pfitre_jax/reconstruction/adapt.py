"""Adaptation of a prior to a scan: self-supervised fine-tuning on held-out views."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.interfaces import Card
from pfitre_jax.priors.files import pretrained
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.trainable import TrainablePrior
from pfitre_jax.reconstruction.api import with_center
from pfitre_jax.reconstruction.prior_check import select_rows_with_signal
from pfitre_jax.training.adaptation import Adaptation, AdaptationSettings
from pfitre_jax.training.adaptation import adapt as adapt_rows

#: Number of rows, evenly spread over those with signal, that a prior is adapted to.
ROWS = 8
# Entries of a card that are valid only for the weights of the parent.
_WEIGHT_ENTRIES = ("sha256", "scores", "training_scores", "disagreement")


def adapt(
    scan: Scan,
    prior: NetworkPrior | str = "circuits",
    *,
    rows: slice | str | None = None,
    settings: AdaptationSettings | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Adaptation:
    """Fine-tunes a prior on one scan, without ground truth.

    Views are held out in turn and predicted from the others
    (:func:`pfitre_jax.training.adaptation.adapt`). Validation views, which no step uses, decide when to
    stop. If no step improves their prediction, the prior is returned unchanged.

    Args:
        scan: The scan.
        prior: A prior, or its name or path for :func:`pfitre_jax.priors.files.pretrained`.
        rows: Rows to train on, ``slice`` or "A:B"; by default :data:`ROWS` rows, evenly spread over those
            with signal.
        settings: Settings of the adaptation.
        progress: Called with the number of steps done and the number of steps.

    Raises:
        ValueError: If the prior is unknown or cannot be adapted, rows are outside the scan, or the scan has
            too few views.
    """
    prior = load_prior(prior)
    settings = AdaptationSettings() if settings is None else settings
    selected = scan if rows is None else scan.select_rows(rows)
    scan = with_center(scan)
    calibration = calibrate(scan, "scale")
    masks = np.moveaxis(selected.mask, 1, 0)
    values = np.moveaxis(selected.projections, 1, 0) / np.float32(calibration.scale)
    sinograms = np.where(masks, values, np.float32(0))
    if rows is None:
        chosen = select_rows_with_signal(np.linalg.norm(sinograms, axis=(1, 2)), ROWS)
        sinograms, masks = sinograms[chosen], masks[chosen]
    adapted = adapt_rows(
        prior, calibration.problem, jnp.asarray(sinograms), jnp.asarray(masks), settings, progress
    )
    return dataclasses.replace(adapted, prior=_with_card(adapted, prior, scan))


def load_prior(prior: NetworkPrior | str | os.PathLike) -> NetworkPrior:
    """Returns a prior that can be adapted, from the prior itself, its name or its path.

    Raises:
        ValueError: If the prior is not a :class:`NetworkPrior` of single rows.
    """
    loaded = pretrained(prior) if isinstance(prior, (str, os.PathLike)) else prior
    if not isinstance(loaded, TrainablePrior) or loaded.info.rho is not None:
        raise ValueError(
            f"the prior is {type(loaded).__name__}; expected a NetworkPrior, "
            "which has one network and no trained rho"
        )
    if loaded.info.reach:
        raise ValueError("the prior uses the neighbouring rows of every row; expected a prior of single rows")
    return loaded.network


def _with_card(adapted: Adaptation, parent: NetworkPrior, scan: Scan) -> NetworkPrior:
    """Returns the adapted prior with a card that states its origin, without the parent's scores."""
    card = {name: value for name, value in parent.card.items() if name not in _WEIGHT_ENTRIES}
    card["name"] = f"{parent.card.get('name', 'prior')}, adapted"
    card["adapted"] = {
        "from": {name: parent.card.get(name) for name in ("name", "sha256")},
        "scan": {name: str(value) for name, value in scan.provenance.items()},
        "steps": adapted.step,
        "views_moved": bool(np.any(adapted.shifts)),
        "validation_views": [int(view) for view in adapted.validation_views],
        "error_before": adapted.errors[0],
        "error_after": adapted.error,
    }
    return dataclasses.replace(adapted.prior, card=Card(card))
