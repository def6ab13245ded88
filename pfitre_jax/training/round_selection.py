"""Which round of an adaptation is kept: the stop rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

#: Largest residual of the views in use relative to the first round.
RESIDUAL_LIMIT = 1.05
#: Largest error of rotated images relative to the first round. They are images of the first round, and a
#: better prior does not reproduce their errors: it may rise where held-out views are predicted better.
EQUIVARIANCE_LIMIT = 1.5


@dataclasses.dataclass(frozen=True)
class RoundErrors:
    """What a prior achieves on a scan, with reconstructions from the views that are not held out.

    Attributes:
        interpolated: Relative residual ``||M(A x - y)|| / ||M y||`` of the held-out views between others.
        extrapolated: That of the held-out views at the ends of the angular range.
        residual: That of the views that the images are computed from.
        equivariance: ``||x - t|| / ||t||`` of reconstructions ``x`` of rotated images ``t``: those of the
            first round, of rows that are not trained on. Images and noise are the same in each round.
        domain_score: Out-of-distribution score of the reconstructions, see
            :func:`pfitre_jax.trust.domain.domain_score`; None if the prior has no reference. It is recorded
            only: it also rises where a sample unlike all known images is reconstructed better.
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

    def prediction_ratio(self, first: RoundErrors) -> float:
        """Error of the held-out views relative to the first round.

        ``sqrt((i / i_0) (e / e_0))``, the geometric mean over both kinds: single views at the ends are few,
        and those between others are predicted well by any prior.
        """
        before = first.interpolated * first.extrapolated
        # Held-out views without any error cannot be predicted better.
        return float(np.sqrt(self.interpolated * self.extrapolated / before)) if before else 1.0


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
        margin: Smallest relative decrease of the error of held-out views.
    """
    if not errors.is_finite:
        return "a reconstruction diverged"
    checks = (
        ("the views in use", errors.residual, first.residual, RESIDUAL_LIMIT),
        ("rotated slices", errors.equivariance, first.equivariance, EQUIVARIANCE_LIMIT),
    )
    for name, error, before, limit in checks:
        if error > limit * before:
            return f"the error of {name} rose from {before:.4g} to {error:.4g}"
    if errors.prediction_ratio(first) > 1 - margin:
        needed = f"{100 * margin:.2g}%"
        return f"held-out views were not predicted at least {needed} better ({_predicted(errors, first)})"
    return None


def select_round(rounds: Sequence[RoundErrors], margin: float) -> RoundChoice:
    """The round that predicts held-out views best, of those that nothing speaks against (:func:`rejection`).

    Slices improve with the number of steps until the prior has learned too much of its own errors. This shows
    by views that no image is computed from: those at the ends of the angular range, and some between others.

    Args:
        rounds: Errors of all rounds; the first is that of the prior before the adaptation.
        margin: Smallest relative decrease of the error of held-out views.
    """
    first, later = rounds[0], rounds[1:]
    if not later:
        return RoundChoice(0, "no adaptation: there was no time for a round")
    reasons = [rejection(errors, first, margin) for errors in later]
    accepted = [number for number, reason in enumerate(reasons, 1) if reason is None]
    if not accepted:
        best = best_predicted(rounds) or 1
        return RoundChoice(
            0,
            "the adaptation gained nothing; the prior and the result are the same as without it: in round "
            f"{best} {reasons[best - 1]}",
        )
    kept = min(accepted, key=lambda number: rounds[number].prediction_ratio(first))
    return RoundChoice(
        kept,
        f"round {kept} of {len(later)} is kept: it predicts held-out views best "
        f"({_predicted(rounds[kept], first)})",
    )


def best_predicted(rounds: Sequence[RoundErrors]) -> int:
    """Index of the round that predicts held-out views best; a round that diverged does not count."""
    ratios = [r.prediction_ratio(rounds[0]) if r.is_finite else np.inf for r in rounds]
    return int(np.argmin(ratios))


def _predicted(errors: RoundErrors, first: RoundErrors) -> str:
    return (
        f"error at the ends {first.extrapolated:.4g} to {errors.extrapolated:.4g}, between others "
        f"{first.interpolated:.4g} to {errors.interpolated:.4g}"
    )
