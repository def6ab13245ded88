"""How much dose a learned prior saves: fewer views, or fewer counts in each, at equal quality.

command: python -m experiments.dose_and_views [--preset tiny|default] (scans in PFITRE_DATA or ../shared/data)
runtime: about 45 minutes on 2 cores, resumes (tiny: half a minute)
expected: on the simulated circuits PFITRE is better at a small share of the dose than FISTA-TV at all of it:
    the missing wedge limits both more than the noise; so on the tooth, while for counts on i13 and
    Cu_23 the curves lie close together; with an eighth of the views i13 and the twin fall apart

Dose is the share of all counts in the scan with all its views, of a wedge already missing. Counts: the twin's
are Poisson; i13's and the tooth's raw readings are thinned; those of Cu_23 are unknown, so it gets Gaussian
noise that makes the variance estimated from its own sinograms, as
:func:`pfitre_jax.solvers.parameters.noise.noise_from_differences` finds it (too much where sharp structure fills the view), that
of the smaller dose.
"""

from __future__ import annotations

import dataclasses

from experiments.real_scans import I13, TOOTH, FullAngle
from experiments.simulated_scans import Twin


@dataclasses.dataclass(frozen=True)
class Chip:
    """Cu_23, judged by the error on views left out: ``views`` of the raw stack

    rows: solved together; center, roll_deg: as it is mended
    """

    rows: tuple[int, ...] = tuple(range(0, 84, 3))
    views: str = "0:51:4"
    center: float = 75.0
    roll_deg: float = 1.5
    prior: str = "circuits"


@dataclasses.dataclass(frozen=True)
class Config:
    """missing_deg: wedge of all but the chip, which has its own; photons: in the twin's brightest bin
    methods: the baseline, and the one whose saving is told

    every: numbers n of which every n-th view is kept; divisors: what the counts are divided by
    reference: the method that makes the reference of a real scan, of all its views, at its own weight
    weights: of total variation; rhos: of PFITRE; each has its best one for every scan, by what judges it
    iterations: of every method, None for its own
    seed: of the thinning and of the chip's noise
    """

    missing_deg: float = 90.0
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    every: tuple[int, ...] = (2, 4, 8)
    divisors: tuple[int, ...] = (4, 16, 64)
    twin: Twin = dataclasses.field(default_factory=Twin)
    photons: float = 10000.0
    real: dict[str, FullAngle] = dataclasses.field(default_factory=lambda: {"i13": I13, "tooth": TOOTH})
    chip: Chip | None = dataclasses.field(default_factory=Chip)
    reference: str = "fista-tv"
    weights: tuple[float, ...] = tuple(10.0 ** (-e / 2) for e in range(8, 2, -1))
    rhos: tuple[float, ...] = (0.005, 0.02)
    iterations: int | None = None
    seed: int = 3


PRESETS = {
    "default": Config(),
    "tiny": Config(
        every=(),
        divisors=(64,),
        # Of one shape, so that one compilation serves both.
        twin=Twin(size=32, seeds=(7000,)),
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        chip=None,
        weights=(1e-2,),
        rhos=(0.02,),
        iterations=3,
    ),
}
