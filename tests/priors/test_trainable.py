"""Interface of trainable priors: which priors have it, and that adaptation refuses the others."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.trainable import TrainablePrior
from pfitre_jax.priors.tv import TV
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.reconstruction.adapted_prior import check_adaptable

NETWORK = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)


@pytest.fixture(scope="module")
def prior():
    return NetworkPrior.create(NETWORK, jax.random.key(0))


def test_priors_with_a_network_are_trainable(prior):
    assert isinstance(prior, TrainablePrior)
    assert isinstance(UnrolledPrior.create(prior, 0.02, 2), TrainablePrior)
    assert not isinstance(TV(0.1), TrainablePrior)


def test_every_network_of_an_unrolled_prior_is_extended(prior):
    wider = dataclasses.replace(NETWORK, in_channels=4)
    stacked = UnrolledPrior.create(prior, 0.02, 3).extend(wider)
    kernel = stacked.network.params["enter"]["convolution"]["kernel"]
    assert kernel.shape[0] == 3 and kernel.shape[-2] == 4 and not jnp.any(kernel[..., 2:, :])
    assert stacked.info.iterations == 3


def test_adaptation_takes_one_network_without_a_trained_rho(prior):
    assert check_adaptable(prior) is prior
    for other in (TV(0.1), UnrolledPrior.create(prior, 0.02, 2)):
        with pytest.raises(ValueError, match=f"the prior is {type(other).__name__}; expected a NetworkPrior"):
            check_adaptable(other)
