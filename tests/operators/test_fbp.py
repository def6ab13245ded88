"""Filtered backprojection against scikit-image and discs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import disc_image, disc_sinogram
from skimage.transform import iradon

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.fbp import FILTERS, fbp, half_scan_weights
from pfitre_jax.operators.fbp import angular_weights as eager_weights
from pfitre_jax.operators.projector import Projector

angular_weights = jax.jit(eager_weights)
N = 65
HALF_TURN = np.linspace(0, np.pi, 90, endpoint=False)
DISC = (5.0, -3.0, 17.0, 0.7)


def reconstruct(sinogram, theta, center, filter="ramp", n=N):
    A = Projector(ParallelGeometry.create(theta, n, center))
    return np.asarray(jax.jit(lambda A, y: fbp(A, y, filter))(A, jnp.asarray(sinogram)))


def distance(x, y, n=N):
    k = np.arange(n) - (n - 1) / 2
    return np.hypot(k[None, :] - x, -k[:, None] - y)


def test_disc_has_its_value_and_mass():
    center = 32.6
    out = reconstruct(disc_sinogram([DISC], HALF_TURN, N, center), HALF_TURN, center)
    x, y, radius, value = DISC
    assert abs(out[distance(x, y) < radius - 2].mean() / value - 1) < 1e-3
    # Mass counts inside the field only: beyond it not every view reaches, and it is too high.
    field = distance(0, 0) < 32
    assert abs(out[field].mean() / disc_image([DISC], N)[field].mean() - 1) < 3e-3
    # Streaks of 90 views.
    assert np.sqrt(np.mean(out[field & (distance(x, y) > radius + 2)] ** 2)) < 0.03 * value


@pytest.mark.parametrize("filter", FILTERS)
def test_agrees_with_scikit_image(filter):
    """Sizes are odd, so that the centre of scikit-image (pixel and bin n//2) is the same."""
    sinogram = disc_sinogram([DISC, (-15.0, 8.0, 4.0, 1.0)], HALF_TURN, N, 32.0)
    theirs = iradon(sinogram.T, np.rad2deg(HALF_TURN), filter_name=filter, circle=True)
    inside = distance(0, 0) < 31
    gap = (reconstruct(sinogram, HALF_TURN, 32.0, filter) - theirs)[inside]
    # scikit-image interpolates filtered views; pfitre_jax backprojects with the projector's footprint.
    assert np.linalg.norm(gap) < 0.04 * np.linalg.norm(theirs[inside])
    assert abs(gap.mean()) < 1e-3 * np.abs(theirs[inside]).mean() + 1e-4


def test_uneven_angles_are_weighted():
    """Sampling half of the range twice as densely gives the same disc."""
    theta = np.concatenate([np.linspace(0, np.pi / 2, 90, False), np.linspace(np.pi / 2, np.pi, 45, False)])
    out = reconstruct(disc_sinogram([DISC], theta, N, 32.0), theta, 32.0)
    assert abs(out[distance(*DISC[:2]) < 15].mean() / DISC[3] - 1) < 5e-3


def test_angular_weights():
    even = angular_weights(jnp.asarray(HALF_TURN))
    np.testing.assert_allclose(even, np.pi / 90, rtol=1e-4)
    shuffled = np.random.default_rng(0).permutation(HALF_TURN) + np.pi * 7
    np.testing.assert_allclose(angular_weights(jnp.asarray(shuffled)).sum(), np.pi, rtol=1e-4)
    # The missing wedge is not assigned to its adjacent views, which have the weight of one spacing.
    np.testing.assert_allclose(
        angular_weights(jnp.deg2rad(jnp.arange(0.0, 84.0, 2.0))), np.deg2rad(2), rtol=1e-4
    )


def repeated(kind, theta, rng):
    """Indices into ``theta``: several exposures of every angle, or one angle in most views."""
    return {
        "three of each": np.repeat(np.arange(theta.size), 3),
        "sweeps": np.tile(np.arange(theta.size), 3),
        "one angle in most views": np.r_[np.full(300, 7), np.arange(theta.size)],
        "some more often": np.r_[rng.permutation(theta.size), rng.integers(0, theta.size, 40)],
    }[kind]


@pytest.mark.parametrize("kind", ["three of each", "sweeps", "one angle in most views", "some more often"])
@pytest.mark.parametrize("arc", [180, 150])
@pytest.mark.parametrize("jitter_deg", [0.0, 1e-3, 0.05])
def test_repeated_angles_count_as_the_mean_of_their_views(kind, arc, jitter_deg):
    """The image is that of the averaged views, whether an encoder repeats the angle exactly or nearly."""
    rng = np.random.default_rng(3)
    theta = np.deg2rad(np.arange(0, arc, 2.0))
    views = repeated(kind, theta, rng)
    sinogram = disc_sinogram([DISC], theta, N, 32.0)
    noise = 0.1 * rng.standard_normal((views.size, N)).astype(np.float32)
    mean = np.stack([(sinogram[views] + noise)[views == v].mean(axis=0) for v in range(theta.size)])
    angles = theta[views] + np.deg2rad(jitter_deg) * rng.uniform(-1, 1, views.size)
    out = reconstruct(sinogram[views] + noise, angles, 32.0)
    expected = reconstruct(mean, theta, 32.0)
    inside = distance(0, 0) < 31
    error = np.linalg.norm((out - expected)[inside]) / np.linalg.norm(expected[inside])
    assert error < (1e-5 if jitter_deg == 0 else 0.06)


def test_views_half_a_turn_apart_share_their_angle():
    weights = angular_weights(jnp.asarray(np.r_[HALF_TURN, HALF_TURN[:30] + np.pi]))
    np.testing.assert_allclose(weights[:30], np.pi / 180, rtol=1e-3)
    np.testing.assert_allclose(weights[30:90], np.pi / 90, rtol=1e-3)
    np.testing.assert_allclose(angular_weights(jnp.full(5, 1.0)), np.pi / 5, rtol=1e-5)


def test_unknown_filter_is_refused():
    with pytest.raises(ValueError, match="unknown filter 'ram'; expected one of ramp"):
        reconstruct(np.zeros((90, N), np.float32), HALF_TURN, 32.0, "ram")


class TestHalfAcquisition:
    """An axis near the edge of the detector, and views over a whole turn."""

    discs = ((2.0, -4.0, 27.0, 0.02), (15.6, 5.8, 6.4, 0.04), (-11.7, -9.8, 4.9, -0.015))

    def error(self, columns: int, center: float, theta: np.ndarray) -> float:
        """Relative error, within 33.5 bins of the axis, of an object that reaches 31.7 bins from it."""
        A = Projector(ParallelGeometry.create(theta, columns, center), (68, 68))
        image = jax.jit(lambda A, y: fbp(A, y))(A, disc_sinogram(self.discs, theta, columns, center))
        truth = disc_image(self.discs, 68)
        inside = disc_image([(0.0, 0.0, 33.5, 1.0)], 68)
        return float(np.linalg.norm(inside * (image - truth)) / np.linalg.norm(truth))

    @pytest.mark.parametrize(("columns", "center"), [(36, 2.0), (36, 33.0), (50, 10.3)])
    @pytest.mark.parametrize(("views", "endpoint"), [(180, False), (181, True)])
    def test_the_image_is_complete(self, columns, center, views, endpoint):
        theta = np.linspace(0, 2 * np.pi, views, endpoint=endpoint)
        whole = self.error(68, 33.5, np.linspace(0, np.pi, 180, endpoint=False))
        assert self.error(columns, center, theta) < 1.15 * whole < 0.08

    def test_the_weights_of_the_two_views_of_a_ray_add_up_to_two(self):
        theta = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        weights = half_scan_weights(ParallelGeometry.create(theta, 60, 20.0))
        np.testing.assert_allclose(weights[0, :41] + weights[0, 40::-1], 2, atol=1e-6)
        np.testing.assert_allclose(weights[0, 41:], 2, atol=1e-6)
        np.testing.assert_allclose(weights[0, 18:23], 1, atol=1e-6)
