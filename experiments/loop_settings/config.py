"""With which rho, and after how many iterations, is the loop of ``pfitre`` best, and what does time buy?

command: python -m experiments.loop_settings [--preset tiny|default] [--prior NAME --out DIR]
runtime: about 10 minutes on 2 cores, resumes (tiny: a minute)
expected: most of the gain is there after ten iterations, and more of them bring some more; rho should be
    larger where there is more noise, and the automatic one is near the best

Whether the defaults of ``pfitre recon`` are well chosen: on held-out circuits, but other ones than ``pfitre
evaluate`` and the other experiments judge by.
"""

from __future__ import annotations

import dataclasses

from experiments.simulated_scans import Twin


@dataclasses.dataclass(frozen=True)
class Case:
    """missing_deg: width of the wedge; noise: sigma over the sinogram's maximum"""

    missing_deg: float
    noise: float

    @property
    def name(self) -> str:
        return f"{self.missing_deg:g} degrees missing, {100 * self.noise:g}% noise"


@dataclasses.dataclass(frozen=True)
class Config:
    """cases: of the scans; rhos: that are tried; iterations: of the loop, the most
    weights, variation_iterations: of FISTA-TV beside it; each scan has the best weight at every iteration
    """

    twin: Twin = dataclasses.field(default_factory=lambda: Twin(seeds=tuple(range(7100, 7109))))
    cases: tuple[Case, ...] = (Case(96, 0.01), Case(60, 0.01), Case(96, 0.003), Case(96, 0.03))
    rhos: tuple[float, ...] = (0.005, 0.01, 0.02)
    iterations: int = 16
    weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    variation_iterations: int = 200

    def of_case(self, name: str) -> Case:
        return next(case for case in self.cases if case.name == name)


PRESETS = {
    "default": Config(),
    "tiny": Config(
        twin=Twin(size=32, seeds=(7000,)),
        cases=(Case(96, 0.01),),
        rhos=(0.005, 0.02),
        iterations=3,
        weights=(1e-3,),
        variation_iterations=5,
    ),
}
