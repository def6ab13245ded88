"""Quality by width of the missing wedge, on simulated scans and on real scans with views removed.

Command:  python -m experiments.wedge_sweep [--preset tiny|default|every_method]
          The real scans need PFITRE_DATA or ../shared/data.
Runtime:  about 25 minutes on 2 cores, resumes (tiny: half a minute; every_method, at 60 and 96 degrees: 20).
Expected: at 90 degrees, pfitre is about 3.5 dB above total variation on the simulated circuits, 2 dB on the
          tooth, and equal on i13, a disc with a bright core. At 30 degrees, total variation is better on both
          real scans.
"""

from __future__ import annotations

import dataclasses

from experiments.common.real_scans import I13, TOOTH, FullAngleSample
from experiments.common.simulated_scans import CircuitScans
from pfitre_jax.evaluation import TV_WEIGHTS


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        missing_deg: Widths of the missing wedge.
        shown_missing_deg: Width whose reconstructions the figure shows.
        methods: Methods to compare.
        twin: Simulated scans.
        noise: Noise of the simulated scans, sigma over the maximum of the sinogram.
        real: Real scans over 180 degrees, by name.
        reference: Method of the reference of a real scan, from all its views with default settings.
        weights: TV weights to choose from by PSNR, for each scan and wedge.
        iterations: Iterations of every method; None for the default of each.
        shown: Row and white level of the figure, by sample.
    """

    missing_deg: tuple[float, ...] = (30.0, 60.0, 90.0, 96.0, 120.0)
    shown_missing_deg: float = 90.0
    methods: tuple[str, ...] = ("fbp", "fista-tv", "fista-dtv", "pfitre")
    twin: CircuitScans = dataclasses.field(default_factory=CircuitScans)
    noise: float = 0.01
    real: dict[str, FullAngleSample] = dataclasses.field(default_factory=lambda: {"i13": I13, "tooth": TOOTH})
    reference: str = "fista-tv"
    weights: tuple[float, ...] = TV_WEIGHTS
    iterations: int | None = None
    shown: dict[str, tuple[int, float]] = dataclasses.field(
        default_factory=lambda: {"twin": (0, 1.1), "i13": (10, 0.5), "tooth": (0, 1.1)}
    )


PRESETS = {
    "default": Config(),
    "every_method": Config(
        missing_deg=(60.0, 96.0),
        shown_missing_deg=96.0,
        methods=("fbp", "sirt", "cgls", "fista-tv", "fista-dtv", "admm-tv", "pfitre"),
    ),
    "tiny": Config(
        missing_deg=(90.0,),
        methods=("fbp", "fista-tv", "pfitre"),
        # Both samples have the same shape, so that they share their compiled programs.
        twin=CircuitScans(size=32, seeds=(7000,)),
        real={"i13": dataclasses.replace(I13, bins=5, rows=(102,))},
        weights=(1e-3,),
        iterations=3,
        shown={"twin": (0, 1.1), "i13": (0, 0.5)},
    ),
}
