"""What bad views, bins and columns cost, and how much of it each remedy brings back.

command: python -m experiments.robustness [--preset tiny|default]
runtime: about 20 minutes on 2 cores, resumes (tiny: half a minute)
expected: two views that lie wrong cost the learned method 3.6 dB by least squares, 0.9 by "huber" and 0.5 by
    "views", total variation less than one; columns that are dead cost much where they count as measured and
    little where they are found and left out, which is the default; stripes and gains cost little where they
    are looked for, and looking for them costs nothing

Simulated circuits that no prior was trained on, 96 degrees missing. "dead": columns that read 0 count as
measured; "found": they are found as ``pfitre recon`` finds them
(:func:`pfitre_jax.data.preprocess.dead_columns`). Every method has the settings that it comes with.
"""

from __future__ import annotations

import dataclasses

from experiments.simulated_scans import Twin
from pfitre_jax.reconstruction import ROBUST

#: What a method can be told, by its name in the tables; :func:`pfitre_jax.reconstruct` takes it.
REMEDIES: dict[str, dict] = {
    "least squares": {},
    **{f"--robust {name}": {"robust": name} for name in ROBUST},
    "--stripes": {"stripes": True},
    "--gains": {"gains": True},
    "--photons": {},  # its number is the configuration's
}
PLAIN, HUBER, STUDENT, VIEWS, STRIPES, GAINS, PHOTONS = REMEDIES


@dataclasses.dataclass(frozen=True)
class Config:
    """missing_deg, noise: of all scans, the noise over the sinogram's maximum
    defects: made of names of :data:`experiments.robustness.defects.DEFECTS` and "found", and the remedies
        that are tried
    outliers: views that lie wrong; bins: that they are off by; gain: that they are brighter by
    zingers: share of bins; dead: share of columns; stripes: columns that are off by ``stripe`` of the
        sinogram's maximum in all views; gains: rms of the views' brightness
    cut: share of the columns that the detector lacks on either side
    photons: of the flat beam in a bin; absorption: largest line integral that they see
    iterations: of every method, None for its own
    seed: of the defects
    """

    missing_deg: float = 96.0
    noise: float = 0.01
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    defects: dict[str, tuple[str, ...]] = dataclasses.field(
        default_factory=lambda: {
            "none": (PLAIN, HUBER, STUDENT, VIEWS, STRIPES, GAINS),
            "views": (PLAIN, HUBER, STUDENT, VIEWS),
            "zingers": (PLAIN, HUBER, STUDENT),
            "dead": (PLAIN, STUDENT),
            "dead, found": (PLAIN,),
            "views and dead, found": (PLAIN, STUDENT, VIEWS),
            "stripes": (PLAIN, STRIPES),
            "gains": (PLAIN, GAINS),
            "few photons": (PLAIN, PHOTONS),
            "cut": (PLAIN, GAINS),
            "cut, equalised": (PLAIN, GAINS),
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
    cut: float = 0.1
    photons: float = 300.0
    absorption: float = 4.0
    twin: Twin = dataclasses.field(default_factory=lambda: Twin(seeds=tuple(range(7000, 7008))))
    iterations: int | None = None
    seed: int = 5


PRESETS = {
    "default": Config(),
    "tiny": Config(
        defects={"none": (PLAIN,), "views and dead, found": (PLAIN, STUDENT), "few photons": (PHOTONS,)},
        twin=Twin(size=32, seeds=(7000,)),
        iterations=4,
    ),
}
