"""A sample that drifts while noisy views are taken: placed view by view, or as a drift?

command: python -m experiments.slow_drift [--preset tiny|default]
runtime: about 5 minutes on 2 cores, resumes (tiny: 1 minute)
expected: as a drift the shifts along the columns are found better, most of all where much noise throws single
    views about; the image is no better for it
"""

from __future__ import annotations

import dataclasses

from experiments.volume_scans import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """seeds: of the simulated volumes; scans: of them, their noise at first
    noise: more of it, over the largest line integral, some and much
    drift: bins, the amplitude of one period over the views; along_rows: in rows, of half a period
    methods: that reconstruct what was mended
    """

    seeds: tuple[int, ...] = (1, 2)
    scans: VolumeScans = dataclasses.field(default_factory=lambda: VolumeScans(rows=8, noise=0.0))
    noise: tuple[float, ...] = (0.1, 0.4)
    drift: float = 2.5
    along_rows: float = 1.0
    methods: tuple[str, ...] = ("fista-tv",)


PRESETS = {
    "default": Config(),
    "tiny": Config(seeds=(1,), scans=VolumeScans(size=40, rows=8, views=20, noise=0.0), noise=(0.4,)),
}
