"""Views brought to where they belong: how well are they found, and what is it worth?

command: python -m experiments.alignment [--preset tiny|default] [--only motion|chip|catalyst]
    (chip and catalyst need PFITRE_DATA or ../shared/data)
runtime: about 25 minutes on 2 cores, resumes (tiny: 1 minute)
expected: shifts of views and rows to 0.05 bins rms, roll to 0.25 degrees, 1% of gain; the mended scan within
    1 dB of one that never moved; on the chip 30% less error on every fourth view, 5 to 9% on views at an end
    of the range, where with a third of them left out the roll is a degree off; on the catalyst a third of it
"""

from __future__ import annotations

import dataclasses

from experiments.volume_scans import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """seeds: of the simulated volumes, circuits whose layers are tilted by up to 2 degrees; scans: of them
    left_out: views of the chip that are left out, and predicted, by name; catalyst: of the catalyst
    methods: that predict them
    """

    seeds: tuple[int, ...] = (1, 2, 4)
    scans: VolumeScans = dataclasses.field(default_factory=VolumeScans)
    left_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    catalyst: str = "::4"
    methods: tuple[str, ...] = ("fista-tv", "pfitre")


PRESETS = {
    "default": Config(),
    "tiny": Config(
        seeds=(1,),
        scans=VolumeScans(size=40, rows=10, views=20),
        left_out={},
        catalyst="",
        methods=("fista-tv",),
    ),
}
