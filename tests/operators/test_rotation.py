"""Rotation by three shears, against analytic images and the projector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.operators.rotation import rotate

ANGLES = [0.0, 0.3, -0.7, np.pi / 4, -np.pi / 4]


def blob(n, x0, y0, sigma=2.5):
    """A Gaussian at ``(x0, y0)``, so smooth that the grid carries it to 1e-7."""
    x = np.arange(n) - (n - 1) / 2
    return jnp.asarray(np.exp(-((x[None] - x0) ** 2 + (-x[:, None] - y0) ** 2) / (2 * sigma**2)), jnp.float32)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("n", [63, 64])
def test_a_blob_moves_by_the_rotation_matrix(angle, n):
    c, s = np.cos(angle), np.sin(angle)
    turned = rotate(blob(n, 12.3, 7.1), angle)
    np.testing.assert_allclose(turned, blob(n, 12.3 * c - 7.1 * s, 12.3 * s + 7.1 * c), atol=2e-6)


@pytest.mark.parametrize("angle", ANGLES)
def test_a_view_of_the_turned_image_is_a_view_of_the_image(angle):
    n = 48
    image = blob(n, 9.0, -4.0) + 0.5 * blob(n, -6.0, 3.0, 4.0)
    theta = np.linspace(0.1, 3.0, 7)
    view = lambda image, theta: Projector(ParallelGeometry.create(theta, n))(image)  # noqa: E731
    same = view(rotate(image, angle), theta + angle)
    np.testing.assert_allclose(same, view(image, theta), atol=0.02 * float(view(image, theta).max()))


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_is_invertible_and_preserves_the_norm(angle):
    image = blob(56, 5.0, 8.0) - 0.4 * blob(56, -7.0, 0.0, 2.3)
    turned = rotate(image, angle)
    np.testing.assert_allclose(rotate(turned, -angle), image, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(turned), jnp.linalg.norm(image), rtol=1e-5)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_adjoint_is_the_inverse_rotation(angle):
    with jax.enable_x64(True):
        image, other = (blob(32, *at).astype(float) for at in ((4.0, 2.0), (1.0, -5.0)))
        _, adjoint = jax.vjp(lambda a: rotate(a, angle), image)
        forward, back = jnp.vdot(rotate(image, angle), other), jnp.vdot(image, adjoint(other)[0])
        np.testing.assert_allclose(forward, back, rtol=1e-12)
        np.testing.assert_allclose(jnp.vdot(image, rotate(other, -angle)), forward, atol=1e-6)


def test_fine_lines_keep_their_contrast():
    """Lines three pixels apart: interpolation in space would halve their contrast in two turns."""
    n = 64
    x = np.arange(n) - (n - 1) / 2
    disc = np.hypot(x[None], x[:, None]) < 0.4 * n
    lines = jnp.asarray(disc * np.cos(2 * np.pi * x[None] / 3), jnp.float32)
    again = rotate(rotate(lines, 0.6), -0.6)
    assert jnp.linalg.norm(again - lines) < 0.03 * jnp.linalg.norm(lines)
