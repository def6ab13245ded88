"""Dose saved by a learned prior at equal quality: fewer views, or fewer counts per view.

Command:  python -m experiments.dose_and_views [--preset tiny|default]
          The real scans need PFITRE_DATA or ../shared/data.
Runtime:  about 45 minutes on 2 cores, resumes (tiny: half a minute).
Expected: on the simulated circuits and the tooth, PFITRE with a small share of the dose is better than
          FISTA-TV with all of it: the missing wedge limits both more than the noise does. For counts on i13
          and Cu_23 the curves lie close together. With an eighth of the views, i13 and the circuits lose most
          detail.

Dose is the share of the counts of the scan with all its views, wedge already missing. Counts: the digital
twin draws Poisson counts; the raw readings of i13 and the tooth are thinned. The counts of Cu_23 are unknown:
it receives Gaussian noise so that its estimated variance grows as it would with fewer counts. The estimate
(:func:`pfitre_jax.solvers.noise_from_differences`) is too large where sharp structure fills the view.
"""

from __future__ import annotations

import dataclasses

from experiments.common.real_scans import I13, TOOTH, FullAngleSample
from experiments.common.simulated_scans import CircuitScans


@dataclasses.dataclass(frozen=True)
class Chip:
    """Cu_23, evaluated by its error on held-out views.

    Attributes:
        rows: Rows that are solved.
        views: Held-out views of the raw stack.
        center: Rotation axis, detector index.
        roll_deg: Roll of the rotation axis.
        prior: Name of the prior for ``pfitre``.
    """

    rows: tuple[int, ...] = tuple(range(0, 84, 3))
    views: str = "0:51:4"
    center: float = 75.0
    roll_deg: float = 1.5
    prior: str = "circuits"


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        missing_deg: Missing wedge of all samples but the chip.
        methods: The baseline, and the method whose dose saving is reported.
        every: Numbers n; every n-th view is kept.
        divisors: Numbers that the counts are divided by.
        twin: Simulated scans.
        photons: Photons in the brightest bin of the simulated scans.
        real: Real scans over 180 degrees, by name.
        chip: Cu_23, or None to skip it.
        reference: Method of the reference of a real scan, from all its views with default settings.
        weights: TV weights to choose from, for each scan.
        rhos: Prior strengths to choose from, for each scan.
        iterations: Iterations of every method; None for the default of each.
        seed: Seed of the thinning and of the noise of the chip.
    """

    missing_deg: float = 90.0
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    every: tuple[int, ...] = (2, 4, 8)
    divisors: tuple[int, ...] = (4, 16, 64)
    twin: CircuitScans = dataclasses.field(default_factory=CircuitScans)
    photons: float = 10000.0
    real: dict[str, FullAngleSample] = dataclasses.field(default_factory=lambda: {"i13": I13, "tooth": TOOTH})
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
        # Both samples have the same shape, so that they share their compiled programs.
        twin=CircuitScans(size=32, seeds=(7000,)),
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        chip=None,
        weights=(1e-2,),
        rhos=(0.02,),
        iterations=3,
    ),
}
