"""The projector against ASTRA, scikit-image, closed forms and finite differences."""

from __future__ import annotations

import dataclasses
import functools

import astra
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.transform import radon

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators import joseph as kernels
from pfitre_jax.operators.dot_test import dot_test
from pfitre_jax.operators.projector import Projector

ANGLES = np.deg2rad([3.0, 31.0, 58.0, 97.0, 131.0, 166.0])


def projector(theta_rad, columns, shape=None, **geometry) -> Projector:
    return Projector(ParallelGeometry.create(theta_rad, columns, **geometry), shape)


# Compiled once per shape: a call outside of jit compiles its loop each time.
project = jax.jit(lambda A, image: A(image))
backproject = jax.jit(lambda A, sinogram: A.T(sinogram))


def astra_projection(image, theta_rad, columns, center):
    """ASTRA's ``linear`` sinogram. Its rays are ``x cos + y sin = t`` too, its axis is at the middle bin."""
    shift = (columns - 1) / 2 - center
    cos, sin = np.cos(theta_rad), np.sin(theta_rad)
    # ray direction, detector's middle, step from bin to bin
    vectors = np.stack([sin, -cos, shift * cos, shift * sin, cos, sin], axis=1)
    volume = astra.create_vol_geom(*image.shape)
    geometry = astra.create_proj_geom("parallel_vec", columns, vectors)
    projector_id = astra.create_projector("linear", geometry, volume)
    sinogram_id, sinogram = astra.create_sino(np.asarray(image, np.float32), projector_id)
    astra.data2d.delete(sinogram_id)
    astra.projector.delete(projector_id)
    return sinogram


@pytest.mark.parametrize(("n", "views", "center"), [(152, 51, 75.0), (256, 180, 127.5 + 3.3)])
@pytest.mark.parametrize("smooth", [False, True])
def test_agrees_with_astra(n, views, center, smooth):
    image = np.random.default_rng(0).random((n, n)).astype(np.float32)
    image = gaussian_filter(image, 3) if smooth else image
    theta = np.linspace(-0.7, np.pi - 0.7, views, endpoint=False)
    ours = np.asarray(project(projector(theta, n, center=center), jnp.asarray(image)))
    theirs = astra_projection(image, theta, n, center)
    assert np.linalg.norm(ours - theirs) <= 1e-4 * np.linalg.norm(theirs)


@pytest.mark.parametrize("shape", [(32, 32), (24, 40), (41, 27)])
def test_adjoint_is_exact(shape):
    A = projector(ANGLES, 37, shape, center=19.3, shifts=np.linspace(-2, 2, 6))
    assert dot_test(A, A.T, shape, (6, 37)) <= 1e-6


def test_adjoint_is_the_derived_transpose():
    A = projector(ANGLES, 20, center=9.1)
    y = jnp.asarray(np.random.default_rng(1).random((6, 20)), jnp.float32)
    # The transpose built from the columns of A shares no code with A.T.
    columns = jax.vmap(A)(jnp.eye(400).reshape(400, 20, 20))
    np.testing.assert_allclose(A.T(y).ravel(), jnp.sum(columns * y[None], axis=(1, 2)), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("middle", [(0.0, 0.0), (9.0, -14.0)])
def test_disc_has_its_chord_lengths(middle):
    n, radius, center = 96, 18.0, 50.25
    theta = np.linspace(0, np.pi, 24, endpoint=False)
    shifts = 1.5 * np.sin(5 * theta)
    fine = 8
    grid = (np.arange(n * fine) - (n * fine - 1) / 2) / fine
    x, y = grid[None, :], -grid[:, None]
    disc = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2 <= radius**2).astype(np.float32)
    disc = disc.reshape(n, fine, n, fine).mean(axis=(1, 3))
    t = np.arange(n) - center - shifts[:, None]
    distance = t - middle[0] * np.cos(theta)[:, None] - middle[1] * np.sin(theta)[:, None]
    chords = 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))
    ours = np.asarray(projector(theta, n, center=center, shifts=shifts)(jnp.asarray(disc)))
    # Where the chord varies slowly against a pixel; at the rim pixels blur it.
    inside = np.abs(distance) < radius - 3
    assert np.abs(ours - chords)[inside].max() < 0.35
    assert np.abs((ours - chords)[inside].mean()) < 0.02
    np.testing.assert_allclose(ours.sum(axis=1), np.pi * radius**2, rtol=3e-3)


