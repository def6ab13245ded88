"""Joint reconstruction of all rows against reconstruction slice by slice.

Command:  python -m experiments.joint_3d [--preset tiny|default] [--with planes|WEIGHTS]
          Layouts and the real chip need PFITRE_DATA or ../shared/data.
Runtime:  about 20 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: on volumes like those of its training, a prior that sees the neighbouring rows gains 1 to 3 dB over
          the same rows slice by slice. TV along the rows, or smoothing along them, gains almost nothing.

Circuits follow the rules that the prior "volume" was trained on, with other seeds. Layouts are pieces of a
held-out design.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_volumes import VolumeScans


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        circuits: Seeds of the volumes of circuits.
        layouts: Seeds of the pieces of the layout.
        scans: Simulated scans.
        methods: Methods that can solve the rows both ways.
        weights: TV weights to choose from, for each way.
        smoothing: RMS widths of a Gaussian along the rows to choose from.
        held_out: Held-out views of the real chip, by name.
        rows: Rows of the real chip.
    """

    circuits: tuple[int, ...] = (1, 2, 4)
    layouts: tuple[int, ...] = (1, 2, 3)
    scans: VolumeScans = dataclasses.field(default_factory=VolumeScans)
    methods: tuple[str, ...] = ("admm-tv", "pfitre")
    weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    smoothing: tuple[float, ...] = (0.5, 0.75, 1.0)
    held_out: dict[str, str] = dataclasses.field(default_factory=lambda: {"36-50": "36:51", "28-35": "28:36"})
    rows: str = "24:56"


PRESETS = {
    "default": Config(),
    "tiny": Config(
        circuits=(1,),
        layouts=(),
        scans=VolumeScans(size=40, rows=10, views=20),
        weights=(3e-4,),
        smoothing=(0.5,),
        held_out={},
    ),
}
