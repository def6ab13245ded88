"""Iterative reconstruction of one slice; batches of slices come from ``jax.vmap``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pfitre_jax.solvers.admm import ADMM, admm
from pfitre_jax.solvers.anderson import Anderson, equilibrium
from pfitre_jax.solvers.cgls import CGLS, cgls
from pfitre_jax.solvers.data_terms import Gaussian, Huber, Poisson, StudentT, WholeViews
from pfitre_jax.solvers.detector import Calibrated
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.gradient_step import GradientStepPnP, gradient_step
from pfitre_jax.solvers.hqs import HQS, hqs
from pfitre_jax.solvers.noise import scan_noise
from pfitre_jax.solvers.null_space import NullSpace, null_space
from pfitre_jax.solvers.original import Original, pfitre_original
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.proximal_gradient import ProximalGradient, pnp_fista, pnp_ista
from pfitre_jax.solvers.red import RED, REDPRO, red, red_pro
from pfitre_jax.solvers.reweighted import Reweighted
from pfitre_jax.solvers.sirt import SIRT, sirt
from pfitre_jax.solvers.solve import solve
from pfitre_jax.solvers.unrolled import Unrolled
from pfitre_jax.solvers.variation import admm_tv, fista_tv
from pfitre_jax.solvers.weight import automatic_weight, learned_rho

if TYPE_CHECKING:
    from pfitre_jax.solvers.primal_dual import LearnedPrimalDual as LearnedPrimalDual
    from pfitre_jax.solvers.primal_dual import learned_primal_dual as learned_primal_dual

# Flax is slow to import, and only this method needs it.
_LEARNED = ("LearnedPrimalDual", "learned_primal_dual")

__all__ = [
    *_LEARNED,
    "ADMM",
    "CGLS",
    "FISTATV",
    "HQS",
    "RED",
    "REDPRO",
    "SIRT",
    "Calibrated",
    "GradientStepPnP",
    "NullSpace",
    "Anderson",
    "Gaussian",
    "Huber",
    "Original",
    "Poisson",
    "Problem",
    "ProximalGradient",
    "Unrolled",
    "Reweighted",
    "StudentT",
    "WholeViews",
    "admm",
    "admm_tv",
    "automatic_weight",
    "cgls",
    "equilibrium",
    "fista_tv",
    "gradient_step",
    "hqs",
    "learned_rho",
    "null_space",
    "pfitre_original",
    "pnp_fista",
    "pnp_ista",
    "red",
    "red_pro",
    "scan_noise",
    "sirt",
    "solve",
]


def __getattr__(name: str):
    if name in _LEARNED:
        return getattr(importlib.import_module(f"{__name__}.primal_dual"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
