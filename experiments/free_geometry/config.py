"""Joint adaptation of a prior and of the view positions.

Command:  python -m experiments.free_geometry [--preset tiny|default]
Runtime:  about 25 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: displaced views cost several dB. Adapting only the prior recovers almost nothing. Moving the views
          by gradients through the loop recovers a part, with or without adapting the prior.

Simulated circuits, 96 degrees missing, views displaced along the columns. The adaptation uses no ground
truth: it predicts views that it leaves out (:func:`pfitre_jax.contrib.fit_view_prediction`). With a
``geometry_rate`` the gradient of that error also moves the views.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_volumes import VolumeScans
from pfitre_jax.contrib import ViewPredictionSettings


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        seeds: Seeds of the simulated volumes.
        scans: Simulated scans and their motion.
        settings: Settings of the adaptation.
        geometry_rate: Learning rate of the view positions, bins per step.
        rate: Learning rate of the prior.
        shown_row: Row of the figure.
    """

    seeds: tuple[int, ...] = (1, 4)
    scans: VolumeScans = dataclasses.field(
        default_factory=lambda: VolumeScans(
            rows=16, shift=1.0, slipped=0, row_shift=0.0, roll_deg=0.0, gain=0.0, center=0.0
        )
    )
    settings: ViewPredictionSettings = dataclasses.field(
        default_factory=lambda: ViewPredictionSettings(steps=120, patience=6)
    )
    geometry_rate: float = 0.05
    rate: float = 3e-5
    shown_row: int = 8


PRESETS = {
    "default": Config(),
    "tiny": Config(
        seeds=(1,),
        scans=VolumeScans(
            **dict(size=40, rows=6, views=24, shift=1.0, slipped=0),
            **dict(row_shift=0.0, roll_deg=0.0, gain=0.0, center=0.0),
        ),
        settings=ViewPredictionSettings(
            steps=4, check_every=2, splits=2, unrolled=1, validation_iterations=1, batch=2
        ),
        shown_row=3,
    ),
}
