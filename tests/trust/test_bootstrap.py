"""Equivariant bootstrap on problems whose errors are known in closed form."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.trust.bootstrap import bootstrap_angles, bootstrap_error, error_rotated_back, rotate_any

N = 32
#: Rotates images (slices, n, n).
ROTATE = jax.jit(jax.vmap(rotate_any, (0, None)))


def blobs(degrees: float = 0.0) -> np.ndarray:
    """Two round Gaussians, rotated counterclockwise, y up."""
    row, column = np.mgrid[:N, :N] - (N - 1) / 2
    turn = np.exp(1j * np.deg2rad(degrees))
    at = column - 1j * row
    first, second = (np.abs(at - center * turn) ** 2 for center in (4 + 3j, -6))
    return (np.exp(-first / 12) + 0.6 * np.exp(-second / 8)).astype(np.float32)


def disc(radius) -> np.ndarray:
    y, x = np.mgrid[:N, :N] - (N - 1) / 2
    return x**2 + y**2 <= radius**2


@pytest.mark.parametrize("draws", [1, 5, 20])
def test_the_angles_are_spread_over_half_a_turn_and_repeat(draws):
    angles = bootstrap_angles(draws)
    assert np.array_equal(np.floor(angles * draws / np.pi), np.arange(draws))
    np.testing.assert_array_equal(angles, bootstrap_angles(draws))


@pytest.mark.parametrize("degrees", [-200.0, -90.0, 30.0, 60.0, 90.0, 135.0, 180.0])
def test_rotation_by_any_angle(degrees):
    rotated = np.asarray(ROTATE(blobs()[None], np.float32(np.deg2rad(degrees))))[0]
    np.testing.assert_allclose(rotated[disc(15)], blobs(degrees)[disc(15)], atol=0.002)


def test_denoising_of_white_noise_has_its_mean_error():
    """Linear shrinkage by ``a`` of direct measurements: the error is ``(a - 1) x + a sigma n``."""
    sigma, shrink, draws = 0.3, 0.8, 100
    image = jnp.asarray(blobs())[None]
    noise = np.random.default_rng(0).standard_normal((draws, 1, N, N)).astype(np.float32)
    rotated = lambda draw, angle: ROTATE(image, np.float32(angle))  # noqa: E731
    reconstructed = lambda draw, angle, truth: shrink * (truth + sigma * noise[draw])  # noqa: E731
    error = np.asarray(bootstrap_error(bootstrap_angles(draws), rotated, reconstructed))[0]
    mean, deviation = (shrink - 1) * blobs(), shrink * sigma
    z = mean / deviation
    cumulative = 0.5 * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))
    folded = deviation * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + mean * (2 * cumulative - 1)
    inside = disc(11)
    # Rotating the absolute errors of white noise back interpolates them, and negative values are clipped.
    assert abs(np.mean((error - folded)[inside])) < 0.03 * np.mean(folded[inside])
    assert np.std((error - folded)[inside]) < 0.1 * np.mean(folded[inside])


def test_the_error_of_a_lost_direction_is_found_at_all_orientations():
    """Averaging along x loses the variation along x, in a scan at one orientation only.

    Rotated copies lose it in every direction. The mean error therefore does not depend on the orientation of
    the object: that of the rotated object is the rotated error.
    """
    lose = jax.jit(lambda truth: jnp.broadcast_to(truth.mean(axis=-1, keepdims=True), truth.shape))
    angles = bootstrap_angles(40)

    def error_of(image):
        rotated = lambda draw, angle: ROTATE(image[None], np.float32(angle))  # noqa: E731
        return np.asarray(bootstrap_error(angles, rotated, lambda draw, angle, truth: lose(truth))[0])

    straight, turned = error_of(blobs()), error_of(np.rot90(blobs()))
    difference = np.abs(np.rot90(straight) - turned)[disc(11)]
    assert difference.mean() < 0.05 * straight[disc(11)].mean()


def test_errors_are_rotated_back_and_not_negative():
    truth = jnp.zeros((2, N, N))
    images = ROTATE(jnp.stack([blobs(), -blobs()]), np.float32(1.1))
    back = np.asarray(error_rotated_back(images, truth, np.float32(1.1)))
    assert back.min() >= 0
    for error in back:
        assert np.abs(error - blobs())[disc(13)].max() < 0.03


def test_no_draw_is_refused():
    with pytest.raises(ValueError, match="no draw"):
        bootstrap_error([], lambda *_: None, lambda *_: None)
