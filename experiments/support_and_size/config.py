"""Gain of the loop's start from coarser levels, by size and on fine wires, and of the sample support.

Command:  python -m experiments.support_and_size [--preset tiny|default]
Runtime:  about 20 minutes on 2 cores, resumes (tiny: 2 minutes).
Expected: coarser levels add more, the larger the image. For total variation the automatic support is within
          0.1 dB of the better one of "disc" and "extended", or better; for pfitre within 1 dB. The true
          outline is mostly better still: the measured views do not show how far a sample extends along the
          missing ones. pfitre loses with the true outline of the slab inside the field.

Simulated held-out circuits, 96 degrees missing. The automatic TV weight and ``rho`` are used throughout.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_scans import CircuitScans
from experiments.support_and_size.outlines import OUTLINES, Outline, OutlineScans
from experiments.support_and_size.wires import WireScan


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of the scans that are compared with and without coarser levels.

    Attributes:
        columns: Detector bins.
        views: Number of views.
        scenes: Number of scenes.
    """

    columns: int
    views: int
    scenes: int


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        sizes: Sizes of the scans; the scenes are the same, drawn on more pixels.
        missing_deg: Missing wedge of these scans.
        noise: Sigma of these scans over the maximum of the sinogram.
        first_seed: Seed of the first scene.
        wires: Gratings of fine wires that are compared with and without coarser levels.
        prior: Name of the prior.
        outlines: Outlines of the samples whose supports are compared.
        outlined: Scans of those samples.
        methods: Methods with which the supports are compared.
        iterations: Iterations of ``pfitre`` at the finest level.
    """

    sizes: tuple[Size, ...] = (Size(128, 51, 4), Size(256, 51, 4), Size(512, 102, 2), Size(1024, 102, 1))
    missing_deg: float = 96.0
    noise: float = 0.01
    first_seed: int = 7000
    wires: WireScan = dataclasses.field(default_factory=WireScan)
    prior: str = "circuits"
    outlines: dict[str, Outline] = dataclasses.field(default_factory=lambda: dict(OUTLINES))
    outlined: OutlineScans = dataclasses.field(default_factory=OutlineScans)
    methods: tuple[str, ...] = ("fista-tv", "pfitre")
    iterations: int = 10

    def circuits(self, size: Size) -> CircuitScans:
        """Scans of one size."""
        return CircuitScans(
            size=size.columns,
            spacing_deg=(180 - self.missing_deg) / size.views,
            seeds=tuple(range(self.first_seed, self.first_seed + size.scenes)),
            prior=self.prior,
        )


PRESETS = {
    "default": Config(),
    "tiny": Config(
        sizes=(Size(128, 51, 1),),
        wires=WireScan(columns=128, gratings=((1, 3),), side=32),
        outlines={"disc beyond the field": OUTLINES["disc beyond the field"]},
        outlined=OutlineScans(columns=64, seeds=(7200,)),
        iterations=3,
    ),
}
