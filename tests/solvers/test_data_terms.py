"""Data terms against direct minimisation, statistics of counts, and scans with outliers."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse.linalg import lsqr

from pfitre_jax import solvers
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.data_terms import (
    HUBER_DEVIATIONS,
    Gaussian,
    Huber,
    Poisson,
    StudentT,
    WholeViews,
    robust_scale,
)
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem
from pfitre_jax.solvers.wrappers.reweighted import Reweighted

N = 10
THETA = np.linspace(0, np.pi, 14, endpoint=False)

TERMS = {
    "gaussian": Gaussian(np.linspace(0.5, 1.5, 14)[:, None].repeat(N, axis=1)),
    "poisson": Poisson(200.0, 0.4),
    "huber": Huber(0.3),
    "student": StudentT(0.3, 3.0),
    "views": WholeViews(1.3),
}


def projector(theta=THETA, columns=N) -> Projector:
    return Projector(ParallelGeometry.create(theta, columns))


def blocks(n=N):
    image = np.zeros((n, n))
    image[n // 4 : n // 2, n // 4 : 3 * n // 4] = 1.0
    image[n // 2 : 3 * n // 4, n // 3 : n // 2] = 0.6
    return image


@functools.cache
def outlying():
    """A noisy problem with some bins far off, over-determined; float64. Positive, as Poisson's counts are."""
    A, rng = projector(), np.random.default_rng(0)
    y = np.asarray(jax.jit(lambda A, x: A(x))(A, jnp.asarray(blocks())))
    y = y + 0.1 * rng.standard_normal(y.shape)
    y = np.maximum(np.where(rng.random(y.shape) < 0.08, y + 3, y), 0.05)
    return jax.jit(lambda A, y: SliceProblem.create(A, y, wedge=Wedge.from_angles(THETA)))(A, jnp.asarray(y))


@pytest.fixture(params=TERMS, name="term")
def _term(request):
    return TERMS[request.param]


def widened(term):
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), term)


def image(seed):
    return jnp.asarray(np.random.default_rng(seed).random((N, N)))


def at(term, problem, x):
    return dataclasses.replace(problem, weights=term.weights(problem, x))


@jax.jit
def slopes(term, problem, x):
    slope = problem.support * jax.grad(lambda x: term.value(problem, x))(x)
    return at(term, problem, x).gradient(x), slope, problem.gradient(x)


def test_the_weighted_problem_has_the_gradient_of_the_term(term):
    with jax.enable_x64(True):
        weighted, slope, least_squares = slopes(widened(term), outlying(), image(1) * 0.3)
        np.testing.assert_allclose(weighted, slope, rtol=1e-8, atol=1e-12)
        assert np.abs(slope - least_squares).max() > 0.02 * np.abs(slope).max(), "as least squares"


@pytest.mark.parametrize("name", ["gaussian", "huber", "student", "views"])
def test_the_weighted_problem_majorises_the_term(name):
    with jax.enable_x64(True):
        problem, term = outlying(), widened(TERMS[name])

        @jax.jit
        def both(x, start):
            weights = term.weights(problem, start)
            gained = problem.residual(x) ** 2 - problem.residual(start) ** 2
            surrogate = term.value(problem, start) + jnp.sum(weights * gained) / (2 * problem.norm_squared)
            return surrogate, term.value(problem, x)

        start = image(2)
        np.testing.assert_allclose(*both(start, start), rtol=1e-12)
        gaps = [
            np.subtract(*both(start + s * (image(3 + k) - 0.5), start)) for k in range(5) for s in (0.1, 3)
        ]
        assert min(gaps) > -1e-12
        assert name == "gaussian" or max(gaps) > 1e-4, "it is quadratic: nothing was checked"


def test_weights_lie_between_0_and_1(term):
    with jax.enable_x64(True):
        weights = np.asarray(widened(term).weights(outlying(), 0.3 * image(4)))
    assert weights.shape == (14, N) and 0 < weights.min() < 0.5 < weights.max() <= 1


