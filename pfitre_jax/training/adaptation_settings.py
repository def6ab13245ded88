"""Settings of the self-supervised adaptation, and the views that it holds out."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.estimation.held_out_views import end_folds, interleaved_folds

#: Smallest number of views of a scan.
MIN_VIEWS = 12
#: Every such view between the ends is held out, and this share of the views at each end.
HELD_OUT_EVERY, HELD_OUT_END_SHARE = 12, 0.04


@dataclasses.dataclass(frozen=True)
class AdaptationSettings:
    """Settings of the adaptation.

    Attributes:
        rounds: Largest number of rounds.
        steps: Steps of the optimiser in each round.
        batch: Number of images in a step, fewer where they have more than
            :data:`pfitre_jax.training.adaptation_rows.BATCH_PIXELS` together.
        iterations: Iterations of the loop that rotated images pass through, one in each step of the
            optimiser.
        rate: Learning rate of Adam.
        average: Decay of the exponential moving average of the parameters, from those before the adaptation
            on. The average reconstructs the rows and is kept; the parameters of single steps fluctuate.
        clip: Global norm that gradients are clipped to.
        predicted_iterations: Iterations of the loop that reconstructs the rows in each round.
        margin: Smallest relative decrease of the error of held-out views at which a round may be kept.
        patience: Rounds in a row without a smaller error of held-out views after which the adaptation stops.
        minutes: Time limit without compilation: no round is started that would end later, except for the
            first one, whose duration is unknown. None for no limit.
        seed: Seed of rows, rotations and noise.
    """

    rounds: int = 12
    steps: int = 40
    batch: int = 2
    iterations: int = 5
    rate: float = 1e-4
    average: float = 0.97
    clip: float = 1.0
    predicted_iterations: int = 10
    margin: float = 0.012
    patience: int = 2
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "steps", "batch", "iterations", "predicted_iterations", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a whole number of at least 1")
        if not 0 <= self.average < 1:
            raise ValueError(f"average is {self.average:g}; expected a decay in [0, 1)")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes:g}; expected more than 0")


@dataclasses.dataclass(frozen=True)
class HeldOutViews:
    """Views that the adaptation does not use.

    Attributes:
        interpolated: (views,), whether a view is held out between others.
        extrapolated: (views,), whether it is held out at an end of the angular range.
    """

    interpolated: np.ndarray
    extrapolated: np.ndarray

    @classmethod
    def select(cls, theta_rad: ArrayLike) -> HeldOutViews:
        """Selects the views of a scan.

        Raises:
            ValueError: If there are fewer than :data:`MIN_VIEWS` views.
        """
        views = np.size(theta_rad)
        if views < MIN_VIEWS:
            raise ValueError(f"the scan has {views} views; expected at least {MIN_VIEWS}, to hold some out")
        ends = end_folds(theta_rad, max(round(HELD_OUT_END_SHARE * views), 1)).max(axis=0) > 0
        between = interleaved_folds(theta_rad, HELD_OUT_EVERY, 1)[0] > 0
        return cls(between & ~ends, ends)

    @property
    def used(self) -> np.ndarray:
        """(views,), whether a view is not held out."""
        return ~(self.interpolated | self.extrapolated)
