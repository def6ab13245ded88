"""Quality and prediction of held-out views along the iterations of the loop, for several last data steps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pfitre_jax as pf
from pfitre_jax.estimation import MAX_ITERATIONS, HeldOutRows, interleaved_folds, relative_error
from pfitre_jax.solvers import HQS, SliceProblem, learned_loop

#: Factors of ``rho`` in the last data step; the last one returns the proposal of the prior.
FACTORS = (1.0, 10.0, 100.0, 1e4)
#: Iterations between the points of a curve.
STEP = 4
#: Every fifth view in angular order is the third set of held-out views.
EVERY = 5


@dataclasses.dataclass(frozen=True)
class Curves:
    """After every :data:`STEP` iterations and for each of :data:`FACTORS`.

    Attributes:
        psnr: (iterations, factors), dB.
        ends: (iterations, factors), relative prediction error of the views at the ends of the range.
        between: (iterations, factors), that of every fifth view.
        residual: (iterations, factors), relative residual.
    """

    psnr: Float[np.ndarray, "iterations factors"]
    ends: Float[np.ndarray, "iterations factors"]
    between: Float[np.ndarray, "iterations factors"]
    residual: Float[np.ndarray, "iterations factors"]

    def record(self) -> dict[str, list]:
        """The values as lists."""
        return {
            field.name: np.round(getattr(self, field.name), 6).tolist() for field in dataclasses.fields(self)
        }


def curves(
    scan: pf.Scan,
    problem: SliceProblem,
    prior: Any,
    rho: float,
    scale: float,
    truth: Float[np.ndarray, "n n"],
    support: Float[np.ndarray, "n n"],
) -> Curves:
    """The curves of one row.

    Args:
        scan: Scan of one row.
        problem: Its problem; the image has the size of the detector.
        prior: The prior.
        rho: Its strength.
        scale: Value by which the sinogram is divided.
        truth: (n, n), the true image.
        support: (n, n), the pixels that enter the PSNR.
    """
    rows = HeldOutRows.of(scan, scale)
    held_out = np.concatenate([rows.held_out, interleaved_folds(scan.theta_rad, EVERY, 1)])
    loop = learned_loop(prior, np.float32(rho))
    quality, residual, squares = _curves(
        loop,
        problem,
        jnp.asarray(rows.sinograms),
        jnp.asarray(rows.masks),
        jnp.asarray(held_out),
        jnp.asarray(truth / scale),
        jnp.asarray(support, jnp.float32),
        np.float32(scale),
    )
    # Axes of the squares: folds, iterations, factors.
    ends, between = np.moveaxis(squares[:2], 0, -1), np.moveaxis(squares[2:], 0, -1)
    error = lambda part, held: np.asarray(  # noqa: E731
        relative_error(jnp.asarray(part)[..., None], rows.sinograms, rows.masks, held)
    )
    return Curves(
        np.asarray(quality), error(ends, held_out[:2]), error(between, held_out[2:]), np.asarray(residual)
    )


@jax.jit
def _curves(
    loop: pf.interfaces.Solver,
    problem: SliceProblem,
    sinograms: Array,
    masks: Array,
    held_out: Array,
    truth: Array,
    support: Array,
    scale: Array,
) -> tuple[Array, Array, Array]:
    blank = jnp.zeros(problem.A.shape)
    row = problem.with_sinogram(sinograms[0], masks[0])

    def finished(part: SliceProblem, iterate: Any, state: Any) -> Array:
        return jnp.stack([_with_factor(loop, factor).finish(part, iterate, state) for factor in FACTORS])

    def quality(iterate: Any, state: Any) -> tuple[Array, Array]:
        images = finished(row, iterate, state)
        score = functools.partial(pf.metrics.psnr, support=support)
        return (
            jax.vmap(lambda image: score(scale * image, scale * truth))(images),
            jax.vmap(row.residual_norm)(images),
        )

    def squares(views: Array) -> Array:
        training = problem.with_sinogram(sinograms[0], (1 - views)[:, None] * masks[0])
        predicted = problem.with_sinogram(sinograms[0], views[:, None] * masks[0])

        def error(iterate: Any, state: Any) -> Array:
            images = finished(training, iterate, state)
            return jax.vmap(lambda image: jnp.sum(predicted.residual(image) ** 2))(images)

        return _kept(loop, training, blank, error)

    scores, residual = _kept(loop, row, blank, quality)
    return scores, residual, jax.vmap(squares)(held_out)


def _with_factor(loop: pf.interfaces.Solver, factor: float) -> pf.interfaces.Solver:
    """The loop of the finest level with another factor in its last data step."""
    inner = loop if isinstance(loop, HQS) else loop.solver
    return dataclasses.replace(inner, final_rho_factor=factor)


def _kept(loop: pf.interfaces.Solver, problem: SliceProblem, blank: Array, keep: Any) -> Any:
    """``keep(iterate, state)`` after every :data:`STEP` iterations."""

    def step(point: Any, _: None) -> tuple[Any, None]:
        return loop.step(problem, *point), None

    def block(point: Any, _: None) -> tuple[Any, Any]:
        point, _ = jax.lax.scan(step, point, length=STEP)
        return point, keep(*point)

    return jax.lax.scan(block, loop.init(problem, blank), length=MAX_ITERATIONS // STEP)[1]
