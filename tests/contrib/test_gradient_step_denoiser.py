"""The gradient-step denoiser against its definition."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.contrib.gradient_step import GradientStep
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Prior
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Matrix(Prior):
    """A linear denoiser that adds ``rho`` times the data correction."""

    matrix: Any

    def denoise(self, v, *, correction, wedge, rho):
        return (self.matrix @ v.ravel()).reshape(v.shape) + rho * correction


def test_linear_denoiser_agrees_with_the_closed_form():
    """``D(v) = v - (1 - N)^T ((1 - N) v - rho gradient)``, with the data gradient held constant."""
    rng = np.random.default_rng(0)
    v, gradient, N = rng.random((4, 5)), rng.random((4, 5)), rng.standard_normal((20, 20))
    rest, context = (
        np.eye(20) - N,
        {"correction": jnp.asarray(gradient), "wedge": Wedge(0.3, 1.0), "rho": 0.2},
    )
    removed = rest @ v.ravel() - 0.2 * gradient.ravel()
    prior = GradientStep(Matrix(jnp.asarray(N)))
    np.testing.assert_allclose(prior.value(jnp.asarray(v), **context), removed @ removed / 2, rtol=1e-5)
    np.testing.assert_allclose(
        np.ravel(prior.denoise(jnp.asarray(v), **context)), v.ravel() - rest.T @ removed, atol=1e-4
    )


@pytest.mark.slow
def test_denoising_step_is_the_gradient_of_the_value():
    """Central differences along random directions, in double precision."""
    with jax.enable_x64(True):
        config = UNetConfig(channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4)
        network = NetworkPrior.create(config, jax.random.key(0))
        leaves, tree = jax.tree.flatten(network)
        rng = np.random.default_rng(1)
        leaves = [jnp.asarray(leaf, float) + 0.1 * rng.standard_normal(leaf.shape) for leaf in leaves]
        prior = GradientStep(jax.tree.unflatten(tree, leaves))
        v, gradient, *directions = jnp.asarray(rng.random((5, 9, 11)))
        context = {"correction": gradient, "wedge": Wedge(1.9, 1.5), "rho": 0.05}
        value = jax.jit(lambda v: prior.value(v, **context))
        moved = v - jax.jit(lambda v: prior.denoise(v, **context))(v)
        for d in directions:
            slope = (value(v + 1e-6 * d) - value(v - 1e-6 * d)) / 2e-6
            assert abs(slope) > 1e-3
            np.testing.assert_allclose(jnp.sum(moved * d), slope, rtol=1e-6)


def test_initial_iterations_are_those_of_the_wrapped_prior():
    config = UNetConfig(channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4)
    card = {"trained_on": {"first_iterations": 7}}
    network = jax.eval_shape(lambda: NetworkPrior.create(config, jax.random.key(0), card))
    assert GradientStep(network).info.initial_iterations == 7
    assert GradientStep(Matrix(jnp.eye(3))).info.initial_iterations == 0
