"""Priors on real scans, side by side.

Command:  python -m experiments.real_samples [--preset tiny|default|full_angle] [--with WEIGHTS]
          Needs PFITRE_DATA or ../shared/data.
Runtime:  about 5 minutes on 2 cores for each prior, resumes (tiny: 1 minute; full_angle: 15 minutes).
Expected: relative to total variation with the automatic weight: equal on the chip, slightly worse on the
          catalyst, 1 dB better on i13 and 2.5 dB on the tooth.

These scans do not influence which prior is shipped: ``pfitre evaluate`` decides that on simulated scans.
"""

from __future__ import annotations

import dataclasses

from experiments.common.real_scans import FULL_ANGLE, I13, TOOTH, FullAngleSample, ReferencedSample
from pfitre_jax.evaluation import TV_WEIGHTS


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        priors: Names of the priors; ``--with`` adds others.
        baseline: Method to compare with, with its default settings.
        chip: Held-out views of Cu_23, by name.
        row_step: Step between the rows of Cu_23.
        center: Rotation axis of Cu_23, detector index.
        roll_deg: Roll of Cu_23.
        catalyst: Held-out views of the catalyst; empty to skip it.
        real: Real scans over 180 degrees, by name. Their reference is their own, or the baseline from all
            views.
        missing_deg: Missing wedges of those.
        shown_missing_deg: The one that the figure shows.
        methods: Further methods for those scans, with their default settings.
        weights: TV weights of the baseline to choose from by PSNR; empty for the automatic weight only.
        shown: Row of the figure (index among the solved rows) and white level, by sample.
        iterations: Iterations of every method; None for the default of each.
    """

    priors: tuple[str, ...] = ("circuits", "general")
    baseline: str = "fista-tv"
    chip: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    row_step: int = 3
    center: float = 75.0
    roll_deg: float = 1.5
    catalyst: str = "::4"
    real: dict[str, FullAngleSample | ReferencedSample] = dataclasses.field(
        default_factory=lambda: {"i13": I13, "tooth": TOOTH}
    )
    missing_deg: tuple[float, ...] = (90.0,)
    shown_missing_deg: float = 90.0
    methods: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    shown: dict[str, tuple[int, float]] = dataclasses.field(
        default_factory=lambda: {
            "Cu_23": (13, 1.1),
            "catalyst": (3, 1.1),
            "i13": (10, 0.5),
            "tooth": (0, 1.4),
        }
    )
    iterations: int | None = None


PRESETS = {
    "default": Config(),
    # Every scan that can be compared with an image from all its views, with every kind of method.
    "full_angle": Config(
        priors=("circuits",),
        chip={},
        catalyst="",
        real=FULL_ANGLE,
        missing_deg=(60.0, 90.0, 120.0),
        methods=("fbp", "sirt"),
        weights=TV_WEIGHTS,
        shown={name: (0, {"i13": 0.5, "tooth": 1.4}.get(name, 1.1)) for name in FULL_ANGLE},
    ),
    "tiny": Config(
        priors=("circuits",),
        chip={"36-50": "36:51"},
        row_step=42,
        catalyst="",
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        shown={"Cu_23": (0, 1.1), "i13": (0, 0.5)},
        iterations=3,
    ),
}
