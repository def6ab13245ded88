"""Training of a prior with neighbouring rows on volumes, starting from a prior for single rows."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack

import pfitre_jax as pf
from pfitre_jax.data.scan import Scan
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.files import load, save
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.training.config import Pool, Report, Stage, TrainingConfig
from pfitre_jax.training.config_file import load_config
from pfitre_jax.training.initial_weights import check_weights
from pfitre_jax.training.training_run import train
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.pairs import PairSettings, draw_training_scenes
from pfitre_jax.twin.scenes.mixture import SceneMixture, sample_volume

NETWORK = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=8)
CONFIG = TrainingConfig(
    name="tiny",
    network=dataclasses.replace(NETWORK, in_channels=4),
    pairs=PairSettings(size=32, slices=3, cg_iterations=2, volume=True),
    instrument=Instrument(roll=(0.0, 1.0), row_shift=(0.0, 0.5)),
    pool=Pool(views=(16,), scans=1, iterations=2),
    stages=(Stage(steps=4, rate=0.01, warm_up=1, unrolled=2, name="volume"),),
    report=Report(log_every=1, validate_every=4, checkpoint_every=4, validation=1),
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> NetworkPrior:
    """Weights of a network for single rows."""
    path = tmp_path_factory.mktemp("weights") / "one.npz"
    return save(path, NetworkPrior.create(NETWORK, jax.random.key(0)))


@pytest.fixture(scope="module")
def trained(weights, tmp_path_factory) -> NetworkPrior:
    out = tmp_path_factory.mktemp("run")
    return load(train(CONFIG, out, weights=weights, stage="volume"))


@pytest.mark.slow
def test_rows_of_a_batch_come_from_one_volume():
    key = jax.random.key(5)
    expected = sample_volume(SceneMixture(), key, 3, 64, 1 / 32)
    np.testing.assert_array_equal(draw_training_scenes(key, SceneMixture(), CONFIG.pairs), expected)


@pytest.mark.slow
def test_training_uses_the_neighbouring_rows(weights, trained):
    assert weights.info.reach == 0 and trained.info.reach == 1
    moved = np.abs(trained.params["enter"]["convolution"]["kernel"][:, :, 2:])
    assert moved.max() > 0 and trained.info.card["trained_on"]["size"] == 32


@pytest.mark.slow
def test_the_volume_prior_needs_a_joint_reconstruction(trained):
    scan = Scan.create(disc_stack([[(1.0, 2.0, 5.0 + r, 1.0)] for r in range(3)]), THETA, center=CENTER)
    result = pf.reconstruct(scan, "pfitre", joint=True, prior=trained, rho=0.01, iterations=2)
    assert result.volume.shape[0] == 3 and np.isfinite(result.volume).all() and result.residual.max() < 0.5
    with pytest.raises(ValueError, match="uses the neighbouring rows of every row"):
        pf.reconstruct(scan, "pfitre", prior=trained)


def test_incompatible_settings_are_refused(weights):
    apart = dataclasses.replace(CONFIG, pairs=PairSettings(size=32), instrument=Instrument())
    with pytest.raises(ValueError, match="expected volume = true"):
        apart.check()
    with pytest.raises(ValueError, match="need slices that are rows of one volume"):
        dataclasses.replace(CONFIG, network=NETWORK, pairs=PairSettings()).check()
    other = dataclasses.replace(CONFIG, network=dataclasses.replace(CONFIG.network, growth=8))
    with pytest.raises(ValueError, match="differs only in having fewer in_channels"):
        check_weights(other, weights, None, "volume")


def test_an_unrolled_prior_can_be_widened(weights):
    stacked = UnrolledPrior(jax.tree.map(lambda a: np.stack([a, a]), weights), np.array([0.01, 0.02]))
    wide = stacked.extend(CONFIG.network).prior
    assert wide.params["enter"]["convolution"]["kernel"].shape[:4] == (2, 3, 3, 4)


def test_the_shipped_configuration_starts_from_circuits(data_dir, monkeypatch):
    pytest.importorskip("gdstk")
    monkeypatch.setenv("PFITRE_DATA", str(data_dir))
    config, circuits = load_config("volume"), pf.priors.pretrained("circuits")
    config.check()
    check_weights(config, circuits, None, "volume")
