"""ADMM with total variation on one slice, at a weight computed from the noise."""

from __future__ import annotations

from typing import Any, Unpack

from jaxtyping import Array, Float

from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import admm, tv_rho
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.tv_weight import resolve_tv_weight
from pfitre_jax.solvers.solve import SolveOptions, check_number, with_options


@with_options(SolveOptions)
def admm_tv(
    A: Projector,
    sinogram: Float[Array, "views columns"],
    *,
    weight: Any = "auto",
    rho: Any = None,
    iterations: int = 50,
    cg_iterations: int = 5,
    **options: Unpack[SolveOptions],
) -> Solution:
    """Reconstructs one slice by :class:`pfitre_jax.solvers.ADMM` with total variation.

    It solves the same problem as ``fista_tv``.

    Args:
        A: Projector.
        sinogram: (views, columns), line integrals of an image with values of about [0, 1].
        weight: (), TV weight. "auto": computed from the estimated noise, see
            :func:`pfitre_jax.solvers.tv_weight_from_noise`. (``pfitre recon`` selects it by held-out views of
            several rows, see :func:`pfitre_jax.estimation.select_tv_weight`.)
        rho: (), relative to ``||A||^2 = 1``; sets the speed, not the solution. None:
            :func:`pfitre_jax.solvers.admm.tv_rho`.
        iterations: Largest number of steps.
        cg_iterations: Conjugate gradient iterations in each data step.
        **options: See :class:`pfitre_jax.solvers.solve.SolveOptions`.
    """
    weight = resolve_tv_weight(weight, A, sinogram, options.get("mask"), options.get("support"))
    check_number("weight", weight, or_zero=True)
    rho = tv_rho(weight) if rho is None else rho
    return admm(
        A,
        sinogram,
        prior=TV(weight),
        rho=rho,
        iterations=iterations,
        cg_iterations=cg_iterations,
        **options,
    )