def test_square_has_its_chord_lengths_at_0_and_45_degrees():
    n, half = 64, 12
    image = np.zeros((n, n), np.float32)
    image[n // 2 - half : n // 2 + half, n // 2 - half : n // 2 + half] = 1
    ours = np.asarray(projector(np.deg2rad([0.0, 45.0, 90.0]), n)(jnp.asarray(image)))
    t = np.arange(n) - (n - 1) / 2
    flat = np.where(np.abs(t) < half, 2.0 * half, 0.0)
    np.testing.assert_allclose(ours[[0, 2]], [flat, flat], atol=1e-4)
    tent = np.maximum(2 * (half * np.sqrt(2) - np.abs(t)), 0)
    assert np.abs(ours[1] - tent).max() < 1.0
    np.testing.assert_allclose(ours[1].sum(), tent.sum(), rtol=5e-3)


def test_one_pixel_is_projected_by_the_convention():
    """Pixel (i, j) at x = j - (nx-1)/2, y = (ny-1)/2 - i reaches t = x cos + y sin: fixes sign and centre."""
    ny, nx, i, j = 30, 41, 6, 31
    theta = np.deg2rad([0.0, 20.0, 70.0, 90.0, 110.0, 200.0])
    shifts = np.array([0.0, 1.0, -2.0, 0.5, 0.0, 3.0])
    image = jnp.zeros((ny, nx)).at[i, j].set(1.0)
    y = np.asarray(projector(theta, 64, (ny, nx), center=30.75, shifts=shifts)(image))
    centroid = (y * np.arange(64)).sum(axis=1) / y.sum(axis=1)
    x0, y0 = j - (nx - 1) / 2, (ny - 1) / 2 - i
    expected = 30.75 + shifts + x0 * np.cos(theta) + y0 * np.sin(theta)
    # The footprint is symmetric but sampled at the bins.
    np.testing.assert_allclose(centroid, expected, atol=0.15)
    np.testing.assert_allclose(centroid[[0, 3]], expected[[0, 3]], atol=1e-3)


def test_a_shift_of_one_bin_moves_the_sinogram_by_one_bin():
    image = jnp.asarray(np.random.default_rng(2).random((24, 24)), jnp.float32)
    still, moved = (projector(ANGLES, 40, (24, 24), shifts=s)(image) for s in (None, np.ones(6)))
    np.testing.assert_allclose(moved[:, 1:], still[:, :-1], atol=1e-4)


def test_default_centre_is_the_middle_of_the_detector():
    """Views half a turn apart are mirror images of each other about it."""
    image = jnp.asarray(np.random.default_rng(2).random((24, 24)), jnp.float32)
    for columns in (24, 25):
        first, opposite = projector([0.4, 0.4 + np.pi], columns, (24, 24))(image)
        np.testing.assert_allclose(first, opposite[::-1], atol=2e-4)


@pytest.mark.parametrize("columns", [32, 33])
def test_checkerboard_projects_to_its_lines(columns):
    """Along the axes a checkerboard is constant but for the parity of its lines."""
    image = np.indices((32, 32)).sum(axis=0) % 2
    y = np.asarray(projector([0.0, np.pi / 2], columns, (32, 32))(jnp.asarray(image, jnp.float32)))
    inner = y[:, 2:-2]
    np.testing.assert_allclose(inner, 16.0, atol=2e-4)


def test_agrees_with_scikit_image():
    """``radon`` turns about pixel n//2 (bin n//2), with the angle in the same sense."""
    n = 64
    image = np.zeros((n, n))
    image[18:30, 22:51] = 1.0
    image[40:52, 14:24] = 0.5
    image = gaussian_filter(image, 1.5, truncate=2)
    degrees = np.array([0.0, 17.0, 45.0, 80.0, 90.0, 133.0, 170.0])
    theirs = radon(image, degrees, circle=True).T
    # Their axis lies half a pixel right of and below the image's middle.
    theta = np.deg2rad(degrees)
    shifts = -(0.5 * np.cos(theta) - 0.5 * np.sin(theta))
    A = projector(theta, n, center=n // 2, shifts=shifts)
    ours = np.asarray(A(jnp.asarray(image, jnp.float32)))
    assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)


def smooth_pair(A, key=0):
    rng = np.random.default_rng(key)
    image = gaussian_filter(rng.random(A.shape), 2)
    return jnp.asarray(image), jnp.asarray(rng.random(A.sinogram_shape))


@pytest.mark.parametrize("which", ["theta_rad", "center", "shifts"])
@pytest.mark.parametrize("back", [False, True])
def test_geometry_gradient_is_the_finite_difference(which, back):
    with jax.enable_x64(True):
        A = projector(ANGLES, 30, (28, 30), center=14.23, shifts=np.linspace(-0.31, 0.47, 6))
        image, sinogram = smooth_pair(A)
        # Any function of A x (of A^T y) will do.
        loss = lambda A: jnp.sum(jnp.sin(A.T(sinogram)) if back else jnp.sin(A(image) / 3))  # noqa: E731
        gradient = getattr(jax.grad(loss)(A).geometry, which)
        direction = np.random.default_rng(3).standard_normal(np.shape(gradient))
        along = lambda s: loss(moved(A, which, s * direction))  # noqa: E731
        step = 1e-6
        difference = (along(step) - along(-step)) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-6)


