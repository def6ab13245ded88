"""Total variation against scikit-image and closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.restoration import denoise_tv_bregman, denoise_tv_chambolle

from pfitre_jax.baselines.published.loop import TV_STRENGTH
from pfitre_jax.operators.finite_differences import gradient, total_variation
from pfitre_jax.priors.tv import TV


def picture(n=24):
    rng = np.random.default_rng(0)
    image = np.zeros((n, n))
    image[5:15, 8:20] = 1.0
    image[12:22, 3:9] = 0.6
    return image + 0.1 * rng.standard_normal((n, n))


def prox(v, strength, iterations=2000, **options):
    tv = TV(0.0, iterations=iterations, **options)
    return np.asarray(jax.jit(tv.prox)(jnp.asarray(v), strength))


@pytest.mark.parametrize("strength", [0.05, 0.3])
def test_prox_agrees_with_chambolle(strength):
    with jax.enable_x64(True):
        ours = prox(picture(), strength, nonnegative=False)
    theirs = denoise_tv_chambolle(picture(), weight=strength, eps=1e-12, max_num_iter=20000)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_the_published_smoothing_is_a_prox_of_the_documented_strength():
    """scikit-image's Bregman TV, which the original calls, minimises ``TV(x) + weight/2 |x - v|^2``.

    So the strength is 1/weight. Only at its weight of 200: at smaller ones the smoothed shrinkage that
    scikit-image uses (``s^2/(s + 1/lambda)`` for ``max(s - 1/lambda, 0)``) is no longer TV's.
    """
    with jax.enable_x64(True):
        ours = prox(picture(), TV_STRENGTH, nonnegative=False)
        theirs = denoise_tv_bregman(picture(), 200, eps=1e-9, max_num_iter=5000)
    # Its border differs: forward differences continue into a reflected line.
    inner = (slice(3, -3), slice(3, -3))
    change = np.linalg.norm((theirs - picture())[inner])
    assert np.linalg.norm((ours - theirs)[inner]) < 0.05 * change


def test_total_variation_of_a_rectangle_is_its_perimeter():
    image = jnp.zeros((20, 30)).at[4:10, 7:19].set(2.0)
    # The corner where both differences meet counts sqrt(2), not 2.
    assert abs(total_variation(image) - 2 * (2 * (6 + 12) - 2 + 2**0.5)) < 1e-4


def test_a_strong_prox_is_the_mean_and_a_zero_one_the_image():
    v = picture()
    with jax.enable_x64(True):
        np.testing.assert_allclose(prox(v, 50.0, nonnegative=False), v.mean(), atol=1e-5)
        np.testing.assert_allclose(prox(v, 0.0), np.maximum(v, 0), atol=1e-12)


def test_support_and_sign_are_constraints_inside():
    """The result differs from clipping afterwards and has a lower constrained objective."""
    v, strength = picture() - 0.2, 0.2
    support = (np.hypot(*(np.indices(v.shape) - 11.5)) < 10).astype(float)
    with jax.enable_x64(True):
        tv = TV(0.0, iterations=2000)
        inside = np.asarray(tv.prox(jnp.asarray(v), strength, jnp.asarray(support)))
        after = support * np.maximum(prox(v, strength, nonnegative=False), 0)
        cost = lambda x: np.sum((x - v) ** 2) / 2 + strength * total_variation(jnp.asarray(x))  # noqa: E731
        assert np.all(inside >= 0) and np.all(inside[support == 0] == 0)
        assert cost(inside) < cost(after) - 1e-3


def test_a_warm_dual_saves_iterations():
    with jax.enable_x64(True):
        v = jnp.asarray(picture())
        best = prox(v, 0.2)
        few = TV(0.0, iterations=10)
        cold, dual = few.prox_dual(v, 0.2, jnp.zeros((2, *v.shape)))
        warm = cold
        for _ in range(5):
            warm, dual = few.prox_dual(v, 0.2, dual)
        assert np.linalg.norm(warm - best) < 0.5 * np.linalg.norm(cold - best)
        assert jnp.max(jnp.sum(dual**2, axis=0)) <= 0.2**2 * (1 + 1e-9)


def test_denoise_is_the_prox_at_weight_over_rho():
    v = jnp.asarray(picture(), jnp.float32)
    tv = TV(0.004)
    out = tv.denoise(v, correction=None, wedge=None, rho=jnp.asarray(0.02))
    np.testing.assert_allclose(out, tv.prox(v, 0.2), atol=1e-6)
    assert np.linalg.norm(gradient(out)) < np.linalg.norm(gradient(v))
