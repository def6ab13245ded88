"""Prediction of held-out views from a reconstruction of the other views, which selects settings of a scan.

The noise of different views is independent. The prediction error is therefore smallest for the image closest
to the sample, also where the noise within a view is correlated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from pfitre_jax.geometry import Wedge
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM, TV_RHO_WEIGHT, ADMMState
from pfitre_jax.solvers.parameters.noise import noise_from_differences
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Share of the views in each of the folds at the ends of the angular range.
END_SHARE = 0.1
#: Fewest views of a scan from which such a fold is left out.
MIN_VIEWS = 10
#: Iterations of ADMM at each TV weight, each from the image at the weight before.
ITERATIONS = 8
#: Conjugate gradient iterations in the first and in each other iteration, and iterations of the prox.
START_ITERATIONS, CG_ITERATIONS, PROX_ITERATIONS = 12, 3, 20
#: Least share of the power of a row that counts as signal, so that a scan of noise has an error, too.
SMALLEST_SHARE = 1e-4
#: ``rho`` of ADMM over the TV weight. Short solves get closer to the minimum than with 20, which many
#: iterations need.
RHO_PER_WEIGHT = 5.0


def interleaved_folds(
    theta_rad: ArrayLike, every: int, folds: int | None = None
) -> Float[np.ndarray, "folds views"]:
    """Folds of evenly spread views: every ``every``-th view in angular order is held out.

    Args:
        theta_rad: (views,), radians, in any order.
        every: Spacing of the held-out views.
        folds: Number of folds, evenly spread over the ``every`` possible ones. None: all of them.

    Returns:
        (folds, views), 1 for a held-out view.
    """
    folds = every if folds is None else folds
    offsets = (np.arange(folds) + 0.5) * every // folds
    return (_angular_rank(theta_rad) % every == offsets[:, None]).astype(np.float32)


def end_folds(theta_rad: ArrayLike, count: int | None = None) -> Float[np.ndarray, "2 views"]:
    """Two folds: the ``count`` views at one end of the angular range, and those at the other end.

    Their prediction is an extrapolation into a wider wedge.

    Args:
        theta_rad: (views,), radians, in any order.
        count: Number of views of a fold; by default :data:`END_SHARE` of all, at least one.

    Returns:
        (2, views), 1 for a held-out view.
    """
    rank = _angular_rank(theta_rad)
    count = max(round(END_SHARE * rank.size), 1) if count is None else count
    return np.stack([rank < count, rank >= rank.size - count]).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("iterations", "without_stripes"))
def held_out_squares(
    problem: SliceProblem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    held_out: Float[Array, "folds views"],
    weights: Float[Array, " weights"],
    *,
    iterations: int = ITERATIONS,
    without_stripes: bool = False,
) -> Float[Array, "weights folds slices"]:
    """``||H M (A x - y)||^2`` of the held-out views ``H``, ``x`` the TV image from the other views.

    Pure: all arrays, the support of ``problem`` too, may be traced.

    Args:
        problem: Geometry and support; its sinogram and mask are ignored.
        sinograms: (slices, views, columns), divided by the scale of the scan.
        masks: (slices, views, columns), 1 for a valid bin.
        held_out: (folds, views), 1 for a view that is predicted, 0 for one that the image is computed from.
        weights: (weights,), TV weights relative to ``||A||^2 = 1`` of all views, from large to small, see
            :func:`tv_path`.
        iterations: Iterations of ADMM at each weight.
        without_stripes: Whether the mean error of each column over the held-out views is subtracted. Errors
            of the detector's columns are alike in all views, so that an image with their rings predicts them.

    Returns:
        (weights, folds, slices). Over :func:`held_out_power` it is the squared relative error.
    """

    def path(sinogram, mask, held):
        training = problem.with_sinogram(sinogram, mask * (1 - held)[:, None])
        predicted = problem.with_sinogram(sinogram, mask * held[:, None])

        def square(x):
            error = predicted.residual(x)
            if without_stripes:
                valid = jnp.sum(predicted.mask, axis=0, keepdims=True)
                error -= predicted.mask * jnp.sum(error, axis=0, keepdims=True) / jnp.maximum(valid, 1)
            return jnp.sum(error**2)

        return tv_path(training, weights, square, iterations=iterations)

    # The projector is fastest with many slices on one batch axis.
    folds, slices = held_out.shape[0], sinograms.shape[0]
    held = jnp.repeat(jnp.asarray(held_out, sinograms.dtype), slices, axis=0)
    squares = jax.vmap(path)(jnp.tile(sinograms, (folds, 1, 1)), jnp.tile(masks, (folds, 1, 1)), held)
    return squares.reshape(folds, slices, -1).transpose(2, 0, 1)


def held_out_power(
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    held_out: Float[Array, "folds views"],
) -> Float[Array, "folds slices"]:
    """``||H M y||^2`` of each fold and slice, the squares of an image of zeros."""
    return jnp.einsum("svc,fv->fs", masks * sinograms**2, jnp.asarray(held_out, sinograms.dtype))


def relative_error(
    squares: Float[Array, "*settings folds slices"],
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
    held_out: Float[Array, "folds views"],
) -> Float[Array, "*settings"]:
    """Prediction error of each setting, in which strong and weak rows count alike.

    ``sqrt(sum_s w_s e_s / sum_s w_s)`` over the rows ``s``, with ``e_s = ||H M (A x - y)||^2 / ||H M y||^2``
    of all folds and ``w_s`` the share of the power ``||H M y||^2`` that is not noise: rows without signal
    do not count.

    Args:
        squares: (..., folds, slices), ``||H M (A x - y)||^2``, see :func:`held_out_squares`.
        sinograms: (slices, views, columns), line integrals.
        masks: (slices, views, columns), 1 for a valid bin.
        held_out: (folds, views), 1 for a held-out view.
    """
    tiny = jnp.finfo(sinograms.dtype).tiny
    power = jnp.sum(held_out_power(sinograms, masks, held_out), axis=0)
    noise = jax.vmap(lambda y, m: noise_from_differences(y[None], m[None]))(sinograms, masks)
    bins = jnp.einsum("svc,fv->s", masks, jnp.asarray(held_out, masks.dtype))
    # The power of n values of noise is below this in nearly all rows.
    most = noise**2 * (bins + 3 * jnp.sqrt(2 * bins))
    share = jnp.clip(1 - most / jnp.maximum(power, tiny), SMALLEST_SHARE, 1)
    share = jnp.where(power > tiny, share, 0)
    weights = share / jnp.maximum(power, tiny) / jnp.maximum(jnp.sum(share), SMALLEST_SHARE)
    return jnp.sqrt(jnp.einsum("...fs,s->...", squares, weights))


def tv_path(
    problem: SliceProblem,
    weights: Float[Array, " weights"],
    measure: Callable[[Array], Any],
    *,
    iterations: int = ITERATIONS,
) -> Any:
    """``measure(x)`` of the TV images ``x (ny, nx)`` of one slice at several weights, on a leading axis.

    Each image is a short ADMM solve that starts from the image at the weight before, which works from large
    weights, whose images are simple, to small ones.

    Args:
        problem: The data term.
        weights: (weights,), TV weights, from large to small.
        measure: Function of an image.
        iterations: Iterations of ADMM at each weight.
    """

    def solve(carry, weight):
        (iterate, state), rho_before = carry
        solver = _solver(weight)
        # The scaled dual variable is the dual variable over rho.
        point = iterate, ADMMState(state.z, state.dual * (rho_before / solver.rho))
        point, _ = jax.lax.scan(lambda p, _: (solver.step(problem, *p), None), point, length=iterations)
        return (point, solver.rho), measure(point[0].x)

    weights = jnp.asarray(weights, problem.sinogram.dtype)
    first = _solver(weights[0])
    start = first.init(problem, jnp.zeros(problem.A.shape, problem.sinogram.dtype))
    return jax.lax.scan(solve, (start, first.rho), weights)[1]


def _solver(weight: Array) -> ADMM:
    tv = TV(weight, iterations=PROX_ITERATIONS)
    rho = RHO_PER_WEIGHT * jnp.maximum(weight, TV_RHO_WEIGHT)
    return ADMM(tv, rho, CG_ITERATIONS, START_ITERATIONS)


def _angular_rank(theta_rad: ArrayLike) -> np.ndarray:
    """Rank of each view (views,) by its angle modulo pi, counted from the middle of the missing wedge."""
    theta = np.asarray(theta_rad, float)
    start = float(Wedge.from_angles(theta).center_rad)
    return np.argsort(np.argsort((theta - start) % np.pi, kind="stable"))