def moved(A, which, by):
    value = getattr(A.geometry, which) + by
    return dataclasses.replace(A, geometry=dataclasses.replace(A.geometry, **{which: value}))


@pytest.mark.parametrize("which", ["theta_rad", "center"])
def test_second_derivatives_are_finite_differences_of_the_first(which):
    with jax.enable_x64(True):
        A = projector(ANGLES, 30, center=14.23)
        image, sinogram = smooth_pair(A)
        loss = lambda A: jnp.sum((A(image) - sinogram) ** 2)  # noqa: E731
        slope = lambda s: jnp.sum(getattr(jax.grad(loss)(moved(A, which, s)).geometry, which))  # noqa: E731
        step = 1e-6
        difference = (slope(step) - slope(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(slope)(0.0), difference, rtol=1e-5)


def test_mixed_second_derivative():
    """d/dc of the gradient to the image."""
    with jax.enable_x64(True):
        A = projector(ANGLES, 30, center=14.23)
        image, _ = smooth_pair(A)

        def slope(s):
            gradient = jax.grad(lambda x: jnp.sum(jnp.cos(moved(A, "center", s)(x))))(image)
            return jnp.vdot(gradient, image)

        step = 1e-6
        difference = (slope(step) - slope(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(slope)(0.0), difference, rtol=1e-5)


@pytest.mark.parametrize("slices", [1, kernels.FILL_FROM - 1, kernels.FILL_FROM, kernels.LANES, 33])
def test_vmap_over_slices(slices):
    A = projector(ANGLES, 22, (20, 24), center=10.2)
    rng = np.random.default_rng(4)
    images = jnp.asarray(rng.random((slices, 20, 24)), jnp.float32)
    sinograms = jnp.asarray(rng.random((slices, 6, 22)), jnp.float32)
    np.testing.assert_allclose(jax.vmap(A)(images), [project(A, x) for x in images], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        jax.vmap(A.T)(sinograms), [backproject(A, y) for y in sinograms], rtol=1e-5, atol=1e-5
    )


def test_vmap_reaches_the_batched_kernel(monkeypatch):
    """The kernel sees all slices at once, on the trailing axis, also under nested maps and gradients."""
    seen = []
    kernel = kernels._gather_lines

    def spy(theta, offset, image, *, columns):
        seen.append(image.shape)
        return kernel(theta, offset, image, columns=columns)

    monkeypatch.setattr(kernels, "_gather_lines", spy)
    kernels._forward.cache_clear()
    try:
        A = projector(ANGLES, 17)
        images = jnp.ones((2, 20, 17, 17))
        jax.eval_shape(jax.vmap(A), images[0])
        assert seen[-1] == (17, 17, 32)
        seen.clear()
        jax.eval_shape(jax.vmap(jax.vmap(A)), images)
        assert seen[-1] == (17, 17, 64)
        seen.clear()
        jax.eval_shape(jax.jit(jax.vmap(jax.grad(lambda x: jnp.sum(A(x) ** 2)))), images[0])
        assert seen[-1] == (17, 17, 32)
    finally:
        kernels._forward.cache_clear()


def test_nested_vmap():
    A = projector(ANGLES, 16)
    images = jnp.asarray(np.random.default_rng(5).random((3, 5, 16, 16)), jnp.float32)
    nested = jax.vmap(jax.vmap(A))(images)
    np.testing.assert_allclose(nested, [[project(A, x) for x in row] for row in images], rtol=1e-5, atol=1e-5)


def test_vmap_over_geometries():
    image = jnp.asarray(np.random.default_rng(6).random((16, 16)), jnp.float32)
    centers = jnp.array([7.0, 7.5, 8.25])
    A = projector(ANGLES, 16)
    at = lambda c: dataclasses.replace(A, geometry=dataclasses.replace(A.geometry, center=c))  # noqa: E731
    mapped = jax.vmap(lambda c: at(c)(image))(centers)
    np.testing.assert_allclose(mapped, [project(at(c), image) for c in centers], rtol=1e-5, atol=1e-5)
    back = jax.vmap(lambda c: at(c).normal(image))(centers)
    np.testing.assert_allclose(
        back, [backproject(at(c), project(at(c), image)) for c in centers], rtol=1e-5, atol=1e-4
    )
    both = jax.vmap(lambda c: jax.vmap(at(c))(image[None] * jnp.ones((2, 1, 1))))(centers)
    np.testing.assert_allclose(both[:, 1], mapped, rtol=1e-5, atol=1e-5)


def test_norm_is_the_largest_singular_value():
    A = projector(ANGLES, 14)
    matrix = np.asarray(jax.vmap(A)(jnp.eye(196).reshape(196, 14, 14))).reshape(196, -1)
    true = np.linalg.norm(matrix, 2) ** 2
    assert 0.99 * true < A.norm_squared() <= true * (1 + 1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A: A(jnp.ones((3, 16, 16))), "jax.vmap"),
        (lambda A: A.T(jnp.ones((16, 6))), r"\(6, 16\)"),
    ],
)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(projector(ANGLES, 16))


