"""Prior strength and number of iterations of ``pfitre``, and quality by time.

Command:  python -m experiments.loop_settings [--preset tiny|default] [--prior NAME --out DIR]
Runtime:  about 10 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: ten iterations give most of the gain, and more iterations add a little. The best rho grows with the
          noise, and the automatic rho is close to it.

This tests the defaults of ``pfitre recon`` on held-out circuits, with other seeds than those of ``pfitre
evaluate`` and of the other experiments.
"""

from __future__ import annotations

import dataclasses

from experiments.common.simulated_scans import CircuitScans


@dataclasses.dataclass(frozen=True)
class Case:
    """Condition of the scans.

    Attributes:
        missing_deg: Width of the missing wedge.
        noise: Sigma over the maximum of the sinogram.
    """

    missing_deg: float
    noise: float

    @property
    def name(self) -> str:
        """Label in tables and figures."""
        return f"{self.missing_deg:g} degrees missing, {100 * self.noise:g}% noise"


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        twin: Simulated scans.
        cases: Conditions of the scans.
        rhos: Prior strengths to compare.
        iterations: Number of iterations of the loop.
        weights: TV weights of FISTA-TV; each scan uses the best one at every iteration.
        fista_iterations: Number of iterations of FISTA-TV.
    """

    twin: CircuitScans = dataclasses.field(
        default_factory=lambda: CircuitScans(seeds=tuple(range(7100, 7109)))
    )
    cases: tuple[Case, ...] = (Case(96, 0.01), Case(60, 0.01), Case(96, 0.003), Case(96, 0.03))
    rhos: tuple[float, ...] = (0.005, 0.01, 0.02)
    iterations: int = 16
    weights: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)
    fista_iterations: int = 200

    def case(self, name: str) -> Case:
        """Case of a given name."""
        return next(case for case in self.cases if case.name == name)


PRESETS = {
    "default": Config(),
    "tiny": Config(
        twin=CircuitScans(size=32, seeds=(7000,)),
        cases=(Case(96, 0.01),),
        rhos=(0.005, 0.02),
        iterations=3,
        weights=(1e-3,),
        fista_iterations=5,
    ),
}
