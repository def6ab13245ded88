"""Which round of an adaptation is kept: the stop rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Largest residual, and largest error of either kind of held-out views, relative to the first round. The
#: latter varies by about a percent where the image improves (docs/measurements/adaptation.md).
RESIDUAL_LIMIT, PREDICTION_LIMIT = 1.05, 1.01
#: Largest increase of the out-of-distribution score above 1, the score that 5% of known images exceed.
DOMAIN_INCREASE = 0.25


@dataclasses.dataclass(frozen=True)
class RoundErrors:
    """What a prior achieves on a scan, with reconstructions from the views that are not held out.

    Attributes:
        interpolated: Relative residual ``||M(A x - y)|| / ||M y||`` of the held-out views between others.
        extrapolated: That of the held-out views at the ends of the angular range.
        residual: That of the views that the images are computed from.
        equivariance: ``||x - t|| / ||t||`` of reconstructions ``x`` of turned images ``t``: those of the
            first round, of rows that are not trained on. Images and noise are the same in each round.
        domain_score: Out-of-distribution score of the reconstructions, see
            :func:`pfitre_jax.trust.domain.domain_score`; None if the prior has no reference.
    """

    interpolated: float
    extrapolated: float
    residual: float
    equivariance: float
    domain_score: float | None = None

    @property
    def is_finite(self) -> bool:
        """Whether no reconstruction failed."""
        errors = (self.interpolated, self.extrapolated, self.residual, self.equivariance)
        return bool(np.all(np.isfinite(errors)))


@dataclasses.dataclass(frozen=True)
class RoundChoice:
    """The round whose prior is kept.

    Attributes:
        index: Index of the round; 0 is the prior before the adaptation.
        reason: Why, in one sentence.
    """

    index: int
    reason: str


def rejection(errors: RoundErrors, first: RoundErrors, margin: float) -> str | None:
    """Why a round cannot be kept; None if it can.

    Args:
        errors: The errors of the round.
        first: Those of the first round.
        margin: Relative decrease of the error of turned images that counts as better.
    """
    if not errors.is_finite:
        return "a reconstruction diverged"
    checks = (
        ("held-out views between others", errors.interpolated, first.interpolated, PREDICTION_LIMIT),
        ("held-out views at the ends", errors.extrapolated, first.extrapolated, PREDICTION_LIMIT),
        ("the views in use", errors.residual, first.residual, RESIDUAL_LIMIT),
        ("turned slices", errors.equivariance, first.equivariance, 1 - margin),
    )
    for name, error, before, limit in checks:
        if error > limit * before:
            change = "rose" if error > before else "fell only"
            return f"the error of {name} {change} from {before:.4g} to {error:.4g}"
    predicted_better = errors.extrapolated <= (1 - margin) * first.extrapolated
    # The score also rises where a sample unlike all known images is reconstructed better.
    if not predicted_better and errors.domain_score is not None and first.domain_score is not None:
        before, score = first.domain_score, errors.domain_score
        if score > max(before, 1.0) + DOMAIN_INCREASE:
            return f"the domain score of the slices rose from {before:.2f} to {score:.2f}"
    return None


def select_round(rounds: Sequence[RoundErrors], margin: float) -> RoundChoice:
    """The last round that nothing speaks against (:func:`rejection`), or the first one if there is none.

    Slices improve with the number of steps until the prior has learned too much of its own errors. Turned
    images of rows that are not trained on show that it learns at all: all of their pixels are known. Held-out
    views, the residual and the out-of-distribution score show that the scan is still described.

    Args:
        rounds: Errors of all rounds; the first is that of the prior before the adaptation.
        margin: Relative decrease of the error of turned images that counts as better.
    """
    first, later = rounds[0], rounds[1:]
    if not later:
        return RoundChoice(0, "no adaptation: there was no time for a round")
    reasons = [rejection(errors, first, margin) for errors in later]
    accepted = [number for number, reason in enumerate(reasons, 1) if reason is None]
    if not accepted:
        return RoundChoice(
            0,
            "the adaptation gained nothing; the prior and the result are the same as without it: "
            f"{reasons[0]} in round 1",
        )
    kept = accepted[-1]
    stop = "" if kept == len(later) else f"; in round {kept + 1} {reasons[kept]}"
    error = rounds[kept].equivariance
    return RoundChoice(
        kept,
        f"round {kept} of {len(later)} is kept: the error of turned slices fell from "
        f"{first.equivariance:.4g} to {error:.4g}, and held-out views are predicted as before{stop}",
    )
