"""Every solver, prior and data term on the same simulated scans, each at its best setting.

command: python -m experiments.solver_variants [--preset tiny|default]
runtime: about 30 minutes on 2 cores, resumes (tiny: a minute)
expected: total variation is the classical method to beat; of the loops around the learned prior,
    half-quadratic splitting, on whose iterates it was trained, is best, and accelerated a little better still
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

from experiments.simulated_scans import Twin
from pfitre_jax import contrib, priors, solvers
from pfitre_jax.baselines import published
from pfitre_jax.contrib.gradient_step_prior import GradientStep
from pfitre_jax.solvers.initial_estimate import FIRST

TV_WEIGHTS = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
RHOS = (0.005, 0.02)


@dataclasses.dataclass(frozen=True)
class Variant:
    """A solver and what is tried for it.

    kind: "classical", "learned" or "data term", for the picture
    build: ``build(prior, **setting)`` -> the solver; prior: the learned one
    iterations: of the loop; tried: values by setting, every combination of them
    """

    kind: str
    build: Callable[..., Any]
    iterations: int
    tried: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def settings(self) -> list[dict[str, float]]:
        names = [name for name, _ in self.tried]
        return [
            dict(zip(names, values, strict=True)) for values in itertools.product(*(v for _, v in self.tried))
        ]


def _weights(*values: float):
    return (("weight", values),)


_TV = _weights(*TV_WEIGHTS)
_RHO = (("rho", RHOS),)

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
    "splitting (HQS)": Variant("learned", lambda p, rho: solvers.HQS(p, rho), 8, _RHO),
    "splitting (HQS), 4 iterations": Variant("learned", lambda p, rho: solvers.HQS(p, rho), 4, _RHO),
    "splitting (HQS), Huber": Variant(
        "data term", lambda p, rho: solvers.Reweighted(solvers.HQS(p, rho), solvers.Huber()), 8, _RHO
    ),
    "equilibrium (Anderson)": Variant(
        "learned", lambda p, rho: contrib.Anderson(solvers.HQS(p, rho)), 15, _RHO
    ),
    "ADMM": Variant("learned", lambda p, rho: solvers.ADMM(p, rho), 8, _RHO),
    "published loop": Variant(
        "learned", lambda p, rho: published.Original(p, rho), 10, (("rho", (5.0, 25.0)),)
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
    "gradient step": Variant(
        "learned", lambda p, rho: contrib.GradientStepPnP(GradientStep(p), rho, rho), 10, _RHO
    ),
    "null space": Variant(
        "learned", lambda p, damping: contrib.NullSpace(p, 0.005, damping), 4, (("damping", (0.005, 0.02)),)
    ),
    "first reconstruction alone": Variant("classical", lambda p: FIRST, 10),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """variants: names of :data:`VARIANTS`; most: of their iterations

    missing_deg, noise: of the scans, sigma over the sinogram's maximum
    shown: index of the scene in the picture
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    twin: Twin = dataclasses.field(default_factory=lambda: Twin(seeds=tuple(range(7000, 7008))))
    missing_deg: float = 96.0
    noise: float = 0.01
    most: int = 200
    shown: int = 0


PRESETS = {
    "default": Config(),
    "tiny": Config(
        variants=("CGLS", "FISTA, TV", "splitting (HQS)"), twin=Twin(size=32, seeds=(7000,)), most=3
    ),
}
