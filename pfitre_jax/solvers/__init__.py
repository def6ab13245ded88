"""Iterative reconstruction of one slice; batches of slices come from ``jax.vmap``."""

from pfitre_jax.solvers.admm import ADMM, admm, admm_tv
from pfitre_jax.solvers.anderson import Anderson, equilibrium
from pfitre_jax.solvers.cgls import CGLS, cgls
from pfitre_jax.solvers.data_terms import Gaussian, Huber, Poisson, StudentT
from pfitre_jax.solvers.fista import FISTATV, fista_tv
from pfitre_jax.solvers.hqs import HQS, hqs
from pfitre_jax.solvers.original import Original, pfitre_original
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.reweighted import Reweighted
from pfitre_jax.solvers.sirt import SIRT, sirt
from pfitre_jax.solvers.solve import solve
from pfitre_jax.solvers.weight import automatic_weight

__all__ = [
    "ADMM",
    "CGLS",
    "FISTATV",
    "HQS",
    "SIRT",
    "Anderson",
    "Gaussian",
    "Huber",
    "Original",
    "Poisson",
    "Problem",
    "Reweighted",
    "StudentT",
    "admm",
    "admm_tv",
    "automatic_weight",
    "cgls",
    "equilibrium",
    "fista_tv",
    "hqs",
    "pfitre_original",
    "sirt",
    "solve",
]
