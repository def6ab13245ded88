"""Directional total variation: TV where the ratio is 1, and the stated sum where it is not."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.finite_differences import gradient
from pfitre_jax.priors.directional_tv import DirectionalTV
from pfitre_jax.priors.tv import TV


def picture(shape=(12, 15)):
    return jnp.asarray(np.random.default_rng(3).standard_normal(shape) + 0.5)


@pytest.mark.parametrize("direction", [0.0, 0.9, 2.5])
def test_ratio_1_is_tv_for_any_direction(direction):
    with jax.enable_x64(True):
        v = picture()
        directional = DirectionalTV(0.2, iterations=3000, direction_rad=direction, ratio=1.0)
        tv = TV(0.2, iterations=3000)
        np.testing.assert_allclose(jax.jit(directional.prox)(v, 0.2), jax.jit(tv.prox)(v, 0.2), atol=1e-6)
        np.testing.assert_allclose(directional.value(v), tv.value(v), rtol=1e-12)


def ramp(angle_rad, shape=(9, 9)):
    """An image that rises by 1 per pixel in the direction of a view angle; y points up."""
    i, j = np.indices(shape)
    return jnp.asarray(j * np.cos(angle_rad) - i * np.sin(angle_rad))


@pytest.mark.parametrize("wedge_center", [0.0, 0.7, 1.9])
def test_a_ramp_across_the_wedge_is_weighted_by_the_ratio(wedge_center):
    with jax.enable_x64(True):
        tv = DirectionalTV(1.0, direction_rad=wedge_center, ratio=3.0)
        inner = np.s_[:, :-1, :-1]
        slope = lambda angle: np.linalg.norm(tv._gradient(ramp(angle))[inner], axis=0)  # noqa: E731
        np.testing.assert_allclose(slope(wedge_center), 1)
        np.testing.assert_allclose(slope(wedge_center + np.pi / 2), 3)


def test_adjoint_and_norm():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, p = jnp.asarray(rng.standard_normal((8, 11))), jnp.asarray(rng.standard_normal((2, 8, 11)))
        for ratio in (0.3, 2.0):
            tv = DirectionalTV(1.0, direction_rad=0.8, ratio=ratio)
            assert jnp.vdot(tv._gradient(x), p) == pytest.approx(float(jnp.vdot(x, tv._adjoint(p))))
            u = x
            for _ in range(60):
                u = tv._adjoint(tv._gradient(u))
                u = u / jnp.linalg.norm(u)
            assert jnp.sum(tv._gradient(u) ** 2) < tv._norm_squared(2)


def test_denoise_uses_the_direction_of_the_wedge():
    v = picture().astype(jnp.float32)
    tv = DirectionalTV(0.004, ratio=2.0)
    out = tv.denoise(v, correction=None, wedge=Wedge(0.9, 1.5), rho=jnp.asarray(0.02))
    along = dataclasses.replace(tv, direction_rad=0.9)
    np.testing.assert_allclose(out, along.prox(v, 0.2), atol=1e-6)
    assert np.abs(out - tv.prox(v, 0.2)).max() > 0.01
    assert np.linalg.norm(gradient(out)) < np.linalg.norm(gradient(v))
