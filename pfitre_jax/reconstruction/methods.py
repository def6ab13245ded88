"""Registry of the reconstruction methods: their solvers and default settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from pfitre_jax.baselines.published.loop import PublishedADMM
from pfitre_jax.interfaces import Solver
from pfitre_jax.priors.default import DEFAULT_PRIOR
from pfitre_jax.priors.directional_tv import RATIO
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.cgls import CGLS
from pfitre_jax.solvers.fbp import FBP
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import learned_loop
from pfitre_jax.solvers.sirt import SIRT


@dataclasses.dataclass(frozen=True)
class Method:
    """A reconstruction method.

    Attributes:
        summary: What it does, in one line.
        build: ``build(**settings) -> Solver``, from all settings in ``defaults`` but the iterations.
        defaults: Every setting that it takes (iterations, weight, rho, prior) with its default; "auto" is
            derived from the scan.
        tolerance: Relative change of the image at which it has converged; 0 for all iterations.
        joint: Whether rows can be solved together, because its prior couples them.
        joint_defaults: Defaults that differ for a joint reconstruction.
        data_model: Whether it takes a :class:`DataModel`, for which data change between its steps.
        first_steps: Number of steps before robust weights and detector errors are estimated.
        initial_estimate: Whether it computes an initial estimate (TV warm start), which
            ``build(..., initial_iterations=0)`` skips; ``first_steps`` can then be 0.
        automatic_iterations: Whether held-out views choose the number of iterations if it is not set, see
            :func:`pfitre_jax.estimation.iteration_selection.select_iterations`. The default is for scans of
            too few views and for joint reconstructions.
        fits_data: Whether it fits the data down to the noise, so that patterns in its residual are faults of
            the scan.
        nonnegative: Whether it returns no negative values, because the sample has none.
    """

    summary: str
    build: Callable[..., Solver]
    defaults: dict[str, Any]
    tolerance: float = 0.0
    joint: bool = False
    joint_defaults: dict[str, Any] = dataclasses.field(default_factory=dict)
    data_model: bool = True
    first_steps: int = 0
    initial_estimate: bool = False
    automatic_iterations: bool = False
    fits_data: bool = True
    nonnegative: bool = True


METHODS: dict[str, Method] = {
    "fbp": Method("filtered backprojection", FBP, {}, data_model=False, fits_data=False, nonnegative=False),
    "sirt": Method("non-negative SIRT", SIRT, {"iterations": 200}, first_steps=30, fits_data=False),
    "cgls": Method(
        "conjugate gradients, stopped early",
        CGLS,
        {"iterations": 20},
        data_model=False,
        fits_data=False,
        nonnegative=False,
    ),
    "fista-tv": Method(
        "non-negative, total variation, FISTA",
        lambda weight: FISTATV(weight),
        {"iterations": 300, "weight": "auto"},
        tolerance=2e-4,
        joint=True,
        first_steps=30,
    ),
    "fista-dtv": Method(
        f"directional TV: FISTA-TV with {RATIO:g} times the weight on gradients that the views measure",
        lambda weight: FISTATV(weight, ratio=RATIO),
        {"iterations": 300, "weight": "auto"},
        tolerance=2e-4,
        joint=True,
        first_steps=30,
    ),
    "admm-tv": Method(
        "non-negative, total variation, ADMM",
        lambda weight, rho: ADMM(TV(weight), rho),
        {"iterations": 50, "weight": "auto", "rho": "auto"},
        joint=True,
        first_steps=5,
    ),
    "pfitre": Method(
        "half-quadratic splitting with a learned prior",
        learned_loop,
        {"iterations": 10, "rho": "auto", "prior": DEFAULT_PRIOR},
        joint=True,
        joint_defaults={"prior": "volume"},
        initial_estimate=True,
        automatic_iterations=True,
    ),
    "pfitre-original": Method(
        "the published ADMM loop, rho not relative to ||A||^2",
        lambda prior, rho: PublishedADMM(prior, rho),
        {"iterations": 10, "rho": 10.0, "prior": DEFAULT_PRIOR},
        first_steps=2,
        fits_data=False,
    ),
}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: There is no such method; the message lists the names.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    return METHODS[name]


def automatic_settings(method: str) -> list[str]:
    """The settings of ``method`` that are "auto" by default."""
    return [name for name, value in find_method(method).defaults.items() if value == "auto"]
