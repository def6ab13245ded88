"""Iterative reconstruction of one slice; batches of slices come from ``jax.vmap``."""

from pfitre_jax.solvers.admm import ADMM, admm, admm_tv
from pfitre_jax.solvers.cgls import CGLS, cgls
from pfitre_jax.solvers.fista import FISTATV, fista_tv
from pfitre_jax.solvers.gradient_step import GradientStepPnP, gradient_step
from pfitre_jax.solvers.hqs import HQS, hqs
from pfitre_jax.solvers.null_space import NullSpace, null_space
from pfitre_jax.solvers.original import Original, pfitre_original
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.proximal_gradient import ProximalGradient, pnp_fista, pnp_ista
from pfitre_jax.solvers.red import RED, REDPRO, red, red_pro
from pfitre_jax.solvers.sirt import SIRT, sirt
from pfitre_jax.solvers.solve import solve
from pfitre_jax.solvers.unrolled import Unrolled
from pfitre_jax.solvers.weight import automatic_weight

__all__ = [
    "ADMM",
    "CGLS",
    "FISTATV",
    "HQS",
    "RED",
    "REDPRO",
    "SIRT",
    "GradientStepPnP",
    "NullSpace",
    "Original",
    "Problem",
    "ProximalGradient",
    "Unrolled",
    "admm",
    "admm_tv",
    "automatic_weight",
    "cgls",
    "fista_tv",
    "gradient_step",
    "hqs",
    "null_space",
    "pfitre_original",
    "pnp_fista",
    "pnp_ista",
    "red",
    "red_pro",
    "sirt",
    "solve",
]
