"""Training on several devices is equivalent to training on one."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from pfitre_jax.priors.files import load

CODE = """
import sys
from pathlib import Path
import jax
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.training.config import Pool, Report, Stage, TrainingConfig
from pfitre_jax.training.training_run import train
from pfitre_jax.twin.pairs import PairSettings
from pfitre_jax.twin.scenes.mixture import SceneMixture

train(
    TrainingConfig(
        name="tiny",
        network=UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8),
        pairs=PairSettings(size=32, slices=4, cg_iterations=2),
        scenes=SceneMixture(circuits=0, patterns=0, blobs=1),
        pool=Pool(views=(16,), scans=1, iterations=2),
        stages=(Stage(steps=3, rate=0.01, warm_up=1, unrolled=2),),
        report=Report(log_every=3, validate_every=3, checkpoint_every=3, validation=1),
    ),
    Path(sys.argv[1]),
)
print(len(jax.local_devices()))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights after a few steps on one and on two devices."""
    results = {}
    for devices in (1, 2):
        folder = tmp_path_factory.mktemp("runs") / str(devices)
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        done = subprocess.run(
            [sys.executable, "-c", CODE, str(folder)],
            env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == str(devices)
        results[devices] = load(folder / "tiny.npz")
    return results


@pytest.mark.slow
def test_two_devices_give_the_weights_of_one(trained):
    one, two = (trained[devices].params for devices in (1, 2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), one, two)
    scores = [trained[devices].info.card["training_scores"] for devices in (1, 2)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
