"""Robustness to bad views, bins and columns, and the gain of each option against them.

Command:  python -m experiments.robustness [--preset tiny|default]
Runtime:  about 20 minutes on 2 cores, resumes (tiny: half a minute).
Expected: two misplaced views cost pfitre 3.6 dB with least squares, 0.9 dB with "huber" and 0.5 dB with
          "views"; they cost total variation less than 1 dB. Dead columns cost much if they are used, and
          little if they are detected and excluded (the default). Stripes and gains cost little with the
          matching option, and that option costs nothing on a clean scan.

Simulated held-out circuits, 96 degrees missing. "detected": dead columns are detected as in ``pfitre recon``
(:func:`pfitre_jax.data.dead_columns`) and excluded. All methods use their default settings.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_scans import CircuitScans
from pfitre_jax.reconstruction import ROBUST

#: Options to compare: keyword arguments of :func:`pfitre_jax.reconstruct`, by label.
OPTIONS: dict[str, dict] = {
    "least squares": {},
    **{f"--robust {name}": {"robust": name} for name in ROBUST},
    "--stripes": {"stripes": True},
    "--gains": {"gains": True},
    "--photons": {},  # Its value comes from the configuration.
}
PLAIN, HUBER, STUDENT, VIEWS, STRIPES, GAINS, PHOTONS = OPTIONS


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        missing_deg: Missing wedge.
        noise: Sigma over the maximum of the sinogram.
        methods: Methods to compare.
        artifacts: Options to compare, by artifact. An artifact is a combination of the names in
            :data:`experiments.robustness.artifacts.ARTIFACTS` and of "photons", "truncated", "equalised"
            and "detected".
        outliers: Number of misplaced views.
        bins: Displacement of those, bins.
        gain: Factor of the brightness of those.
        zingers: Share of bins with a zinger.
        dead: Share of dead columns.
        stripes: Number of columns with an offset.
        stripe: Size of that offset over the maximum of the sinogram.
        gains: RMS of the view gains.
        truncation: Share of the columns that the detector lacks on either side.
        photons: Photons per bin in the flat beam.
        absorption: Largest line integral, where photons are counted.
        twin: Simulated scans.
        iterations: Iterations of every method; None for the default of each.
        seed: Seed of the artifacts.
    """

    missing_deg: float = 96.0
    noise: float = 0.01
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    artifacts: dict[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "none": (PLAIN, HUBER, STUDENT, VIEWS, STRIPES, GAINS),
            "outlier views": (PLAIN, HUBER, STUDENT, VIEWS),
            "zingers": (PLAIN, HUBER, STUDENT),
            "dead columns": (PLAIN, STUDENT),
            "dead columns, detected": (PLAIN,),
            "outlier views and dead columns, detected": (PLAIN, STUDENT, VIEWS),
            "stripes": (PLAIN, STRIPES),
            "view gains": (PLAIN, GAINS),
            "few photons": (PLAIN, PHOTONS),
            "truncated": (PLAIN, GAINS),
            "truncated, equalised": (PLAIN, GAINS),
        }
    )
    outliers: int = 2
    bins: int = 6
    gain: float = 1.2
    zingers: float = 0.005
    dead: float = 0.05
    stripes: int = 4
    stripe: float = 0.05
    gains: float = 0.08
    truncation: float = 0.1
    photons: float = 300.0
    absorption: float = 4.0
    twin: CircuitScans = dataclasses.field(
        default_factory=lambda: CircuitScans(seeds=tuple(range(7000, 7008)))
    )
    iterations: int | None = None
    seed: int = 5


PRESETS = {
    "default": Config(),
    "tiny": Config(
        artifacts={
            "none": (PLAIN,),
            "outlier views and dead columns, detected": (PLAIN, STUDENT),
            "few photons": (PHOTONS,),
        },
        twin=CircuitScans(size=32, seeds=(7000,)),
        iterations=4,
    ),
}
