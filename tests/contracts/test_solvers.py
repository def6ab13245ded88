"""Contract of every iterative solver, applied to one list."""

from __future__ import annotations

import dataclasses
from typing import Any

import documented
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import check_close, check_gradient, random_like

from pfitre_jax import contrib, solvers
from pfitre_jax.baselines import published
from pfitre_jax.baselines.published.loop import PublishedADMM
from pfitre_jax.contrib.anderson import Anderson
from pfitre_jax.contrib.gradient_step import GradientStep, GradientStepPnP
from pfitre_jax.contrib.null_space import NullSpace
from pfitre_jax.contrib.plug_and_play import ProximalGradient
from pfitre_jax.contrib.primal_dual import LearnedPrimalDual
from pfitre_jax.contrib.primal_dual_network import PrimalDualConfig
from pfitre_jax.contrib.red import RED, REDPRO
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.tv import TV
from pfitre_jax.solvers.admm import ADMM
from pfitre_jax.solvers.cgls import CGLS
from pfitre_jax.solvers.data_terms import Gaussian, StudentT
from pfitre_jax.solvers.fista import FISTATV
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import Status, run
from pfitre_jax.solvers.sirt import SIRT
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.wrappers.reweighted import Reweighted
from pfitre_jax.solvers.wrappers.self_calibration import SelfCalibration

N = 12
THETA = [0.1, 0.7, 1.3, 2.0, 2.9]
STEPS = 3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shrink(Prior):
    """A linear, contractive denoiser: ``factor`` times the image, smoothed a little."""

    factor: Any

    def denoise(self, v, *, correction, wedge, rho):
        return self.factor * (0.8 * v + 0.1 * (jnp.roll(v, 1, 0) + jnp.roll(v, -1, 0)))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Alternating(Shrink):
    """A denoiser with another factor in every other iteration."""

    info = PriorInfo(alternates=True)

    def at(self, iteration):
        return Shrink(self.factor * jnp.where(iteration % 2 == 0, 1.0, 0.95))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Trained(Shrink):
    """A factor (iterations,) for each iteration."""

    def at(self, iteration):
        return Shrink(self.factor[jnp.minimum(iteration, 1)])


def learned_primal_dual() -> LearnedPrimalDual:
    """A tiny learned primal-dual method with non-zero parameters."""
    method = LearnedPrimalDual.create(jax.random.key(0), STEPS, PrimalDualConfig(2, 2, 3))
    return jax.tree.map(lambda a, r: a + 0.03 * r, method, random_like(method, 5))


METHODS = {
    "sirt": SIRT(),
    "cgls": CGLS(),
    "fista-tv": FISTATV(jnp.asarray(1e-3), prox_iterations=4),
    "fista-dtv": FISTATV(jnp.asarray(1e-3), prox_iterations=4, ratio=jnp.asarray(1.5)),
    "admm-tv": ADMM(TV(jnp.asarray(1e-3), iterations=8), jnp.asarray(0.02), 3, 4),
    "hqs-initial": HQS(
        Shrink(jnp.asarray(0.9)), jnp.asarray(0.05), 3, start_iterations=4, initial_iterations=2
    ),
    "hqs-linear": HQS(Shrink(jnp.asarray(0.9)), jnp.asarray(0.05), 3, start_iterations=4),
    "hqs-unrolled": HQS(Trained(jnp.asarray([0.9, 0.8])), jnp.asarray([0.05, 0.07]), 3),
    "hqs-alternating": HQS(Alternating(jnp.asarray(0.9)), jnp.asarray(0.05), 3, start_iterations=4),
    "self-calibrated-sirt": SelfCalibration(SIRT(), stripes=True, gains=True),
    "student-sirt": Reweighted(SIRT(), StudentT("auto", jnp.asarray(20.0))),
    "anderson-sirt": Anderson(SIRT(), 2, jnp.asarray(0.8)),
    "learned-primal-dual": learned_primal_dual(),
    "original": PublishedADMM(
        Shrink(jnp.asarray(0.9)), jnp.asarray(5.0), jnp.asarray(0.005), cg_iterations=6
    ),
    "landweber of the docs": documented.run("add/solver.md", "pfitre_jax/solvers/landweber.py")["Landweber"](
        jnp.asarray(1.2)
    ),
    "pnp-ista": ProximalGradient(Shrink(jnp.asarray(0.9)), jnp.asarray(0.1), jnp.asarray(0.99), False),
    "pnp-fista": ProximalGradient(Shrink(jnp.asarray(0.9)), jnp.asarray(0.1), jnp.asarray(0.99)),
    "red": RED(Shrink(jnp.asarray(0.9)), jnp.asarray(0.1), jnp.asarray(0.1)),
    "red-pro": REDPRO(
        Shrink(jnp.asarray(0.9)), jnp.asarray(0.1), jnp.asarray(0.99), jnp.asarray(0.3), jnp.asarray(0.4)
    ),
    "gradient-step": GradientStepPnP(
        GradientStep(Shrink(jnp.asarray(0.9))), jnp.asarray(0.05), jnp.asarray(0.1), 3
    ),
    "null-space": NullSpace(Shrink(jnp.asarray(0.9)), jnp.asarray(0.05), jnp.asarray(0.01), 5),
}


