from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from pfitre_jax.baselines.published import network as original
from pfitre_jax.baselines.published.network import PublishedConfig

APPLY = jax.jit(original.apply, static_argnums=0)
TINY = PublishedConfig(filters=2)


@pytest.fixture(scope="module")
def params():
    # Biases are zero at first; a bias that is left out has to show.
    random, generator = original.init(TINY, jax.random.key(0)), np.random.default_rng(1)
    return jax.tree.map(lambda a: a + 0.1 * generator.standard_normal(a.shape, np.float32), random)


def picture(*shape, seed=2):
    return jax.random.uniform(jax.random.key(seed), shape)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def convolve(layer, x, dilation=1):
    """Correlation with a 3x3 kernel as a sum over its taps."""
    kernel, (ny, nx, _) = layer["kernel"], x.shape
    padded = np.pad(x, ((dilation, dilation), (dilation, dilation), (0, 0)))
    taps = [
        padded[a * dilation :, b * dilation :][:ny, :nx] @ kernel[a, b] for a in range(3) for b in range(3)
    ]
    return sum(taps) + layer["bias"]


def halve(layer, x):
    return sum(x[a::2, b::2] @ layer["kernel"][a, b] for a in range(2) for b in range(2)) + layer["bias"]


def double(layer, x):
    result = np.zeros((2 * x.shape[0], 2 * x.shape[1], layer["kernel"].shape[-1]))
    for a in range(2):
        for b in range(2):
            # A flax kernel lies mirrored to the published framework's.
            result[a::2, b::2] = x @ layer["kernel"][1 - a, 1 - b]
    return result


def dense(block, x, dilations, weight, activation):
    outputs = [x]
    for layer, dilation in zip(block["convolutions"].values(), dilations, strict=True):
        last = convolve(layer, np.concatenate(outputs, axis=-1), dilation)
        outputs.insert(0, gelu(last))
    return x + weight * activation(last)


def published(p, image):
    """The forward pass of the published network in numpy, on a size that needs no padding."""
    x = np.stack([(image - image.mean()) / image.std(ddof=1)] * 3, axis=-1)
    full = gelu(convolve(p["encode_full"], x))
    half = gelu(convolve(p["encode_half"], halve(p["down_half"], full)))
    quarter = gelu(convolve(p["encode_quarter"], halve(p["down_quarter"], half)))
    x = quarter
    for _ in range(2):
        x = dense(p["dilated"], x, (2, 4, 8, 4, 2, 1), 1.0, gelu)
        x = dense(p["dense"], x, (1, 1, 1, 1, 1), 0.2, lambda last: last)
    for name, skip in (("decode_half", quarter), ("decode_full", half)):
        x = gelu(convolve(p[name]["convolution"], np.concatenate([x, skip], axis=-1)))
        x = gelu(double(p[name]["double"], x))
    x = gelu(convolve(p["decode"], np.concatenate([x, full], axis=-1)))
    x = x @ p["leave"]["kernel"] + p["leave"]["bias"]
    return x.mean(axis=-1) * image.std(ddof=1) + image.mean()


def test_output_agrees_with_the_published_forward_pass(params):
    with jax.enable_x64(True):
        image = np.asarray(picture(40, 24), np.float64)
        exact = published(jax.tree.map(lambda a: np.asarray(a, np.float64), params), image)
        result = APPLY(TINY, params, jnp.asarray(image))
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, exact, rtol=1e-10, atol=1e-10)


def test_network_has_23_million_parameters():
    params = jax.eval_shape(lambda: original.init(PublishedConfig(), jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) / 1e6 == pytest.approx(23, abs=0.5)


def test_any_image_size_is_accepted(params):
    shape = (9, 14)
    image = picture(*shape)
    result = APPLY(TINY, params, image)
    assert result.shape == shape and result.dtype == image.dtype and np.all(np.isfinite(result))


def test_output_follows_the_scale_and_offset_of_the_image(params):
    image = picture(8, 8)
    moved = APPLY(TINY, params, 3 * image + 2)
    np.testing.assert_allclose(moved, 3 * APPLY(TINY, params, image) + 2, atol=1e-4)


def test_a_blank_image_gives_finite_values(params):
    assert np.all(np.isfinite(APPLY(TINY, params, jnp.zeros((8, 8)))))


def test_jit_is_eager_and_vmap_is_a_loop(params):
    images = picture(3, 8, 8)
    loop = jnp.stack([APPLY(TINY, params, image) for image in images])
    np.testing.assert_allclose(original.apply(TINY, params, images[0]), loop[0], atol=1e-5)
    np.testing.assert_allclose(jax.vmap(lambda i: APPLY(TINY, params, i))(images), loop, atol=1e-5)
