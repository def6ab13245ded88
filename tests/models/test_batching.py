"""Batched evaluation of the network under vmap."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.models import unet
from pfitre_jax.models.batching import GROUP
from pfitre_jax.models.unet_config import UNetConfig

SMALL = UNetConfig(channels=(4, 6, 8), blocks=1, dilations=(1, 2), growth=4, embedding=8)
CONDITION = jnp.array([0.3, -0.5])


@pytest.fixture(scope="module")
def params():
    params, generator = unet.init(SMALL, jax.random.key(0)), np.random.default_rng(0)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), params)


def pictures(*shape):
    return jax.random.uniform(jax.random.key(1), (*shape, 12, 16, 2))


@jax.jit
def expected(params, images):
    return jax.lax.map(lambda image: unet.predict_update(SMALL, params, image, CONDITION), images)


@pytest.mark.parametrize("shape", [(1,), (GROUP,), (2 * GROUP + 1,), (3, 4), (2, 3, 1)])
def test_nested_vmap_equals_the_network_on_each_image(params, shape):
    function = lambda images: unet.predict_updates(SMALL, params, images, CONDITION)  # noqa: E731
    for _ in shape[1:]:
        function = jax.vmap(function)
    images = pictures(*shape)
    outputs = jax.jit(function)(images).reshape(-1, 12, 16)
    np.testing.assert_allclose(outputs, expected(params, images.reshape(-1, 12, 16, 2)), atol=1e-5)


@pytest.mark.slow
def test_other_parameters_and_conditions_for_each_image(params):
    stacked, images = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), params), pictures(2, 1)
    outputs = jax.jit(jax.vmap(lambda p, v: unet.predict_updates(SMALL, p, v, CONDITION)))(stacked, images)
    for k in range(2):
        one = expected(jax.tree.map(lambda a, k=k: a[k], stacked), images[k])
        np.testing.assert_allclose(outputs[k], one, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradient_agrees_with_the_plain_network(params):
    images = pictures(2 * GROUP + 1)
    many = lambda p, v: jnp.sum(unet.predict_updates(SMALL, p, v, CONDITION) ** 2)  # noqa: E731
    each = lambda p, v: jnp.sum(jax.vmap(lambda a: unet.predict_update(SMALL, p, a, CONDITION))(v) ** 2)  # noqa: E731
    ours, theirs = (jax.jit(jax.grad(loss, (0, 1)))(params, images) for loss in (many, each))
    check = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)  # noqa: E731
    jax.tree.map(check, ours, theirs)


def test_batched_evaluation_limits_memory(params):
    """On a CPU; the temporary memory does not grow with the number of images."""
    size = lambda n: (  # noqa: E731
        jax.jit(lambda v: unet.predict_updates(SMALL, params, v, CONDITION))
        .lower(pictures(n))
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
    )
    if jax.default_backend() != "cpu":
        pytest.skip("all at once on another device than a CPU")
    assert size(16 * GROUP) <= 3 * size(2 * GROUP)
