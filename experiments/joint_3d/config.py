"""Rows together instead of one by one: what is one volume worth?

command: python -m experiments.joint_3d [--preset tiny|default] [--with planes|WEIGHTS]
    (layouts and the real chip need PFITRE_DATA or ../shared/data)
runtime: about 20 minutes on 2 cores, resumes (tiny: 1 minute)
expected: on volumes like those it was trained on a prior that sees the neighbouring rows is worth one to
    three decibels over the same rows one by one; total variation along the rows, or smoothing along
    them, is worth next to nothing

Circuits are drawn by the rules that the prior "volume" was trained on, other draws; layouts are pieces of a
design that no prior saw.
"""

from __future__ import annotations

import dataclasses

from experiments.volume_scans import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """circuits, layouts: seeds of the volumes; scans: how they are made
    methods: that solve the rows both ways; weights: of total variation, tried for either
    smoothing: rms widths of a Gaussian along the rows, tried on the rows one by one
    left_out: views of the real chip that are predicted, by name, and its rows
    """

    circuits: tuple[int, ...] = (1, 2, 4)
    layouts: tuple[int, ...] = (1, 2, 3)
    scans: VolumeScans = dataclasses.field(default_factory=VolumeScans)
    methods: tuple[str, ...] = ("admm-tv", "pfitre")
    weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    smoothing: tuple[float, ...] = (0.5, 0.75, 1.0)
    left_out: dict[str, str] = dataclasses.field(default_factory=lambda: {"36-50": "36:51", "28-35": "28:36"})
    rows: str = "24:56"


PRESETS = {
    "default": Config(),
    "tiny": Config(
        circuits=(1,),
        layouts=(),
        scans=VolumeScans(size=40, rows=10, views=20),
        weights=(3e-4,),
        smoothing=(0.5,),
        left_out={},
    ),
}
