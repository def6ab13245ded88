"""What priors make of the real scans, beside one another: to look at before one is shipped.

command: python -m experiments.real_samples [--preset tiny|default] [--with WEIGHTS]
    (needs PFITRE_DATA or ../shared/data)
runtime: about 5 minutes on 2 cores for each prior, resumes (tiny: 1 minute)
expected: beside total variation at its own weight as good on the chip, a little worse on the catalyst, 1 dB
    better on i13 and 2.5 dB on the tooth

These scans shape no prior: which one is shipped, ``pfitre evaluate`` decides on generated scans alone.
"""

from __future__ import annotations

import dataclasses

from experiments.real_scans import I13, TOOTH, FullAngle


@dataclasses.dataclass(frozen=True)
class Config:
    """priors: by name; others are asked for by ``--with``
    baseline: method beside them, with its own settings
    chip: views of Cu_23 that are left out and predicted, by name; every: n-th row of it, all together;
        center, roll_deg: as it is mended
    catalyst: views of it that are left out, after the others are aligned; none for ""
    real: scans over 180 degrees that are cut to ``missing_deg``, beside the baseline from all their views
    shown: row in the picture, of those solved, and the value that is white
    iterations: of every method, None for its own
    """

    priors: tuple[str, ...] = ("circuits", "general")
    baseline: str = "fista-tv"
    chip: dict[str, str] = dataclasses.field(
        default_factory=lambda: {"36-50": "36:51", "28-35": "28:36", "every fourth": "0:51:4"}
    )
    every: int = 3
    center: float = 75.0
    roll_deg: float = 1.5
    catalyst: str = "::4"
    real: dict[str, FullAngle] = dataclasses.field(default_factory=lambda: {"i13": I13, "tooth": TOOTH})
    missing_deg: float = 90.0
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
    "tiny": Config(
        priors=("circuits",),
        chip={"36-50": "36:51"},
        every=42,
        catalyst="",
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        shown={"Cu_23": (0, 1.1), "i13": (0, 0.5)},
        iterations=3,
    ),
}
