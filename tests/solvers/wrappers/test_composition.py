"""Wrappers of solvers around each other: what one changes must not hide from the other."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_scan import N, Smooth, problem

from pfitre_jax.contrib.anderson import Anderson
from pfitre_jax.solvers.data_terms import Huber
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Status, run
from pfitre_jax.solvers.wrappers.reweighted import Reweighted
from pfitre_jax.solvers.wrappers.self_calibration import SelfCalibration

ITERATIONS = 8
HQS_SOLVER = HQS(Smooth(0.95), 0.02)


def calibrated(solver, first_steps=0):
    return SelfCalibration(solver, stripes=True, gains=True, first_steps=first_steps)


def reweighted(solver, first_steps=0):
    return Reweighted(solver, Huber("auto"), first_steps)


SOLVERS = {
    "reweighted of calibrated": reweighted(calibrated(HQS_SOLVER)),
    "calibrated of reweighted": calibrated(reweighted(HQS_SOLVER)),
    "calibrated of reweighted fista": calibrated(reweighted(FISTATV(1e-3))),
    "accelerated reweighted": Anderson(reweighted(HQS_SOLVER), 2),
    "accelerated calibrated": Anderson(calibrated(HQS_SOLVER), 2),
}


def damaged():
    """The small scan with a stripe and a bright view."""
    p = problem()
    return dataclasses.replace(p, sinogram=(p.sinogram.at[:, 9].add(1.5)).at[4].multiply(1.2))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_residual_refers_to_the_measured_data(name):
    p, keep = damaged(), lambda iterate, state: iterate
    solve = lambda p: run(  # noqa: E731
        SOLVERS[name], p, jnp.zeros((N, N)), iterations=ITERATIONS, differentiate="unroll", keep=keep
    )
    done = jax.jit(solve)(p)
    assert done.status == Status.ITERATIONS and np.all(np.isfinite(done.value))
    iterates = done.stats["kept"]
    np.testing.assert_allclose(
        iterates.residual, jax.vmap(p.residual)(iterates.x), atol=1e-4 * float(jnp.abs(p.sinogram).max())
    )
    norms = [float(p.residual_norm(x)) for x in (*iterates.x[:-1], done.value)]
    np.testing.assert_allclose(done.stats["residual"], norms, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in SOLVERS if "accelerated" not in name])
def test_both_corrections_are_applied(name):
    """The result is nearer to that of the undamaged data than what either wrapper alone gives."""
    solve = jax.jit(lambda s, p: run(s, p, jnp.zeros((N, N)), iterations=20).value)
    inner = FISTATV(1e-3) if "fista" in name else HQS_SOLVER
    best = solve(inner, problem())
    error = lambda solver: float(jnp.linalg.norm(solve(solver, damaged()) - best))  # noqa: E731
    assert error(SOLVERS[name]) < 0.9 * error(inner)


@pytest.mark.parametrize(
    "wrap", [lambda s: reweighted(calibrated(s, 6), 3), lambda s: calibrated(reweighted(s, 3), 6)]
)
def test_no_stop_before_both_are_active(wrap):
    solve = lambda p: run(wrap(HQS_SOLVER), p, jnp.zeros((N, N)), iterations=20, tolerance=0.9)  # noqa: E731
    done = jax.jit(solve)(damaged())
    assert done.status == Status.CONVERGED and done.stats["iterations"] == 7


@pytest.mark.parametrize("wrap", [lambda s: reweighted(calibrated(s)), lambda s: calibrated(reweighted(s))])
def test_finish_and_proposal_are_delegated_to_the_inner_solver(wrap):
    solver = wrap(HQS_SOLVER)
    point = jax.jit(lambda p: solver.step(p, *solver.init(p, jnp.zeros((N, N)))))(damaged())
    np.testing.assert_array_equal(solver.proposal(*point), point[1].inner.inner.z)
    finished = jax.jit(solver.finish)(damaged(), *point)
    assert np.abs(np.asarray(finished - point[0].x)).max() > 1e-3
