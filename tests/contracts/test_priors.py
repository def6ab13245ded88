"""Contract of every prior, applied to one list; proximal operators must also satisfy their definition."""

from __future__ import annotations

import dataclasses

import documented
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contract import check_close, check_gradient, random_like

from pfitre_jax.baselines.published import network as published_network
from pfitre_jax.baselines.published.checkpoint import PublishedPrior
from pfitre_jax.baselines.published.network import PublishedConfig
from pfitre_jax.contrib.gradient_step import GradientStep
from pfitre_jax.contrib.planes import Planes
from pfitre_jax.contrib.wavelet import Wavelet
from pfitre_jax.geometry import Wedge
from pfitre_jax.interfaces import Card, PriorInfo
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.directional_tv import DirectionalTV
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.priors.tv import TV
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.priors.window import Windowed

SHAPE = (9, 11)


def network() -> NetworkPrior:
    config = UNetConfig(channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4)
    prior = NetworkPrior.create(config, jax.random.key(0))
    return jax.tree.map(lambda p, r: p + 0.1 * r, prior, random_like(prior, 5))


def published() -> PublishedPrior:
    config = PublishedConfig(filters=2)
    return PublishedPrior(published_network.init(config, jax.random.key(0)), config)


PROXES = {
    "tv": lambda: TV(jnp.asarray(0.004), iterations=400),
    "tv, any sign": lambda: TV(jnp.asarray(0.004), nonnegative=False, iterations=400),
    "directional tv": lambda: DirectionalTV(
        jnp.asarray(0.004), iterations=400, direction_rad=jnp.asarray(0.6), ratio=jnp.asarray(1.7)
    ),
    "nonnegative": Nonnegative,
    "wavelet": lambda: Wavelet(jnp.asarray(0.004)),
    "sparse of the docs": lambda: documented.run("add/prior.md", "sparse.py")["Sparse"](jnp.asarray(0.004)),
}
PRIORS = PROXES | {
    "network": network,
    "gradient step": lambda: GradientStep(network()),
    "wavelet, cycle spinning": lambda: Wavelet(jnp.asarray(0.004), levels=2, shifts=3),
    "windowed": lambda: Windowed(network(), 7),
    "unrolled": lambda: UnrolledPrior.create(network(), 0.05, 2),
    "planes": lambda: Planes(network()),
    "published": published,
}


#: Priors that share nearly all of their code with another one of the list.
VARIANTS = (
    "tv, any sign",
    "wavelet, cycle spinning",
    "gradient step",
    "windowed",
    "unrolled",
    "planes",
    "published",
)
MARKED = [pytest.param(name, marks=[pytest.mark.slow] * (name in VARIANTS)) for name in PRIORS]


@pytest.fixture(params=MARKED, name="prior")
def _prior(request):
    return PRIORS[request.param]()


def denoise(prior, v, rho=0.05):
    return prior.denoise(v, correction=v[::-1], wedge=Wedge(1.9, 1.5), rho=rho)


def image(seed=2, count=()):
    return 0.3 + random_like(jnp.zeros((*count, *SHAPE), jnp.result_type(float)), seed) / 3


def test_jit_equals_eager_and_traces_once(prior):
    traces = []

    @jax.jit
    def apply(prior, v, rho):
        traces.append(1)
        return denoise(prior, v, rho)

    first = apply(prior, image(), 0.05)
    apply(jax.tree.map(lambda a: 1.1 * a, prior), image(3), 0.02)
    assert len(traces) == 1
    check_close(first, denoise(prior, image()))


def test_vmap_equals_loop(prior):
    batch = image(count=(3,))
    one = jax.jit(lambda v: denoise(prior, v))
    check_close(jax.jit(jax.vmap(one))(batch), jnp.stack([one(v) for v in batch]))


def test_gradient_agrees_with_finite_differences(prior):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda a: a.astype(jnp.float64), prior)
        if isinstance(prior, TV):
            # Unrolled exactly as it runs; a converged dual sits on kinks.
            wide = dataclasses.replace(wide, iterations=7)

        def loss(arguments):
            v, log_rho = arguments
            return jnp.sum(jnp.sin(denoise(wide, v, jnp.exp(log_rho))))

        check_gradient(loss, (image(), jnp.log(jnp.asarray(0.05))), rtol=1e-5)


def test_info_is_complete_and_each_iteration_has_a_prior(prior):
    assert isinstance(prior.info, PriorInfo) and isinstance(prior.info.card, Card)
    proposal = jax.eval_shape(lambda v, k: denoise(prior.at(k), v), image(), 1)
    assert proposal.shape == SHAPE


@pytest.mark.parametrize("x64", [False, True])
def test_dtype_is_kept(prior, x64):
    with jax.enable_x64(x64):
        assert jax.eval_shape(lambda v: denoise(prior, v), image()).dtype == image().dtype


@pytest.mark.parametrize("make", PROXES.values(), ids=PROXES)
@pytest.mark.parametrize("strength", [0.0, 0.02, 0.3])
def test_a_prox_is_the_minimum(make, strength):
    """No perturbation lowers ``1/2 |x - v|^2 + strength g(x)``."""
    with jax.enable_x64(True):
        prior = make()
        if hasattr(prior, "weight"):
            prior = dataclasses.replace(prior, weight=strength)
        if isinstance(prior, TV):
            prior = dataclasses.replace(prior, iterations=4000)
        constrained = getattr(prior, "nonnegative", not isinstance(prior, Wavelet))
        v = image()
        x = jax.jit(prior.prox)(v, strength)
        cost = jax.jit(lambda x: jnp.sum((x - v) ** 2) / 2 + prior.value(x))
        lowest = cost(x)
        assert lowest < cost(jnp.maximum(v + 0.01, 0)), "the starting point is as good: nothing was checked"
        # Away from every pixel, toward flatter and rougher images, shifts of all pixels; small and large.
        flat = jnp.full_like(x, jnp.mean(x))
        directions = [random_like(x, seed) for seed in range(6)] + [flat - x, v - x, jnp.ones_like(x)]
        for direction in directions:
            for step in (1e-4, -1e-4, 1e-2, -1e-2, 0.3):
                near = x + step * direction
                near = jnp.maximum(near, 0) if constrained else near
                assert cost(near) >= lowest - 1e-8


@pytest.mark.parametrize("make", PROXES.values(), ids=PROXES)
def test_a_prox_is_firmly_nonexpansive(make):
    """``|P a - P b|^2 <= <P a - P b, a - b>``."""
    prox = jax.jit(make().prox)
    for seed in range(3):
        a, b = image(seed), image(seed + 10)
        moved = np.asarray(prox(a, 0.1) - prox(b, 0.1))
        assert np.sum(moved**2) <= np.sum(moved * np.asarray(a - b)) * (1 + 1e-4)