def test_jit_takes_a_projector_and_its_methods_as_functions():
    A, image = projector(ANGLES, 12), jnp.asarray(np.random.default_rng(3).random((12, 12)), jnp.float32)
    sinogram = jax.jit(A)(image)
    np.testing.assert_allclose(sinogram, project(A, image), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(A.T)(sinogram), backproject(A, sinogram), rtol=1e-6)


def test_the_transpose_is_compiled_once():
    traces = []

    class Counted(Projector):
        def _angles_and_offsets(self, dtype):
            traces.append(1)
            return super()._angles_and_offsets(dtype)

    A = Counted(projector(ANGLES, 12).geometry)
    for _ in range(2):
        jax.jit(A.T)(jnp.ones(A.sinogram_shape))
    assert len(traces) == 1
    assert A.T.T is A


def test_operators_in_matrix_notation():
    A, rng = projector(ANGLES, 12, (10, 11)), np.random.default_rng(4)
    x, y = (jnp.asarray(rng.random(shape), jnp.float32) for shape in (A.shape, A.sinogram_shape))

    @jax.jit
    def both(A, x, y):
        return (A @ x, A.T @ y, A.T.T @ x, A.T @ (A @ x)), (A(x), A.T(y), A(x), A.normal(x))

    for ours, expected in zip(*both(A, x, y), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"image has shape \(11, 10\); expected \(10, 11\)"):
        A @ x.T


def test_moments_of_the_sinogram_agree_with_the_image():
    """Helgason-Ludwig conditions of order 0 and 1, for an image that is smooth on the scale of a bin.

    ``sum_k y[v, k] = m`` for every view, and ``sum_k t_k y[v, k] = m_x cos(theta) + m_y sin(theta)``.
    """
    n, center = 64, 30.7
    x, y = np.arange(n) - (n - 1) / 2, (n - 1) / 2 - np.arange(n)
    image = np.zeros((n, n))
    for x0, y0, width, height in ((6.2, -3.1, 3.0, 1.0), (-8.5, 4.4, 2.5, 0.6), (1.3, 11.0, 4.0, 0.3)):
        image += height * np.exp(-((x[None] - x0) ** 2 + (y[:, None] - y0) ** 2) / (2 * width**2))
    theta = np.deg2rad(np.arange(0.0, 180.0, 7.5))
    A = projector(theta, n, center=center)
    sinogram = np.asarray(project(A, jnp.asarray(image, jnp.float32)), float)
    mass, moment_x, moment_y = image.sum(), (image * x[None]).sum(), (image * y[:, None]).sum()
    np.testing.assert_allclose(sinogram.sum(axis=1), mass, rtol=1e-4)
    t = np.arange(n) - center
    expected = moment_x * np.cos(theta) + moment_y * np.sin(theta)
    assert np.ptp(expected) > 0.05 * mass * 10
    np.testing.assert_allclose(sinogram @ t, expected, atol=1e-3 * mass)


def test_a_new_centre_does_not_trace_again():
    traces = []

    @functools.partial(jax.jit)
    def project(A, image):
        traces.append(1)
        return A(image)

    for center in (7.0, 8.0):
        project(projector(ANGLES, 16, center=center), jnp.ones((16, 16)))
    assert len(traces) == 1


def test_products_are_written_with_an_operator_sign():
    A = projector(ANGLES, 12, (10, 12))
    image, sinogram = jnp.ones(A.shape), jnp.ones(A.sinogram_shape)
    np.testing.assert_array_equal(A @ image, A(image))
    np.testing.assert_array_equal(A.T @ sinogram, A.T(sinogram))
    np.testing.assert_array_equal(A.T @ sinogram, A.transpose(sinogram))
    assert A.T.T is A
