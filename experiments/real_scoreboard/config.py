"""Scoreboard of real scans: every method, with automatic settings, on scans reduced to a limited angle.

Command:  python -m experiments.real_scoreboard [--preset tiny|default|quick|discs] [--prior NAME|WEIGHTS ...]
          Needs PFITRE_DATA or ../shared/data. A new scan is a file in PFITRE_DATA/real_full_angle.
Runtime:  about an hour on 2 cores and 20 minutes for each further prior, resumes (quick, one orientation:
          half of it; discs: 10 minutes for each disc; tiny: 2 minutes).
Expected: ``pfitre`` is 2 to 3 dB above total variation at its best weight in the mean, and below it on a few.

These scans do not influence which prior is shipped or which default is set: ``pfitre evaluate`` decides that
on simulated scans.
"""

from __future__ import annotations

import dataclasses

from experiments.common.real_scans import CHIP_CENTER, CHIP_ROLL_DEG
from pfitre_jax.evaluation import TV_WEIGHTS


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment. The priors are options of the command.

    Attributes:
        baseline: Method to compare with, with its automatic weight and with the weight of the best PSNR.
        reference: Method of the image from all views, where a scan has none of its own. Total variation would
            favour itself.
        methods: Further methods, with their automatic settings.
        weights: TV weights to choose from by PSNR; empty for the automatic weight only.
        missing_deg: Missing wedges of the scans with an image from all views.
        turns_deg: Orientations of the wedge, relative to that of the scan's first views.
        shown: Wedge that the pictures show, degrees.
        scans: Names of the scans; empty for all.
        only_segmented: Whether only scans with a segmentation are scored.
        chip: Held-out views of Cu_23, by name.
        row_step: Step between the rows of Cu_23.
        center: Rotation axis of Cu_23, detector index.
        roll_deg: Roll of Cu_23.
        catalyst: Held-out views of the catalyst; empty to skip it.
        iterations: Iterations of every method; None for the default of each.
    """

    baseline: str = "fista-tv"
    reference: str = "fbp"
    methods: tuple[str, ...] = ("fbp", "sirt", "cgls", "fista-dtv", "admm-tv")
    weights: tuple[float, ...] = TV_WEIGHTS
    missing_deg: tuple[float, ...] = (60.0, 90.0, 120.0)
    turns_deg: tuple[float, ...] = (0.0, 90.0)
    shown: float = 90.0
    scans: tuple[str, ...] = ()
    only_segmented: bool = False
    chip: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    row_step: int = 3
    center: float = CHIP_CENTER
    roll_deg: float = CHIP_ROLL_DEG
    catalyst: str = "::4"
    iterations: int | None = None


PRESETS = {
    "default": Config(),
    "quick": Config(turns_deg=(0.0,), chip={}, catalyst=""),
    # The angular ranges of the Helsinki tomography challenge (HTC 2022) that the published scores are for.
    "discs": Config(
        methods=(),
        missing_deg=(90.0, 110.0, 130.0, 140.0, 150.0),
        turns_deg=(0.0,),
        only_segmented=True,
        chip={},
        catalyst="",
    ),
    "tiny": Config(
        methods=("fbp",),
        weights=(),
        missing_deg=(90.0,),
        turns_deg=(0.0,),
        scans=("i13", "Cu_23"),
        chip={"36-50": "36:51"},
        row_step=42,
        catalyst="",
        iterations=3,
    ),
}
