"""Which round of an adaptation is kept: the stop rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Largest residual and largest error of turned images, relative to the first round. Images with more
#: structure are harder to reconstruct, so that the second may grow while the images improve.
RESIDUAL_LIMIT, EQUIVARIANCE_LIMIT = 1.05, 1.25


@dataclasses.dataclass(frozen=True)
class RoundErrors:
    """What a prior achieves on a scan, with reconstructions from the views that are not held out.

    Attributes:
        interpolated: Relative residual ``||M(A x - y)|| / ||M y||`` of the held-out views between others.
        extrapolated: That of the held-out views at the ends of the angular range.
        residual: That of the views that the images are computed from.
        equivariance: ``||x - t|| / ||t||`` of reconstructions ``x`` of the turned images ``t`` of rows that
            are not trained on; turns and noise are the same in each round.
    """

    interpolated: float
    extrapolated: float
    residual: float
    equivariance: float

    @property
    def is_finite(self) -> bool:
        """Whether no reconstruction failed."""
        return bool(np.all(np.isfinite(dataclasses.astuple(self))))


@dataclasses.dataclass(frozen=True)
class RoundChoice:
    """The round whose prior is kept.

    Attributes:
        index: Index of the round; 0 is the prior before the adaptation.
        reason: Why, in one sentence.
    """

    index: int
    reason: str


def prediction_ratio(errors: RoundErrors, first: RoundErrors) -> float:
    """Error of the held-out views over that of the first round: both kinds of views count alike.

    ``sqrt((e_i^2/f_i^2 + e_e^2/f_e^2) / 2)``.
    """
    pairs = ((errors.interpolated, first.interpolated), (errors.extrapolated, first.extrapolated))
    return float(np.sqrt(np.mean([(e / f) ** 2 if f > 0 else 1.0 for e, f in pairs])))


def rejection(errors: RoundErrors, first: RoundErrors, margin: float) -> str | None:
    """Why a round cannot be kept, whatever its score; None if it can.

    Args:
        errors: The errors of the round.
        first: Those of the first round.
        margin: Relative increase of the error of either kind of held-out views that is accepted.
    """
    if not errors.is_finite:
        return "a reconstruction diverged"
    checks = (
        ("the held-out views between others", errors.interpolated, first.interpolated, 1 + margin),
        ("the held-out views at the ends", errors.extrapolated, first.extrapolated, 1 + margin),
        ("the views in use", errors.residual, first.residual, RESIDUAL_LIMIT),
        ("the turned images", errors.equivariance, first.equivariance, EQUIVARIANCE_LIMIT),
    )
    for name, error, before, limit in checks:
        if error > limit * before:
            return f"the error of {name} rose from {before:.4g} to {error:.4g}"
    return None


def select_round(rounds: Sequence[RoundErrors], margin: float) -> RoundChoice:
    """The round with the smallest :func:`prediction_ratio`, or the first one if none is better by ``margin``.

    A round is rejected if the error of either kind of held-out views exceeds that of the first round by more
    than ``margin``, or if its residual or the error of the turned images is beyond its limit.

    Args:
        rounds: Errors of all rounds; the first is that of the prior before the adaptation.
        margin: Relative decrease of the prediction error that counts as better.
    """
    first = rounds[0]
    reasons = [rejection(errors, first, margin) for errors in rounds]
    ratios = [
        prediction_ratio(errors, first) if reason is None else np.inf
        for errors, reason in zip(rounds, reasons, strict=True)
    ]
    best = int(np.argmin(ratios))
    if best and ratios[best] < 1 - margin:
        return RoundChoice(
            best,
            f"round {best} of {len(rounds) - 1} predicts the held-out views best: their error is "
            f"{ratios[best]:.3f} of that before the adaptation",
        )
    if len(rounds) == 1:
        return RoundChoice(0, "there was no time for a round")
    why = next((reason for reason in reasons[1:] if reason is not None), None)
    detail = f" ({why} in round {reasons.index(why)})" if why else ""
    return RoundChoice(
        0, f"no round predicts the held-out views better by {margin:.1%}: the prior is unchanged{detail}"
    )
