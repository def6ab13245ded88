"""Comparison of solvers, priors and data terms on the same simulated scans, each at its best setting.

Command:  python -m experiments.solver_variants [--preset tiny|default]
Runtime:  about 30 minutes on 2 cores, resumes (tiny: 1 minute).
Expected: total variation is the best classical method. Of the loops with the learned prior, half-quadratic
          splitting, on whose iterates the prior was trained, is best, and slightly better with Anderson
          acceleration.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from experiments.common.simulated_scans import CircuitScans
from pfitre_jax import contrib, priors, solvers
from pfitre_jax.baselines.published import PublishedADMM

TV_WEIGHTS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
RHOS = (0.005, 0.02)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Solver and the settings to choose from.

    Attributes:
        kind: "classical", "learned" or "data term"; sets the colour in the figure.
        build: ``build(prior, **setting)`` returns the solver; ``prior`` is the learned one.
        iterations: Number of iterations.
        candidates: Values by name of a setting; every combination is tried.
    """

    kind: str
    build: Callable[..., Any]
    iterations: int
    candidates: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def settings(self) -> list[dict[str, float]]:
        """All combinations of the candidate values."""
        names = [name for name, _ in self.candidates]
        combinations = itertools.product(*(values for _, values in self.candidates))
        return [dict(zip(names, values, strict=True)) for values in combinations]


def _weights(*values: float):
    return (("weight", values),)


_TV = _weights(*TV_WEIGHTS)
_RHO = (("rho", RHOS),)


def _hqs(prior, rho):
    # Mean over the mirror images in every iteration, as in the other loops with the prior.
    return solvers.HQS(prior, rho, stationary=True)


VARIANTS = {
    "SIRT": Variant("classical", lambda p: solvers.SIRT(), 200),
    "CGLS": Variant("classical", lambda p: solvers.CGLS(), 10),
    "FISTA, TV": Variant("classical", lambda p, weight: solvers.FISTATV(weight), 200, _TV),
    "FISTA, directional TV": Variant(
        "classical", lambda p, weight: solvers.FISTATV(weight, ratio=1.5), 200, _TV
    ),
    "ADMM, TV": Variant(
        "classical", lambda p, weight: solvers.ADMM(priors.TV(weight), 20 * weight), 50, _TV
    ),
    "ADMM, wavelets": Variant(
        "classical", lambda p, weight: solvers.ADMM(contrib.Wavelet(weight, shifts=2), 20 * weight), 50, _TV
    ),
    "FISTA, TV, Huber": Variant(
        "data term", lambda p, weight: solvers.Reweighted(solvers.FISTATV(weight), solvers.Huber()), 200, _TV
    ),
    "FISTA, TV, Student's t": Variant(
        "data term",
        lambda p, weight: solvers.Reweighted(solvers.FISTATV(weight), solvers.StudentT()),
        200,
        _TV,
    ),
    "HQS": Variant("learned", _hqs, 8, _RHO),
    "HQS, 4 iterations": Variant("learned", _hqs, 4, _RHO),
    "HQS, Huber": Variant(
        "data term", lambda p, rho: solvers.Reweighted(_hqs(p, rho), solvers.Huber()), 8, _RHO
    ),
    "HQS, Anderson acceleration": Variant(
        "learned", lambda p, rho: contrib.Anderson(_hqs(p, rho)), 15, _RHO
    ),
    "ADMM": Variant("learned", lambda p, rho: solvers.ADMM(p, rho), 8, _RHO),
    "published loop": Variant(
        "learned", lambda p, rho: PublishedADMM(p, rho), 10, (("rho", (5.0, 25.0)),)
    ),
    "PnP-ISTA": Variant(
        "learned",
        lambda p, rho: contrib.ProximalGradient(p, rho, accelerated=False),
        10,
        (("rho", (0.02, 0.1)),),
    ),
    "PnP-FISTA": Variant(
        "learned", lambda p, rho: contrib.ProximalGradient(p, rho), 5, (("rho", (0.02, 0.1)),)
    ),
    "RED": Variant(
        "learned", lambda p, weight: contrib.RED(p, 0.01, weight), 40, _weights(0.03, 0.1, 0.3)
    ),
    "RED-PRO": Variant(
        "learned",
        lambda p, relaxation: contrib.REDPRO(p, 0.01, relaxation=relaxation),
        40,
        (("relaxation", (0.1, 0.2)),),
    ),
    "gradient-step denoiser": Variant(
        "learned", lambda p, rho: contrib.GradientStepPnP(contrib.GradientStep(p), rho, rho), 10, _RHO
    ),
    "null-space network": Variant(
        "learned", lambda p, damping: contrib.NullSpace(p, 0.005, damping), 4, (("damping", (0.005, 0.02)),)
    ),
    "initial estimate only": Variant("classical", lambda p: solvers.ADMM(
        priors.TV(4e-4, iterations=10), 0.005, cg_iterations=3, start_iterations=8), 10),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """Configuration of the experiment.

    Attributes:
        variants: Names of :data:`VARIANTS`.
        twin: Simulated scans.
        missing_deg: Missing wedge.
        noise: Sigma over the maximum of the sinogram.
        max_iterations: Upper limit for the iterations of every variant.
        shown: Index of the scene in the figure.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    twin: CircuitScans = dataclasses.field(
        default_factory=lambda: CircuitScans(seeds=tuple(range(7000, 7008)))
    )
    missing_deg: float = 96.0
    noise: float = 0.01
    max_iterations: int = 200
    shown: int = 0


PRESETS = {
    "default": Config(),
    "tiny": Config(
        variants=("CGLS", "FISTA, TV", "HQS"), twin=CircuitScans(size=32, seeds=(7000,)), max_iterations=3
    ),
}
