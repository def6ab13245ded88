"""Is a prior better adapted to a scan where the views may move at the same time?

command: python -m experiments.free_geometry [--preset tiny|default]
runtime: about 25 minutes on 2 cores, resumes (tiny: 1 minute)
expected: views that lie wrong cost decibels, of which the prior, adapted to them as they lie, brings next to
    nothing back; moved by gradients through the loop of the learned prior some of them come back, with the
    prior adapted at the same time or not

Simulated circuits, 96 degrees missing, views displaced along the columns. The prior is adapted without truth:
it learns to predict views that are left out (:func:`pfitre_jax.adapt`), and with a ``geometry_rate`` the
gradient of that error also moves the views.
"""

from __future__ import annotations

import dataclasses

from experiments.volume_scans import VolumeScans
from pfitre_jax.training import AdaptationSettings


@dataclasses.dataclass(frozen=True)
class Config:
    """seeds: of the volumes; scans: how they are made, and moved
    settings: of the adaptation; geometry_rate: of the views, bins a step, where they are free
    rate: of the prior, where it is
    shown: row of the picture
    """

    seeds: tuple[int, ...] = (1, 4)
    scans: VolumeScans = dataclasses.field(
        default_factory=lambda: VolumeScans(
            rows=16, shift=1.0, slipped=0, row_shift=0.0, roll_deg=0.0, gain=0.0, center=0.0
        )
    )
    settings: AdaptationSettings = dataclasses.field(
        default_factory=lambda: AdaptationSettings(steps=120, patience=6)
    )
    geometry_rate: float = 0.05
    rate: float = 3e-5
    shown: int = 8


PRESETS = {
    "default": Config(),
    "tiny": Config(
        seeds=(1,),
        scans=VolumeScans(
            **dict(size=40, rows=6, views=24, shift=1.0, slipped=0),
            **dict(row_shift=0.0, roll_deg=0.0, gain=0.0, center=0.0),
        ),
        settings=AdaptationSettings(
            steps=4, check_every=2, splits=2, unrolled=1, judged_iterations=1, batch=2
        ),
        shown=3,
    ),
}
