"""Training of rho and of a network for each iteration: start, training, files and use."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.metrics import psnr
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.files import load, save
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.reconstruction import methods
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.training.config import Optimisation, Pool, Report, Stage, TrainingConfig
from pfitre_jax.training.initial_weights import check_weights
from pfitre_jax.training.optimiser import make_optimiser
from pfitre_jax.training.parameters import TrainableParameters, prior_with_parameters, trainable_parameters
from pfitre_jax.training.training_run import train
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.heldout import heldout
from pfitre_jax.twin.scenes.mixture import SceneMixture

ITERATIONS = 2
NETWORK = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
CONFIG = TrainingConfig(
    name="tiny",
    network=NETWORK,
    pairs=PairSettings(size=32, slices=2, cg_iterations=2, rho=(0.01, 0.04)),
    scenes=SceneMixture(circuits=0, patterns=0, blobs=1),
    pool=Pool(views=(16,), scans=1, iterations=4, alone_share=0.15),
    optimisation=Optimisation(method="muon", ema=0.5),
    stages=(
        Stage(steps=2, rate=0.01, warm_up=1),
        Stage(steps=3, rate=0.01, warm_up=1, unrolled=ITERATIONS, learned="iterations", name="unrolled"),
    ),
    report=Report(log_every=1, validate_every=5, checkpoint_every=1, validation=1),
)


def random_prior(seed=0) -> NetworkPrior:
    prior, generator = NetworkPrior.create(NETWORK, jax.random.key(0)), np.random.default_rng(seed)
    # As in a training run: without the mirror images that alternate in the loop.
    prior = dataclasses.replace(prior, symmetric=False)
    return jax.tree.map(lambda a: a + 0.1 * generator.standard_normal(a.shape, np.float32), prior)


@pytest.fixture(scope="module")
def scan():
    truth = jnp.asarray(heldout(3, 32)[0])
    A = pf.Projector(ParallelGeometry.create(np.deg2rad(np.arange(0.0, 96.0, 6.0)), 32))
    return A, A(truth), truth


def reconstruct(scan, prior, iterations):
    A, sinogram, _ = scan
    loop = HQS.create(prior, 0.02, initial_iterations=0)
    return pf.solvers.solve(loop, A, sinogram, iterations=iterations).value


@pytest.mark.parametrize("iterations", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_initial_parameters_reproduce_the_loop_of_the_prior(scan, iterations):
    prior = random_prior()
    initial = prior_with_parameters(prior, trainable_parameters(prior, iterations, 0.02))
    assert initial.info.iterations == (None if iterations == 1 else 3)
    np.testing.assert_allclose(initial.info.rho, [0.02] * iterations, rtol=1e-5)
    np.testing.assert_allclose(reconstruct(scan, initial, 3), reconstruct(scan, prior, 3), atol=2e-5)


def test_one_network_and_rho_are_copied_to_every_iteration():
    one = prior_with_parameters(random_prior(), trainable_parameters(random_prior(), 1, 0.02))
    several = prior_with_parameters(random_prior(), trainable_parameters(one, 3, 1.0))
    np.testing.assert_allclose(several.rho, [0.02] * 3, rtol=1e-5)
    for iterations, message in ((None, "one network for any rho"), (2, "expected those of 1 or 2")):
        with pytest.raises(ValueError, match=f"the weights are of 3 iterations; .*{message}"):
            trainable_parameters(several, iterations, 1.0)


@pytest.mark.slow
def test_every_network_is_updated_independently():
    """Muon orthogonalises the kernel of each iteration separately."""
    optimiser = make_optimiser(Optimisation(method="muon", clip=1e9), CONFIG.stages)
    step = jax.jit(lambda params, gradient: optimiser.update(gradient, optimiser.init(params), params, 1)[0])
    priors, gradients = ([random_prior(seed) for seed in seeds] for seeds in ((0, 1), (2, 3)))
    stack = lambda *arrays: jnp.stack(arrays)  # noqa: E731
    stacked = [UnrolledPrior(jax.tree.map(stack, *each), jnp.ones(2)) for each in (priors, gradients)]
    together = step(*(trainable_parameters(prior, 2, 1.0) for prior in stacked)).network
    single = [
        [TrainableParameters(each.params) for each in pair] for pair in zip(priors, gradients, strict=True)
    ]
    alone = [step(*pair).network for pair in single]
    check = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # noqa: E731
    jax.tree.map(check, together, jax.tree.map(stack, *alone))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folders of an uninterrupted run and of a run that was resumed in the second stage."""
    whole, parts = (tmp_path_factory.mktemp("runs") / name for name in ("whole", "parts"))
    train(CONFIG, whole)
    train(CONFIG, parts, steps=4)
    train(CONFIG, parts)
    return whole, parts


