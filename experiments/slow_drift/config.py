"""A drifting sample and noisy views: alignment view by view, or a smooth drift?

Command:  python -m experiments.slow_drift [--preset tiny|default]
Runtime:  about 5 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: the smooth drift gives more accurate shifts along the columns, most of all with much noise. It does
          not give a better image.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_volumes import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        seeds: Seeds of the simulated volumes.
        scans: Simulated scans, before noise and motion.
        noise: Noise levels, sigma over the largest line integral.
        drift: Amplitude of the drift along the columns, one period over all views, bins.
        along_rows: Amplitude of the drift along the rows, half a period over all views, rows.
        methods: Reconstruction methods.
    """

    seeds: tuple[int, ...] = (1, 2)
    scans: VolumeScans = dataclasses.field(default_factory=lambda: VolumeScans(rows=8, noise=0.0))
    noise: tuple[float, ...] = (0.1, 0.4)
    drift: float = 2.5
    along_rows: float = 1.0
    methods: tuple[str, ...] = ("fista-tv",)


PRESETS = {
    "default": Config(),
    "tiny": Config(seeds=(1,), scans=VolumeScans(size=40, rows=8, views=20, noise=0.0), noise=(0.1,)),
}
