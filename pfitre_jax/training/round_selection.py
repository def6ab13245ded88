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


def rejection(errors: RoundErrors, first: RoundErrors) -> str | None:
    """Why a round cannot be kept, however well it reconstructs turned images; None if it can.

    Args:
        errors: The errors of the round.
        first: Those of the first round.
    """
    if not errors.is_finite:
        return "a reconstruction diverged"
    checks = (
        ("the held-out views between others", errors.interpolated, first.interpolated, PREDICTION_LIMIT),
        ("the held-out views at the ends", errors.extrapolated, first.extrapolated, PREDICTION_LIMIT),
        ("the views in use", errors.residual, first.residual, RESIDUAL_LIMIT),
    )
    for name, error, before, limit in checks:
        if error > limit * before:
            return f"the error of {name} rose from {before:.4g} to {error:.4g}"
    if errors.domain_score is not None and first.domain_score is not None:
        before, score = first.domain_score, errors.domain_score
        if score > max(before, 1.0) + DOMAIN_INCREASE:
            return f"the domain score of the slices rose from {before:.2f} to {score:.2f}"
    return None


def select_round(rounds: Sequence[RoundErrors], margin: float) -> RoundChoice:
    """The round that reconstructs turned images best, or the first one if none is better by ``margin``.

    These images belong to rows that are not trained on, and all of their pixels are known. Held-out views,
    the residual and the out-of-distribution score can only reject a round (:func:`rejection`): few views
    near those in use say little about the rest of the wedge.

    Args:
        rounds: Errors of all rounds; the first is that of the prior before the adaptation.
        margin: Relative decrease of the error of turned images that counts as better.
    """
    first, later = rounds[0], rounds[1:]
    if not later:
        return RoundChoice(0, "no adaptation: there was no time for a round")
    reasons = [rejection(errors, first) for errors in later]
    candidates = [
        errors.equivariance if reason is None else np.inf
        for errors, reason in zip(later, reasons, strict=True)
    ]
    best = int(np.argmin(candidates))
    if candidates[best] < (1 - margin) * first.equivariance:
        return RoundChoice(
            best + 1,
            f"round {best + 1} of {len(later)} reconstructs turned slices best: their error fell from "
            f"{first.equivariance:.4g} to {candidates[best]:.4g}, and held-out views are predicted as well "
            "as before",
        )
    why = next((reason for reason in reasons if reason is not None), None)
    detail = (
        f"{why} in round {reasons.index(why) + 1}"
        if why
        else f"no round reconstructs turned slices better by {margin:.1%}"
    )
    return RoundChoice(
        0, f"the adaptation gained nothing; the prior and the result are the same as without it: {detail}"
    )
