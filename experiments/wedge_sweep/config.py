"""How the quality falls with the width of the missing wedge, simulated and on real scans cut down.

command: python -m experiments.wedge_sweep [--preset tiny|default|every_method]
    (scans in PFITRE_DATA or ../shared/data)
runtime: about 25 minutes on 2 cores, resumes (tiny: half a minute; every_method, at 60 and 96 degrees: 20)
expected: at 90 degrees pfitre is about 3.5 dB above total variation on the simulated circuits, 2 dB on the
    tooth, and as good on i13, a disc with a bright core; on both real scans total variation is better at 30
"""

from __future__ import annotations

import dataclasses

from experiments.real_scans import I13, TOOTH, FullAngle
from experiments.simulated_scans import Twin
from pfitre_jax.evaluation.methods import WEIGHTS


@dataclasses.dataclass(frozen=True)
class Config:
    """missing_deg: widths of the wedge; pictured_deg: the one whose reconstructions are shown

    noise: of the simulated scans, sigma over the sinogram's maximum
    reference: the method that makes the reference of a real scan, of all its views, at its own weight
    weights: of both kinds of total variation, the best one by PSNR for each scan and wedge
    iterations: of every method, None for its own
    shown: row in the picture, and the value that is white
    """

    missing_deg: tuple[float, ...] = (30.0, 60.0, 90.0, 96.0, 120.0)
    pictured_deg: float = 90.0
    methods: tuple[str, ...] = ("fbp", "fista-tv", "fista-dtv", "pfitre")
    twin: Twin = dataclasses.field(default_factory=Twin)
    noise: float = 0.01
    real: dict[str, FullAngle] = dataclasses.field(default_factory=lambda: {"i13": I13, "tooth": TOOTH})
    reference: str = "fista-tv"
    weights: tuple[float, ...] = WEIGHTS
    iterations: int | None = None
    shown: dict[str, tuple[int, float]] = dataclasses.field(
        default_factory=lambda: {"twin": (0, 1.1), "i13": (10, 0.5), "tooth": (0, 1.1)}
    )


PRESETS = {
    "default": Config(),
    # All that there is to compare.
    "every_method": Config(
        missing_deg=(60.0, 96.0),
        pictured_deg=96.0,
        methods=("fbp", "sirt", "cgls", "fista-tv", "fista-dtv", "admm-tv", "pfitre"),
    ),
    "tiny": Config(
        missing_deg=(90.0,),
        methods=("fbp", "fista-tv", "pfitre"),
        # Of one shape, so that one compilation serves both.
        twin=Twin(size=32, seeds=(7000,)),
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        weights=(1e-3,),
        iterations=3,
        shown={"twin": (0, 1.1), "i13": (0, 0.5)},
    ),
}