@pytest.mark.parametrize("name", ["poisson", "huber", "student"])
def test_the_fixed_point_is_the_minimum_of_the_term(name):
    """Reweighted FISTA without a prior is compared with L-BFGS on the term over ``x >= 0``."""
    with jax.enable_x64(True):
        problem, term = outlying(), widened(TERMS[name])
        inside = np.asarray(problem.support).ravel() > 0

        @jax.jit
        def value_and_slope(x):
            return jax.value_and_grad(lambda x: term.value(problem, x))(x.reshape(N, N))

        @jax.jit
        def solve(method):
            return run(method, problem, jnp.zeros((N, N)), iterations=1500).value

        plain = FISTATV(jnp.asarray(0.0), prox_iterations=1)
        found, least_squares = solve(Reweighted(plain, term)), solve(plain)
        best = minimize(
            lambda x: [np.asarray(a, float).ravel() for a in value_and_slope(jnp.asarray(x))],
            np.asarray(least_squares).ravel(),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None if free else 0) for free in inside],
            options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-10},
        )
        value, slope = (np.asarray(a) for a in value_and_slope(found))
        np.testing.assert_allclose(value, best.fun, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(found).ravel(), best.x, atol=2e-3)
        positive = (np.asarray(found) > 1e-6).ravel()
        assert (
            np.abs(slope.ravel()[positive]).max() < 1e-5 and slope.ravel()[inside & ~positive].min() > -1e-5
        )
        assert np.abs(np.asarray(found - least_squares)).max() > 0.05, "least squares do as well"


def test_masked_bins_have_no_influence():
    """Masked dead and hot bins do not affect the weights of the other bins."""
    with jax.enable_x64(True):
        problem = outlying()
        mask = jnp.ones_like(problem.sinogram).at[2, 3].set(0).at[4, 5].set(0)
        masked = problem.with_sinogram(problem.sinogram, mask)
        counts = jnp.full_like(problem.sinogram, 200.0)
        modified = Poisson(counts.at[4, 5].set(1e6).at[2, 3].set(0.0), 0.4)
        weights, plain = (
            t.weights(p, image(1)) for t, p in ((modified, masked), (Poisson(counts, 0.4), problem))
        )
        np.testing.assert_allclose(weights, mask * plain, rtol=1e-5)
        assert np.isfinite(modified.value(masked, image(1)))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_poisson_weights_are_the_inverse_variance_of_line_integrals(scale):
    """The variance is that of sampled ``-log(counts)``, in the units of the scaled sinogram."""
    counts, draws = 2000.0, 4000
    A = projector()
    truth = jnp.asarray(0.7 * blocks() / scale, jnp.float32)
    line = np.asarray(A(truth), float)
    rng = np.random.default_rng(0)
    y = -np.log(rng.poisson(counts * np.exp(-scale * line), (draws, *line.shape)) / counts) / scale
    problem = SliceProblem.create(A, line, wedge=Wedge.from_angles(THETA))
    weigh = jax.jit(jax.vmap(lambda y: Poisson(counts, scale).weights(problem.with_sinogram(y), truth)))
    weights = np.asarray(weigh(jnp.asarray(y[:200], jnp.float32))).mean(axis=0)
    dark = line > 0.2 / scale
    ratio = (weights * counts * scale**2 * y.var(axis=0))[dark]
    assert weights.min() < 0.05 and 0.5 < weights.max() <= 1
    # Beyond the scatter of a variance of 4000 draws (2%), that of a logarithm of few counts (1/N).
    np.testing.assert_allclose(ratio, 1, atol=0.12)
    assert abs(ratio.mean() - 1) < 0.03


@functools.cache
def slipped(zingers: float = 0.01):
    """A scan of 32^2 whose truth is known, 1% noise, two slipped views and a few zingers."""
    n, rng = 32, np.random.default_rng(1)
    A = projector(np.deg2rad(np.linspace(-60, 60, 30)), n)
    y = np.asarray(A(jnp.asarray(blocks(n), jnp.float32)))
    top = y.max()
    y = y + 0.01 * top * rng.standard_normal(y.shape)
    y[7], y[19] = np.roll(y[7], 4), np.roll(y[19], -5)
    y[rng.random(y.shape) < zingers] += top
    return A, jnp.asarray(y, jnp.float32), blocks(n)


@pytest.mark.parametrize(
    ("solver", "settings", "term", "at_most"),
    [
        (solvers.fista_tv, {"weight": 3e-4, "iterations": 100}, StudentT("auto"), 0.6),
        (solvers.hqs, {"prior": TV(3e-4), "rho": 0.005, "iterations": 10}, Huber("auto"), 0.7),
        (solvers.hqs, {"prior": TV(3e-4), "rho": 0.005, "iterations": 10}, WholeViews("auto"), 0.8),
        # Without a prior the noise stays.
        (solvers.sirt, {"iterations": 60}, Huber("auto"), 0.9),
    ],
)
def test_robust_terms_reduce_the_effect_of_outliers(solver, settings, term, at_most):
    A, y, truth = slipped()
    error = lambda **k: float(np.linalg.norm(solver(A, y, **settings, **k).value - truth))  # noqa: E731
    assert error(data_term=term) < at_most * error()