@pytest.mark.slow
def test_a_network_and_a_rho_for_each_iteration_are_learned(trained):
    prior = load(trained[0] / "tiny.npz")
    assert isinstance(prior, UnrolledPrior) and prior.info.iterations == ITERATIONS
    # All values of rho started in the middle of the range of the pairs and were trained separately.
    assert np.all(prior.rho != 0.02) and np.all((0.01 < prior.rho) & (prior.rho < 0.04))
    assert prior.rho[0] != prior.rho[1]
    assert all(np.any(a[0] != a[1]) for a in jax.tree.leaves(prior.prior.params["leave"]))
    low, high = prior.info.card["trained_on"]["rho"]
    assert low == pytest.approx(min(prior.rho)) and high == pytest.approx(max(prior.rho))


@pytest.mark.slow
def test_run_resumed_in_the_second_stage_equals_the_uninterrupted_run(trained):
    """The pool of scans is not saved; in this configuration every step uses new scans."""
    whole, parts = (load(folder / "tiny.npz") for folder in trained)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, parts)


@pytest.mark.slow
def test_weights_with_other_trained_parameters_are_refused(trained):
    prior = load(trained[0] / "tiny.npz")
    longer = dataclasses.replace(
        CONFIG, stages=(*CONFIG.stages, dataclasses.replace(CONFIG.stages[1], steps=1))
    )
    check_weights(longer, prior)
    check_weights(CONFIG, prior, stage="unrolled")
    with pytest.raises(ValueError, match="one network for any rho"):
        check_weights(dataclasses.replace(CONFIG, stages=(Stage(steps=9),)), prior)


@pytest.mark.slow
def test_a_reconstruction_uses_the_rho_and_the_iterations_of_its_prior(trained, scan):
    path = trained[0] / "tiny.npz"
    prior = load(path)
    settings = Settings.create("pfitre", prior=str(path))
    assert settings.iterations == ITERATIONS and settings.rho == float(prior.rho[-1])
    A, sinogram, _ = scan
    measured = pf.Scan.create(np.asarray(sinogram)[:, None], np.asarray(A.geometry.theta_rad), center=15.5)
    result = pf.reconstruct(measured, prior=path, scale=1.0)
    expected = reconstruct(scan, prior, ITERATIONS)
    assert result.stats["iterations"][0] == ITERATIONS
    assert psnr(result.volume[0], expected) > 40
    assert Settings.create("pfitre", prior=prior, rho="auto").rho == float(prior.rho[-1])
    for options, message in (
        ({"rho": 0.5}, "rho is 0.5; the prior"),
        ({"iterations": 5}, "iterations is 5; the"),
    ):
        with pytest.raises(ValueError, match=message):
            Settings.create("pfitre", prior=prior, **options)
    with pytest.raises(ValueError, match="pfitre-original cannot use it"):
        Settings.create("pfitre-original", prior=prior)
    with pytest.raises(ValueError, match="no trained rho"):
        pf.adapt(measured, prior)


def test_one_rho_can_be_used_with_any_number_of_iterations(tmp_path):
    prior = prior_with_parameters(random_prior(), trainable_parameters(random_prior(), 1, 0.03))
    save(tmp_path / "one.npz", prior)
    settings = Settings.create("pfitre", prior=tmp_path / "one.npz", iterations=5)
    assert settings.iterations == 5 and settings.rho == pytest.approx(0.03)
    assert (
        Settings.create("pfitre", prior=prior).iterations == methods.METHODS["pfitre"].defaults["iterations"]
    )


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (({"learned": "all"},), "learned is 'all'; expected one of network, rho, iterations"),
        (({"learned": "rho"},), "unrolled is 1; expected unrolled to be at least 2"),
        (({"learned": "rho", "unrolled": 2}, {}), 'learned = "network" follows one with learned = "rho"'),
        (
            ({"learned": "iterations", "unrolled": 2}, {"learned": "iterations", "unrolled": 3}),
            'learned = "iterations" follows one with learned = "iterations"; expected the same',
        ),
    ],
)
def test_invalid_combinations_of_stages_are_refused(stages, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, stages=tuple(Stage(**stage) for stage in stages)).check()
