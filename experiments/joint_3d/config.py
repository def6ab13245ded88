"""Rows together instead of one by one, and views brought to where they belong: what is each worth?

command: python -m experiments.joint_3d [--preset tiny|default] [--only joint|motion|chip]
    (the chip needs PFITRE_DATA or ../shared/data)
runtime: about 40 minutes on 2 cores, resumes (tiny: 2 minutes)
expected: shifts of views and rows to 0.05 bins rms, roll to 0.25 degrees, 1% of gain; the mended scan within
    1 dB of one that never moved; on the chip, with a third of the views left out, the roll a degree off and
    the error 8% less. Variation along the rows is worth less than a dB
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Config:
    """seeds: of the simulated volumes, circuits whose layers are tilted by up to 2 degrees
    size, rows, views, missing_deg, noise: of the simulated scans; missing about the x axis, noise over the
        largest line integral
    weights: of total variation, tried for the rows one by one and together; smoothing: rms widths of a
        Gaussian along the rows, bins, tried on what ``pfitre`` makes of each row
    shift, slipped, largest_slip, row_shift, roll_deg, gain, center: of the scans that moved: rms of the
        shifts, number of views that slip further and how far, rms along the rows, roll, rms of the gain, and
        how far off the centre is that the reconstruction is told
    left_out: views of the chip that are left out, and predicted, by name; methods: that predict them
    """

    seeds: tuple[int, ...] = (1, 2, 4)
    size: int = 96
    rows: int = 32
    views: int = 51
    missing_deg: float = 96.0
    noise: float = 0.01
    weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    smoothing: tuple[float, ...] = (0.5, 0.75, 1.0)
    shift: float = 1.5
    slipped: int = 3
    largest_slip: float = 6.0
    row_shift: float = 1.0
    roll_deg: float = 1.0
    gain: float = 0.05
    center: float = 4.0
    left_out: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    methods: tuple[str, ...] = ("fista-tv", "pfitre")


PRESETS = {
    "default": Config(),
    "tiny": Config(
        seeds=(1,),
        size=40,
        rows=10,
        views=20,
        weights=(3e-4,),
        smoothing=(0.5,),
        left_out={},
        methods=("fista-tv",),
    ),
}