#: Solvers that run nearly the same code as another one in the list.
VARIANTS = ("fista-dtv", "hqs-initial", "hqs-unrolled", "anderson-sirt", "pnp-fista", "null-space")
#: Solvers that are composed of parts which other solvers in the list have too.
WRAPPED = (
    "hqs-alternating",
    "self-calibrated-sirt",
    "student-sirt",
    "original",
    "gradient-step",
    "pnp-ista",
    "red",
    "red-pro",
)


def all_but(names, slow):
    """Parameters for ``names``; those in ``slow`` are marked as slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in slow)) for name in names]


@pytest.fixture(params=all_but(METHODS, VARIANTS), name="method")
def _method(request):
    return METHODS[request.param]


@pytest.fixture(params=all_but(METHODS, (*VARIANTS, *WRAPPED)), name="basic")
def _basic(request):
    return METHODS[request.param]


def projector(center=5.8) -> Projector:
    return Projector(ParallelGeometry.create(THETA, N, center))


def scene():
    image = np.zeros((N, N))
    image[3:8, 4:7] = 1.0
    image[6:9, 6:10] = 0.5
    return jnp.asarray(image, jnp.result_type(float))


project = jax.jit(lambda A, x: A(x))


def measured(A, noise=0.02):
    y = project(A, scene())
    return y + noise * jnp.max(y) * random_like(y, 3)


WEDGE = Wedge.from_angles(THETA)

# Compiled once: a call outside of jit compiles its loops every time.
create = jax.jit(lambda A, y, mask=None: SliceProblem.create(A, y, mask, wedge=WEDGE))


def problem(center=5.8) -> SliceProblem:
    A = projector(center)
    return create(A, measured(A))


@jax.jit
def solve(method, problem, x0):
    return run(method, problem, x0, iterations=STEPS)


blank = lambda: jnp.zeros((N, N), jnp.result_type(float))  # noqa: E731


def test_jit_equals_eager_and_traces_once(basic):
    traces = []

    @jax.jit
    def counted(method, problem, x0):
        traces.append(1)
        return run(method, problem, x0, iterations=STEPS)

    first = counted(basic, problem(), blank())
    again = dataclasses.replace(problem(), A=projector(6.1), sinogram=2 * problem().sinogram)
    counted(jax.tree.map(lambda a: 1.1 * a, basic), again, blank())
    assert len(traces) == 1
    check_close(first, run(basic, problem(), blank(), iterations=STEPS), 1e-3)


def test_vmap_equals_loop_and_a_bad_slice_leaves_the_others_alone(basic):
    p = problem()
    good = jnp.stack([p.sinogram, 0.5 * p.sinogram[::-1]])
    bad = p.sinogram.at[2, 3].set(jnp.nan)[None]
    batch = jnp.concatenate([good[:1], bad, good[1:]])
    mapped = jax.jit(jax.vmap(lambda y: run(basic, p.with_sinogram(y), blank(), iterations=STEPS)))(batch)
    assert list(mapped.status) == [Status.ITERATIONS, Status.DIVERGED, Status.ITERATIONS]
    assert np.all(np.isfinite(mapped.value))
    for k, y in ((0, good[0]), (2, good[1])):
        one = solve(basic, p.with_sinogram(y), blank())
        check_close(mapped.value[k], one.value, 1e-3)
        check_close(mapped.stats["residual"][k], one.stats["residual"], 1e-3)


def test_gradients_are_finite_differences(basic):
    """With respect to the data, the centre and the parameters of the method, in one direction."""
    with jax.enable_x64(True):
        method = jax.tree.map(lambda a: a.astype(jnp.float64), basic)
        A = projector()

        def loss(arguments):
            method, y, center = arguments
            moved = dataclasses.replace(A, geometry=dataclasses.replace(A.geometry, center=center))
            p = SliceProblem.create(moved, y, wedge=WEDGE)
            return jnp.sum(jnp.sin(run(method, p, blank(), iterations=STEPS, differentiate="unroll").value))

        # Scaled so that a step of 1e-6 in a weight of 1e-3 stays a small one.
        logs = jax.tree.map(lambda a: jnp.log(jnp.abs(a)), method)
        scaled = lambda logs: jax.tree.map(lambda a, log: jnp.sign(a) * jnp.exp(log), method, logs)  # noqa: E731
        check_gradient(
            lambda a: loss((scaled(a[0]), a[1], a[2])),
            (logs, measured(A), A.geometry.center),
            rtol=1e-5,
        )


@pytest.mark.parametrize("name", all_but(["fista-tv", "hqs-linear"], ["hqs-linear"]))
def test_checkpoint_gives_the_gradient_of_unroll(name):
    """Checkpointing is done by the loop, so two methods are enough."""
    method, p = METHODS[name], problem()

    def slope(differentiate):
        def loss(y):
            return jnp.sum(
                run(method, p.with_sinogram(y), blank(), iterations=STEPS, differentiate=differentiate).value
                ** 2
            )

        return jax.jit(jax.grad(loss))(p.sinogram)

    check_close(slope("checkpoint"), slope("unroll"))


@pytest.mark.parametrize("x64", [False, True])
def test_dtype_is_kept(method, x64):
    with jax.enable_x64(x64):
        method = jax.tree.map(lambda a: a.astype(jnp.result_type(float)), method)
        p = jax.eval_shape(create, projector(), measured(projector()))
        out = jax.eval_shape(lambda p: run(method, p, blank(), iterations=2), p)
        assert out.value.dtype == out.stats["residual"].dtype == jnp.result_type(float)


def test_status_says_how_it_ended(method):
    loose = jax.jit(lambda p: run(method, p, blank(), iterations=40, tolerance=0.05))(problem())
    k = int(loose.stats["iterations"])
    assert loose.status == Status.CONVERGED and 1 <= k < 40
    change = np.asarray(loose.stats["change"])
    assert change[k - 1] <= 0.05 and np.all(change[: k - 1] > 0.05) and np.all(np.isnan(change[k:]))
    assert solve(method, problem(), blank()).status == Status.ITERATIONS


def test_the_residual_is_that_of_the_result(method):
    p = problem()
    done = solve(method, p, blank())
    np.testing.assert_allclose(done.stats["residual"][-1], p.residual_norm(done.value), rtol=1e-3)
    assert done.stats["residual"][-1] < 0.6


def test_invalid_bins_are_ignored(method):
    A = projector()
    y = measured(A)
    mask = jnp.ones_like(y).at[1, 4:6].set(0)
    values = [solve(method, create(A, y.at[1, 4:6].set(v), mask), blank()).value for v in (0.0, jnp.nan)]
    np.testing.assert_array_equal(*values)
    valid = solve(method, problem(), blank()).value
    assert np.abs(values[0] - valid).max() > 1e-3, "the mask changes nothing: nothing was checked"
    zeros = solve(method, create(A, y.at[1, 4:6].set(0)), blank()).value
    assert np.abs(values[0] - zeros).max() > 1e-3, "invalid bins count as zeros"


@pytest.mark.slow
def test_implicit_agrees_with_unroll_at_a_fixed_point():
    with jax.enable_x64(True):
        method = HQS(Shrink(0.7), jnp.asarray(0.05), 12, start_iterations=12)
        A = projector()

        def slope(differentiate):
            def loss(rho, y, center):
                moved = dataclasses.replace(A, geometry=dataclasses.replace(A.geometry, center=center))
                p = SliceProblem.create(moved, y, wedge=WEDGE)
                m = dataclasses.replace(method, rho=rho)
                done = run(m, p, blank(), iterations=60, differentiate=differentiate)
                return jnp.sum(done.value**2 * scene())

            return jax.jit(jax.grad(loss, (0, 1, 2)))(jnp.asarray(0.05), measured(A), A.geometry.center)

        unrolled, implicit = slope("unroll"), slope("implicit")
        assert all(np.all(np.isfinite(g)) and np.any(g != 0) for g in unrolled)
        check_close(implicit, unrolled, 1e-5)


CALLS = {
    "sirt": lambda A, y, **k: solvers.sirt(A, y, **k),
    "cgls": lambda A, y, **k: solvers.cgls(A, y, **k),
    "fista_tv": lambda A, y, **k: solvers.fista_tv(A, y, **k),
    "admm_tv": lambda A, y, **k: solvers.admm_tv(A, y, **k),
    "admm": lambda A, y, **k: solvers.admm(A, y, prior=Shrink(0.9), rho=0.05, **k),
    "equilibrium": lambda A, y, **k: contrib.equilibrium(A, y, prior=Shrink(0.9), rho=0.05, **k),
    "hqs": lambda A, y, **k: solvers.hqs(A, y, prior=Shrink(0.9), rho=0.05, **k),
    "pnp_ista": lambda A, y, **k: contrib.pnp_ista(A, y, prior=Shrink(0.9), **k),
    "pnp_fista": lambda A, y, **k: contrib.pnp_fista(A, y, prior=TV(1e-3), **k),
    "red": lambda A, y, **k: contrib.red(A, y, prior=Shrink(0.9), **k),
    "red_pro": lambda A, y, **k: contrib.red_pro(A, y, prior=Shrink(0.9), **k),
    "gradient_step": lambda A, y, **k: contrib.gradient_step(A, y, prior=Shrink(0.9), **k),
    "null_space": lambda A, y, **k: contrib.null_space(A, y, prior=Shrink(0.9), **k),
    "fista_tv, poisson": lambda A, y, **k: solvers.fista_tv(A, y, data_term=solvers.Poisson(1e4, 0.2), **k),
    "learned_primal_dual": lambda A, y, **k: contrib.learned_primal_dual(
        A, y, method=learned_primal_dual(), **k
    ),
    "pfitre_original": lambda A, y, **k: published.pfitre_original(A, y, prior=Shrink(0.9), **k),
}


#: Methods whose data term cannot be reweighted.
UNWEIGHTED = ("cgls", "gradient_step", "learned_primal_dual", "fista_tv, poisson")


#: Methods that share the weighting code of another method.
ALIKE = ("equilibrium", "admm", "pnp_fista", "red_pro", "null_space", "pfitre_original")


@pytest.mark.parametrize("name", all_but([name for name in CALLS if name not in UNWEIGHTED], ALIKE))
def test_a_down_weighted_view_has_a_larger_residual(name):
    A = projector()
    sinogram = measured(A).at[2].add(1.0)
    sigma = jnp.ones_like(sinogram).at[2].set(100.0)

    def view_residual(**settings):
        x = CALLS[name](A, sinogram, iterations=12, **settings).value
        return float(jnp.linalg.norm((project(A, x) - sinogram)[2]))

    assert view_residual(data_term=Gaussian(sigma)) > 1.15 * view_residual()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_public_functions(call):
    A = projector()
    y = measured(A)
    done = call(A, y, iterations=2)
    assert done.value.shape == (N, N) and done.stats["residual"].shape == (2,)
    assert done.stats["residual"][-1] < 1
    with pytest.raises(ValueError, match="iterations is 0"):
        call(A, y, iterations=0)
    with pytest.raises(ValueError, match=r"sinogram has shape \(12, 5\); expected \(5, 12\)"):
        call(A, y.T, iterations=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda A, y: solvers.fista_tv(A, y, weight=-1.0),
            "weight is -1; expected a finite number",
        ),
        (lambda A, y: solvers.fista_tv(A, y, weight=1e-3, ratio=0), "ratio is 0; expected a finite number"),
        (lambda A, y: solvers.admm_tv(A, y, weight=float("nan")), "weight is nan"),
        (
            lambda A, y: solvers.hqs(A, y, prior=Shrink(0.9), rho=0),
            "rho is 0; expected a finite number",
        ),
        (lambda A, y: solvers.hqs(A, y, prior=Shrink(0.9), rho="much"), "rho is 'much'; expected a number"),
        (lambda A, y: contrib.pnp_fista(A, y, prior=Shrink(0.9), step_length=0), "step_length is 0"),
        (lambda A, y: contrib.red(A, y, prior=Shrink(0.9), weight=-1), "weight is -1"),
        (lambda A, y: contrib.red_pro(A, y, prior=Shrink(0.9), relaxation=0), "relaxation is 0"),
        (lambda A, y: contrib.gradient_step(A, y, prior=Shrink(0.9), rho=0), "rho is 0"),
        (lambda A, y: contrib.null_space(A, y, prior=Shrink(0.9), damping=-1), "damping is -1"),
        (lambda A, y: solvers.cgls(A, y, x0=np.zeros((3, 3))), r"x0 has shape \(3, 3\); expected \(12, 12\)"),
    ],
)
def test_invalid_settings_are_refused(call, message):
    A = projector()
    with pytest.raises(ValueError, match=message):
        call(A, measured(A))


def test_integer_sinograms_are_accepted():
    A = projector()
    y = jnp.round(10 * project(A, scene())).astype(int)
    whole, real = solvers.cgls(A, y, iterations=2), solvers.cgls(A, y.astype(jnp.float32), iterations=2)
    np.testing.assert_array_equal(whole.value, real.value)


def test_a_public_function_traces_once_per_shape(monkeypatch):
    traces = []
    step = SIRT.step
    monkeypatch.setattr(SIRT, "step", lambda *a: traces.append(1) or step(*a))
    for center in (5.2, 5.9, 6.3):
        # A number of iterations that no other test uses.
        solvers.sirt(projector(center), measured(projector(center)), iterations=7)
    # The loop's body is traced more than once inside one compilation.
    first = len(traces)
    solvers.sirt(projector(5.0), measured(projector()), iterations=7)
    assert first > 0 and len(traces) == first


def test_a_weight_in_words_must_be_auto():
    with pytest.raises(ValueError, match="'automatic'; expected a number or 'auto'"):
        solvers.fista_tv(projector(), measured(projector()), weight="automatic")