def test_displaced_views_are_down_weighted_as_a_whole():
    """At the truth the others keep their full weight, also where a view is left out."""
    A, y, truth = slipped(zingers=0.0)
    problem = SliceProblem.create(A, y, wedge=Wedge.from_angles(A.geometry.theta_rad))
    problem = problem.with_sinogram(y, jnp.ones_like(y).at[3].set(0))
    weights = np.asarray(WholeViews("auto").weights(problem, jnp.asarray(truth, jnp.float32)))
    assert np.ptp(weights, axis=1).max() == 0 and weights[3, 0] == 0
    off = np.isin(np.arange(len(y)), [7, 19])
    others = np.delete(weights[:, 0], [3, 7, 19])
    assert weights[off].max() < 0.05 and np.all(others == 1)


def test_view_weights_follow_the_documented_formula():
    """Rows of a volume are weighted independently; a third of the views are masked, one partly."""
    with jax.enable_x64(True):
        row, rng = outlying(), np.random.default_rng(3)
        bright = np.array([1.0, 100.0])[:, None, None]
        mask = np.ones((2, *row.sinogram.shape))
        mask[:, 1::3], mask[0, 6, 2:] = 0, 0
        # The residual of each view by itself, none so small that it could be the prior's.
        off = bright * 0.5 * np.exp(rng.uniform(0, 3, (2, 14, 1))) * np.sign(rng.standard_normal(mask.shape))
        volume = jnp.asarray(bright * blocks())
        problem = VolumeProblem.create(row, bright * np.asarray(row.A(blocks())) + off, mask)
        found = np.asarray(WholeViews("auto").weights(problem, volume))
        for k in range(2):
            seen = mask[k].sum(axis=1) > 0
            mean_square = (mask[k] * off[k] ** 2).sum(axis=1)[seen] / mask[k].sum(axis=1)[seen]
            expected = np.zeros(14)
            expected[seen] = np.minimum(1, 4 * np.median(mean_square) / mean_square) ** 2
            assert 0 < expected[seen].min() < 0.9 and expected.max() == 1
            np.testing.assert_allclose(found[k], expected[:, None] * mask[k], rtol=1e-6)


def test_no_view_of_a_closely_fitted_scan_is_down_weighted():
    """The error of a prior differs between views, which is no defect of the scan."""
    A, _, truth = slipped(zingers=0.0)
    y = A(jnp.asarray(truth, jnp.float32))
    problem = SliceProblem.create(A, y, wedge=Wedge.from_angles(A.geometry.theta_rad))
    # A pattern whose projection is concentrated in one view.
    unlike = truth + 0.02 * np.cos(2 * np.pi * np.arange(32) / 5)
    residual = np.asarray(problem.residual(jnp.asarray(unlike, jnp.float32)))
    sizes = np.linalg.norm(residual, axis=1)
    assert sizes.max() > 3 * np.median(sizes)
    for image in (truth, unlike):
        assert np.all(np.asarray(WholeViews("auto").weights(problem, jnp.asarray(image, jnp.float32))) == 1)


