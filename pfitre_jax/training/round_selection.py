"""Which round of an adaptation is kept: the stop rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Largest residual, and largest error of either kind of held-out views, relative to the first round. The
#: latter varies by about a percent where the image improves (docs/measurements/adaptation.md).
RESIDUAL_LIMIT, PREDICTION_LIMIT = 1.05, 1.01
#: Largest error of turned images relative to the first round. They are images of the first round, and a
#: better prior does not reproduce their errors: it may rise where views at the ends are predicted better.
EQUIVARIANCE_LIMIT = 1.5
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
        margin: Relative decrease of an error that counts as better.
    """
    if not errors.is_finite:
        return "a reconstruction diverged"
    checks = (
        ("held-out views between others", errors.interpolated, first.interpolated, PREDICTION_LIMIT),
        ("held-out views at the ends", errors.extrapolated, first.extrapolated, PREDICTION_LIMIT),
        ("the views in use", errors.residual, first.residual, RESIDUAL_LIMIT),
        ("turned slices", errors.equivariance, first.equivariance, EQUIVARIANCE_LIMIT),
    )
    for name, error, before, limit in checks:
        if error > limit * before:
            return f"the error of {name} rose from {before:.4g} to {error:.4g}"
    predicted_better = errors.extrapolated <= (1 - margin) * first.extrapolated
    if not predicted_better and errors.equivariance > (1 - margin) * first.equivariance:
        return (
            f"neither turned slices improved (error {first.equivariance:.4g} to {errors.equivariance:.4g}) "
            f"nor held-out views at the ends ({first.extrapolated:.4g} to {errors.extrapolated:.4g})"
        )
    # The score also rises where a sample unlike all known images is reconstructed better.
    if not predicted_better and errors.domain_score is not None and first.domain_score is not None:
        before, score = first.domain_score, errors.domain_score
        if score > max(before, 1.0) + DOMAIN_INCREASE:
            return f"the domain score of the slices rose from {before:.2f} to {score:.2f}"
    return None


def select_round(rounds: Sequence[RoundErrors], margin: float) -> RoundChoice:
    """The last round that nothing speaks against (:func:`rejection`), or the first one if there is none.

    Slices improve with the number of steps until the prior has learned too much of its own errors. A better
    prior shows by turned images of rows that it is not trained on, whose pixels are all known, or by held-out
    views at the ends of the angular range. The other errors show that the scan is still described.

    Args:
        rounds: Errors of all rounds; the first is that of the prior before the adaptation.
        margin: Relative decrease of an error that counts as better.
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
    errors = rounds[kept]
    return RoundChoice(
        kept,
        f"round {kept} of {len(later)} is kept: the error of turned slices went from "
        f"{first.equivariance:.4g} to {errors.equivariance:.4g}, that of held-out views at the "
        f"ends from {first.extrapolated:.4g} to {errors.extrapolated:.4g}{stop}",
    )
