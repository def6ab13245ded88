"""What bad views, bins and columns cost, and how much of it robust data terms and masks bring back.

command: python -m experiments.robustness [--preset tiny|default]
runtime: about 15 minutes on 2 cores, resumes (tiny: half a minute)
expected: two views that lie wrong cost least squares decibels and "student-t" little; columns that are dead
    cost much where they count as measured and little where they are found and left out, which is the default

Simulated circuits that no prior was trained on, 96 degrees missing. "dead": columns that read 0 count as
measured; "found": they are found as ``pfitre recon`` finds them
(:func:`pfitre_jax.preprocess.dead_columns`). Every method has the settings that it comes with.
"""

from __future__ import annotations

import dataclasses

from experiments.simulated_scans import Twin
from pfitre_jax.engine.methods import ROBUST


@dataclasses.dataclass(frozen=True)
class Config:
    """missing_deg, noise: of all scans, the noise over the sinogram's maximum
    defects: made of names of :data:`experiments.robustness.defects.DEFECTS` and "found"
    terms: data terms, "" for least squares
    outliers: views that lie wrong; bins: that they are off by; gain: that they are brighter by
    zingers: share of bins; dead: share of columns; stripes: columns whose gain is off by ``stripe``
    iterations: of every method, None for its own
    seed: of the defects
    """

    missing_deg: float = 96.0
    noise: float = 0.01
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    terms: tuple[str, ...] = ("", *ROBUST)
    defects: tuple[str, ...] = (
        "none",
        "views",
        "zingers",
        "stripes",
        "dead",
        "dead, found",
        "views and dead, found",
    )
    outliers: int = 2
    bins: int = 6
    gain: float = 1.2
    zingers: float = 0.005
    dead: float = 0.05
    stripes: int = 4
    stripe: float = 0.1
    twin: Twin = dataclasses.field(default_factory=lambda: Twin(seeds=tuple(range(7000, 7012))))
    iterations: int | None = None
    seed: int = 5


PRESETS = {
    "default": Config(),
    "tiny": Config(
        defects=("none", "views and dead, found"),
        terms=("", "student-t"),
        twin=Twin(size=32, seeds=(7000,)),
        iterations=4,
    ),
}
