"""Wavelets against PyWavelets, orthonormality at any size, and the effect of cycle spinning."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import pywt

from pfitre_jax.contrib.wavelet import FILTERS, Wavelet, analyse, synthesise

FAMILIES = list(FILTERS)
ANALYSE = jax.jit(analyse, static_argnums=(1, 2))
SYNTHESISE = jax.jit(synthesise, static_argnums=2)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def square(n=32):
    image = np.zeros((n, n))
    image[9:22, 5:18] = 1.0
    return image


@pytest.mark.parametrize("family", FAMILIES)
def test_coefficients_agree_with_pywavelets(family):
    """Periodic, where the size has the factors of two that it needs."""
    with jax.enable_x64(True):
        approximation, details = ANALYSE(jnp.asarray(noise(24, 32)), 3, family)
    theirs = pywt.wavedec2(noise(24, 32), family, mode="periodization", level=3)
    np.testing.assert_allclose(approximation, theirs[0], atol=1e-12)
    for (low_high, high_low, high_high), (along_x, along_y, both) in zip(details, theirs[:0:-1], strict=True):
        # Their "horizontal" details are high along y.
        np.testing.assert_allclose(low_high, along_y, atol=1e-12)
        np.testing.assert_allclose(high_low, along_x, atol=1e-12)
        np.testing.assert_allclose(high_high, both, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shape", [(16, 16), (9, 11), (1, 6), (3, 2)])
def test_orthonormal_at_any_size(family, shape):
    """Scalar products and the number of values are kept, and the inverse is exact."""
    with jax.enable_x64(True):
        a, b = (jnp.asarray(noise(*shape, seed=s)) for s in (0, 1))
        coefficients = [ANALYSE(x, 3, family) for x in (a, b)]
        flat = [np.concatenate([np.ravel(c) for c in jax.tree.leaves(t)]) for t in coefficients]
        assert flat[0].size == a.size
        np.testing.assert_allclose(flat[0] @ flat[0], np.sum(a**2), rtol=1e-12)
        np.testing.assert_allclose(flat[0] @ flat[1], np.sum(a * b), rtol=1e-10)
        np.testing.assert_allclose(SYNTHESISE(*coefficients[0], family), a, atol=1e-12)


def test_details_vanish_on_polynomials_of_the_family():
    """Away from the periodic border: Haar on constants, db2 on ramps too."""
    ramp = jnp.asarray(np.add.outer(np.arange(16.0), 2 * np.arange(16.0)), jnp.float32)
    finest = lambda family, x: ANALYSE(x, 1, family)[1][0]  # noqa: E731
    inside = lambda family, x: max(np.abs(d[1:-1, 1:-1]).max() for d in finest(family, x))  # noqa: E731
    assert inside("haar", jnp.ones((16, 16))) < 1e-6 and inside("haar", ramp) > 0.1
    assert inside("db2", ramp) < 1e-4


def test_a_strong_prox_leaves_the_approximation():
    strong = jax.jit(lambda v: Wavelet(0.0, levels=2, family="haar").prox(v, 1e3))
    v = noise(8, 8).astype(np.float32)
    blocks = v.reshape(2, 4, 2, 4).mean(axis=(1, 3)).repeat(4, 0).repeat(4, 1)
    np.testing.assert_allclose(strong(v), blocks, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda v: Wavelet(0.0).prox(v, 0.0))(v), v, atol=1e-6)


def denoised(v, **options):
    wavelet = Wavelet(0.004, levels=2, family="haar", **options)
    return np.asarray(jax.jit(lambda v: wavelet.denoise(v, correction=None, wedge=None, rho=0.02))(v))


def test_cycle_spinning_is_shift_invariant_and_denoises_better():
    v = (square() + 0.2 * noise(32, 32)).astype(np.float32)
    error = lambda x: np.linalg.norm(x - square())  # noqa: E731
    assert error(denoised(v, shifts=4)) < 0.9 * error(denoised(v)) < 0.9 * error(v)
    move = lambda x: np.roll(x, (1, 3), (0, 1))  # noqa: E731
    np.testing.assert_allclose(denoised(move(v), shifts=4), move(denoised(v, shifts=4)), atol=1e-5)
    assert np.abs(denoised(move(v)) - move(denoised(v))).max() > 0.1


def test_without_spinning_denoise_is_the_prox_at_weight_over_rho():
    v = noise(9, 7).astype(np.float32)
    prox = jax.jit(lambda v: Wavelet(0.0, levels=2, family="haar").prox(v, 0.2))
    np.testing.assert_allclose(denoised(v), prox(v), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "db9"}, "family is 'db9'; expected one of haar, db2"),
        ({"levels": 0}, "levels is 0; expected a whole number of at least 1"),
        ({"shifts": 2.5}, "shifts is 2.5; expected a whole number"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Wavelet(1e-3, **settings)