@pytest.mark.parametrize("term", [Huber("auto"), StudentT("auto"), WholeViews("auto")])
def test_a_row_without_signal_or_without_bins_has_finite_weights(term):
    A, y, _ = slipped()
    problem = SliceProblem.create(A, y, wedge=Wedge.from_angles(A.geometry.theta_rad))
    blank, seen = jnp.zeros(A.shape), jnp.ones_like(y)
    for sinogram, mask in ((0 * y, seen), (y, 0 * seen), (0 * y, 0 * seen)):
        weights = np.asarray(term.weights(problem.with_sinogram(sinogram, mask), blank))
        assert weights.dtype == np.float32 and np.all((weights >= 0) & (weights <= 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OfTheMean:
    """A data term whose weights depend on the mean of the image."""

    def weights(self, problem, x):
        return jnp.full_like(problem.sinogram, 0.2 + 2 * jnp.mean(x))


@pytest.mark.parametrize("solver", [HQS(TV(1e-3), jnp.asarray(0.01)), FISTATV(jnp.asarray(1e-3))])
def test_weights_are_those_at_the_proposal_of_the_prior(solver):
    """There are none in the first steps, and the solver may not stop before they count."""
    A, y, _ = slipped()
    problem = SliceProblem.create(A, y, wedge=Wedge.from_angles(A.geometry.theta_rad))
    reweighted = Reweighted(solver, OfTheMean(), first_steps=2)
    step, begin = (
        jax.jit(lambda s, p, *point: s.step(p, *point)),
        jax.jit(lambda s, p: s.init(p, jnp.zeros(A.shape))),
    )
    ours, plain = begin(reweighted, problem), begin(solver, problem)
    for _ in range(2):
        ours, plain = step(reweighted, problem, *ours), step(solver, problem, *plain)
        np.testing.assert_allclose(ours[0].x, plain[0].x, atol=1e-6)
        assert not ours[0].may_stop
    weights = OfTheMean().weights(problem, solver.proposal(*plain))
    expected = step(solver, dataclasses.replace(problem, weights=weights), *plain)
    ours = step(reweighted, problem, *ours)
    assert np.abs(np.asarray(expected[0].x - step(solver, problem, *plain)[0].x)).max() > 1e-3
    np.testing.assert_allclose(ours[0].x, expected[0].x, atol=1e-5)
    assert ours[0].may_stop
    np.testing.assert_array_equal(
        reweighted.proposal(*ours), ours[1].inner.z if isinstance(solver, HQS) else ours[0].x
    )


@pytest.mark.parametrize("term", [Gaussian(2.0), Huber(1e4), StudentT(1e3, 1e3), WholeViews(1e4)])
def test_least_squares_terms_change_nothing(term):
    A, y, _ = slipped()
    call = lambda **k: np.asarray(solvers.sirt(A, y, iterations=20, **k).value)  # noqa: E731
    np.testing.assert_allclose(call(data_term=term), call(), atol=1e-5)


def test_auto_takes_the_robust_scale_of_the_residual():
    with jax.enable_x64(True):
        problem, x = outlying(), image(5) * 0.2
        scale = robust_scale(problem, problem.residual(x))
        for auto, explicit in (
            (Huber("auto"), Huber(HUBER_DEVIATIONS * scale)),
            (StudentT("auto", 5.0), StudentT(scale, 5.0)),
        ):
            both = [
                jax.jit(lambda t, x: (t.weights(problem, x), t.value(problem, x)))(t, x)
                for t in (auto, explicit)
            ]
            np.testing.assert_allclose(both[0][0], both[1][0])
            np.testing.assert_allclose(both[0][1], both[1][1])


def test_the_robust_scale_is_the_noise_level_and_never_0():
    rng = np.random.default_rng(6)
    with jax.enable_x64(True):
        problem, found = outlying(), []
        for _ in range(20):
            residual = 0.2 * rng.standard_normal((14, N))
            residual[rng.random(residual.shape) < 0.05] += 50
            found.append(float(robust_scale(problem, jnp.asarray(residual))))
        assert abs(np.mean(found) / 0.2 - 1) < 0.1
        fitted = jnp.zeros((14, N))
        assert robust_scale(problem, fitted) > 0
        assert robust_scale(problem.with_sinogram(fitted, fitted), fitted) > 0


def test_weights_give_weighted_least_squares():
    """All that a problem offers, against the dense matrix; and CGLS against LSQR on ``sqrt(W) A``."""
    with jax.enable_x64(True):
        problem = outlying()
        weights = jnp.asarray(np.random.default_rng(7).random((14, N)))
        mask = jnp.ones((14, N)).at[3, 2:5].set(0)
        problem = dataclasses.replace(problem.with_sinogram(problem.sinogram, mask), weights=weights)
        support = np.asarray(problem.support).ravel()
        columns = jax.jit(jax.vmap(problem.A))(jnp.eye(N * N).reshape(-1, N, N))
        matrix = np.asarray(columns).reshape(N * N, -1).T * support
        w = np.asarray(weights * mask).ravel()
        x, y = np.asarray(image(8)), np.asarray(problem.sinogram)
        squared = float(problem.norm_squared)
        np.testing.assert_allclose(
            np.asarray(problem.normal(image(8))).ravel(), matrix.T @ (w * (matrix @ x.ravel())) / squared
        )
        start = support * x.ravel()
        np.testing.assert_allclose(
            np.asarray(problem.gradient(start.reshape(N, N))).ravel(),
            matrix.T @ (w * (matrix @ start - y.ravel())) / squared,
        )
        ours = jax.jit(lambda p: run(solvers.CGLS(), p, jnp.zeros((N, N)), iterations=8).value)(problem)
        theirs = lsqr(np.sqrt(w)[:, None] * matrix, np.sqrt(w) * y.ravel(), iter_lim=8, atol=0, btol=0)[0]
        np.testing.assert_allclose(np.asarray(ours).ravel(), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber("much"), "delta of Huber is 'much'; expected a finite number, more than 0, or 'auto'"),
        (lambda: Huber(0), "delta of Huber is 0; expected a finite number, more than 0"),
        (lambda: StudentT("auto", -1.0), "dof of StudentT is -1.0; expected a finite number"),
        (lambda: Gaussian(float("nan")), "sigma of Gaussian is nan"),
        (lambda: Poisson(0.5), "counts of Poisson is 0.5; expected a finite number, more than 1"),
        (lambda: Poisson(1e3, "auto"), "scale of Poisson is 'auto'; expected a finite number, more than 0"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
