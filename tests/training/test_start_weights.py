"""Weights between those at the start of a stage and those that training leads to."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.training.config import Stage, TrainingConfig
from pfitre_jax.training.parameters import TrainableParameters
from pfitre_jax.training.start_weights import check_start_weights, mix_start_weights

SMALL = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8, expected_error=True)


@dataclasses.dataclass(frozen=True)
class State:
    """What the mean needs of the state of a training."""

    average: TrainableParameters


def weights(seed: int) -> TrainableParameters:
    return TrainableParameters(NetworkPrior.create(SMALL, jax.random.key(seed)).params)


def test_the_output_of_the_expected_error_remains_as_trained():
    start, trained = weights(0), weights(1)
    mixed = mix_start_weights(State(trained), start, 0.3).average.network
    head = jax.tree.leaves(mixed["error_head"]), jax.tree.leaves(trained.network["error_head"])
    for ours, theirs in zip(*head, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    others = (
        jax.tree.leaves({k: v for k, v in p.items() if k != "error_head"})
        for p in (mixed, start.network, trained.network)
    )
    for ours, before, after in zip(*others, strict=True):
        np.testing.assert_allclose(ours, 0.3 * before + 0.7 * after, atol=1e-6)


def test_without_a_share_nothing_changes():
    state = State(weights(1))
    assert mix_start_weights(state, None, 0.0) is state


def test_a_share_holds_until_a_stage_has_its_own():
    first, second, third = Stage(steps=4), Stage(steps=3, start_share=0.5), Stage(steps=2, start_share=0.1)
    config = TrainingConfig(stages=(first, second, Stage(steps=5), third))
    assert [config.active_start_share(step) for step in (0, 3, 4, 6, 11, 12, 13, 20)] == [
        (0, 0.0), (0, 0.0), (4, 0.5), (4, 0.5), (4, 0.5), (12, 0.1), (12, 0.1), (12, 0.1)
    ]  # fmt: skip


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_beyond_its_range_is_refused(share):
    with pytest.raises(ValueError, match=r"start_share is .*; expected at least 0 and less than 1"):
        Stage(start_share=share)


def test_a_share_is_refused_where_a_prior_for_each_iteration_is_learned():
    stages = (Stage(start_share=0.5), Stage(unrolled=2, learned="iterations"))
    with pytest.raises(ValueError, match=r"start_share 0\.5 and it or a later one"):
        TrainingConfig(stages=stages).check()


def test_weights_after_the_start_of_the_share_are_refused_before_the_run(tmp_path):
    config = TrainingConfig(stages=(Stage(steps=4), Stage(steps=3, start_share=0.5)))
    for step in (0, 3, 4):
        check_start_weights(config, step, tmp_path)
    with pytest.raises(ValueError, match=r"start\.npz does not exist; expected the weights after 4 steps"):
        check_start_weights(config, 5, tmp_path)
    (tmp_path / "start.npz").touch()
    check_start_weights(config, 5, tmp_path)
