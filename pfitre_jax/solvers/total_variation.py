"""Reconstruct one slice with total variation, by either solver, at a weight that the data may choose."""

from __future__ import annotations

import jax

from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import admm, tv_rho
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.loop import Solution
from pfitre_jax.solvers.parameters.noise import scan_noise
from pfitre_jax.solvers.parameters.tv_weight import automatic_weight
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.solve import as_float, check_number, solve


def fista_tv(
    A: Projector,
    sinogram,
    *,
    weight="auto",
    ratio=None,
    iterations: int = 300,
    nonnegative: bool = True,
    mask=None,
    support=None,
    x0=None,
    tolerance: float = 0.0,
    data_term=None,
    differentiate=None,
) -> Solution:
    """Reconstruct one slice by :class:`FISTATV`; the other arguments are those of :func:`solve`.

    weight: (), of TV; 1e-5 to 1e-2 are usual, more noise needs more; "auto" asks
        :func:`pfitre_jax.solvers.parameters.tv_weight.automatic_weight`
    ratio: (), weight of visible edges over invisible ones, see
        :class:`pfitre_jax.priors.directional_tv.DirectionalTV`; None for TV
    nonnegative: restrict to ``x >= 0``
    """
    weight = resolve_weight(weight, A, sinogram, mask, support)
    check_number("weight", weight, or_zero=True)
    if ratio is not None:
        check_number("ratio", ratio)
    return solve(
        FISTATV(weight, nonnegative, ratio=ratio),
        A,
        sinogram,
        iterations=iterations,
        mask=mask,
        support=support,
        x0=x0,
        tolerance=tolerance,
        data_term=data_term,
        differentiate=differentiate,
    )


def admm_tv(
    A: Projector, sinogram, *, weight="auto", rho=None, mask=None, support=None, **settings
) -> Solution:
    """:func:`admm` with the prior ``TV(weight)``: the problem that ``fista_tv`` solves.

    weight: (), or "auto" for :func:`pfitre_jax.solvers.parameters.tv_weight.automatic_weight`
    rho: default :func:`tv_rho` of the weight
    """
    weight = resolve_weight(weight, A, sinogram, mask, support)
    check_number("weight", weight, or_zero=True)
    rho = tv_rho(weight) if rho is None else rho
    return admm(A, sinogram, prior=TV(weight), rho=rho, mask=mask, support=support, **settings)


def resolve_weight(weight, A: Projector, sinogram, mask=None, support=None):
    """``weight``, or for "auto" the :func:`pfitre_jax.solvers.parameters.tv_weight.automatic_weight` of one slice, (views,
    columns)."""
    if not isinstance(weight, str):
        return weight
    if weight != "auto":
        raise ValueError(f"weight is {weight!r}; expected a number or 'auto'")
    return _one_slice(A, as_float(sinogram), mask, support)


@jax.jit
def _one_slice(A, sinogram, mask, support):
    problem = Problem.create(A, sinogram, mask, support)
    return automatic_weight(problem, scan_noise(problem, problem.sinogram[None]))
