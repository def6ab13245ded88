"""Adapt a prior to a scan: from a scan and a prior's name to a prior that knows the scan."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.interfaces import Card
from pfitre_jax.priors.files import pretrained
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import api
from pfitre_jax.reconstruction.plan import rows_with_signal
from pfitre_jax.training.adaptation import AdaptationSettings, Adapted
from pfitre_jax.training.adaptation import adapt as adapt_rows

# What a card tells of the weights themselves.
_OF_WEIGHTS = ("sha256", "scores", "training_scores", "disagreement")
#: Rows, evenly spread over those with signal, that a prior is adapted to.
ROWS = 8


def adapt(
    scan: Scan,
    prior: NetworkPrior | str = "circuits",
    *,
    rows: slice | str | None = None,
    settings: AdaptationSettings | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Adapted:
    """A prior that predicts views of this scan better, learned from the scan alone; no truth is needed.

    Views are left out in turns and predicted from the others
    (:func:`pfitre_jax.training.adaptation.adapt`); views that no step sees decide when to stop, and the prior
    comes back as it was where no step helps.

    prior: a name or path for :func:`pfitre_jax.priors.files.pretrained`, or a prior itself
    rows: to learn from, ``slice`` or "A:B"; default :data:`ROWS` rows, evenly spread over those with signal
    progress: called with steps made and steps in all

    Raises ``ValueError`` for an unknown prior, rows outside the scan, a scan with too few views.
    """
    prior = load_prior(prior)
    settings = AdaptationSettings() if settings is None else settings
    picked = scan if rows is None else scan.select_rows(rows)
    scan = api.with_center(scan)
    calibration = calibrate(scan, "scale")
    masks = np.moveaxis(picked.mask, 1, 0)
    sinograms = np.where(
        masks, np.moveaxis(picked.projections, 1, 0) / np.float32(calibration.scale), np.float32(0)
    )
    if rows is None:
        looked = rows_with_signal(np.linalg.norm(sinograms, axis=(1, 2)), ROWS)
        sinograms, masks = sinograms[looked], masks[looked]
    adapted = adapt_rows(prior, calibration.problem, sinograms, masks, settings, progress)
    return dataclasses.replace(adapted, prior=_with_card(adapted, prior, scan))


def load_prior(prior: NetworkPrior | str) -> NetworkPrior:
    """The prior itself, or by its name or path; ``ValueError`` for one that cannot be adapted."""
    prior = pretrained(prior) if isinstance(prior, (str, os.PathLike)) else prior
    if not isinstance(prior, NetworkPrior):
        raise ValueError(
            f"the prior is {type(prior).__name__}; expected a NetworkPrior: one network, no rho of its own"
        )
    if prior.reach:
        raise ValueError("the prior sees the neighbours of every row; expected one of single rows, to adapt")
    return prior


def _with_card(adapted: Adapted, parent: NetworkPrior, scan: Scan) -> NetworkPrior:
    """The prior with a card that says where it is from; what was measured of the parent is not its own."""
    card = {name: value for name, value in parent.card.items() if name not in _OF_WEIGHTS}
    card["name"] = f"{parent.card.get('name', 'prior')}, adapted"
    card["adapted"] = {
        "from": {name: parent.card.get(name) for name in ("name", "sha256")},
        "scan": {name: str(value) for name, value in scan.provenance.items()},
        "steps": adapted.step,
        "views_moved": bool(np.any(adapted.shifts)),
        "judged_views": [int(view) for view in adapted.judged],
        "error_before": adapted.errors[0],
        "error_after": adapted.error,
    }
    return dataclasses.replace(adapted.prior, card=Card(card))
