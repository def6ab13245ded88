"""Windowed prior: the prior inside the window, a blur outside."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax.estimation.support import MARGIN, field_of_view
from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.priors.unrolled import UnrolledPrior
from pfitre_jax.priors.window import TAPER, Windowed


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fill(Prior):
    """A prior that proposes a constant."""

    value: float
    info = PriorInfo(initial_iterations=3)

    has_expected_error = True

    def denoise(self, v, *, correction, wedge, rho):
        return jnp.full_like(v, self.value)

    def expected_error(self, v, *, correction, wedge, rho):
        return jnp.full_like(v, self.value)


def denoise(prior, v):
    return prior.denoise(v, correction=v, wedge=Wedge(0.3, 1.5), rho=0.005)


@pytest.mark.parametrize("shape", [(100, 100), (100, 81), (2, 100, 100)])
def test_the_prior_acts_inside_and_a_blur_far_outside(shape):
    v = jax.random.uniform(jax.random.key(0), shape)
    z = denoise(Windowed(Fill(7.0), 60), v)
    top, left = (max(n - 60, 0) // 2 for n in shape[-2:])
    whole = [slice(m + TAPER, n - m - TAPER) for n, m in zip(shape[-2:], (top, left), strict=True)]
    np.testing.assert_allclose(z[(..., *whole)], 7, rtol=1e-6)
    # The kernel's variance is 1.
    blurred = gaussian_filter(np.asarray(v), (0,) * (len(shape) - 2) + (1, 1), mode="nearest")
    outside = np.r_[0 : top - 1, shape[-2] - top + 1 : shape[-2]]
    np.testing.assert_allclose(z[..., outside, :], blurred[..., outside, :], atol=0.03)
    assert abs(float(z[..., outside, :].mean() - v[..., outside, :].mean())) < 0.01


def test_the_window_scales_with_the_image():
    """At a coarser level the prior acts in the same part of the sample."""
    coarse = jax.random.uniform(jax.random.key(0), (50, 50))
    z = denoise(Windowed(Fill(7.0), 60, 100), coarse)
    np.testing.assert_allclose(z[18:32, 18:32], 7, rtol=1e-6)
    assert float(z[:9].max()) < 1.1 and float(z[:, -9:].max()) < 1.1
    fine = jax.random.uniform(jax.random.key(1), (100, 100))
    np.testing.assert_array_equal(
        denoise(Windowed(Fill(7.0), 60, 100), fine), denoise(Windowed(Fill(7.0), 60), fine)
    )


def test_a_window_as_large_as_the_image_is_the_prior():
    v = jax.random.uniform(jax.random.key(0), (20, 24))
    np.testing.assert_array_equal(denoise(Windowed(Fill(2.0), 24), v), 2)


def test_a_constant_is_preserved():
    np.testing.assert_allclose(denoise(Windowed(Fill(2.0), 40), jnp.full((90, 90), 2.0)), 2, rtol=1e-6)


def test_info_is_that_of_the_inner_prior():
    prior = Windowed(Fill(1.0), 8)
    assert prior.info == Fill.info and prior.info.initial_iterations == 3


def test_an_unrolled_prior_keeps_its_rho():
    prior = Windowed(UnrolledPrior(Fill(jnp.array([1.0, 2.0])), jnp.array([0.1, 0.2])), 40)
    assert prior.info.iterations == 2
    assert float(denoise(prior, jnp.zeros((90, 90)))[45, 45]) == 2


@pytest.mark.parametrize("center", [24.5, 20.0, 30.2])
def test_the_field_of_view_contains_the_rotated_detector(center):
    side = field_of_view(ParallelGeometry.create(np.linspace(-1, 1, 5), 50, center))
    reach = max(center + 0.5, 49.5 - center)
    assert side % 2 == 0 and 0 <= side / 2 - MARGIN - reach < 1


def test_the_expected_error_is_that_of_the_prior_inside_and_the_value_outside():
    v = -jax.random.uniform(jax.random.key(0), (100, 100))
    prior = Windowed(Fill(7.0), 60)
    error = prior.expected_error(v, correction=v, wedge=Wedge(0.3, 1.5), rho=0.005)
    assert prior.has_expected_error and not Windowed(Nonnegative(), 60).has_expected_error
    np.testing.assert_allclose(error[37:63, 37:63], 7, rtol=1e-6)
    assert abs(float(error[:18].mean() + v[:18].mean())) < 0.01
