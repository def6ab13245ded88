"""Alignment of the views: its accuracy, and its effect on the reconstruction.

Command:  python -m experiments.alignment [--preset tiny|default] [--only motion|chip|catalyst]
          The chip and the catalyst need PFITRE_DATA or ../shared/data.
Runtime:  about 50 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: simulated scans: shifts along columns and rows to 0.05 bins RMS, roll to 0.25 degrees, gain to 1%;
          the aligned scan is within 1 dB of a scan without motion in the mean. Chip: 30% less error on every
          fourth view, 5 to 9% less on views at one end of the angular range, where the roll is wrong by a
          degree. Catalyst: two thirds less error.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_volumes import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        seeds: Seeds of the simulated volumes.
        attributed: Seeds of those for which each wrong part of the motion is replaced with the true one.
        scans: Simulated scans and their motion.
        held_out: Held-out views of the chip, by name.
        catalyst: Held-out views of the catalyst; empty to skip it.
        methods: Methods that predict the held-out views.
    """

    seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    attributed: tuple[int, ...] = (1, 2)
    scans: VolumeScans = dataclasses.field(default_factory=VolumeScans)
    held_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    catalyst: str = "::4"
    methods: tuple[str, ...] = ("fista-tv", "pfitre")


PRESETS = {
    "default": Config(),
    "tiny": Config(
        seeds=(1,),
        attributed=(1,),
        scans=VolumeScans(size=40, rows=10, views=20),
        held_out={},
        catalyst="",
        methods=("fista-tv",),
    ),
}
