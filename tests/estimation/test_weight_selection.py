import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

import pfitre_jax as pf
from pfitre_jax.estimation import calibrate, select_tv_weight
from pfitre_jax.estimation.held_out_views import tv_path
from pfitre_jax.metrics import psnr
from pfitre_jax.solvers import SliceProblem, noise_from_differences, tv_weight_from_noise

COLUMNS = 48
VIEWS = 40
WEIGHTS = np.float32(10.0 ** np.arange(-2, -4.6, -0.25))


def ellipses() -> np.ndarray:
    """Two slices (2, ny, nx) of overlapping ellipses, values 0 to 1."""
    x, y = np.meshgrid(np.arange(COLUMNS) - 23.5, 23.5 - np.arange(COLUMNS))
    inside = lambda a, b, cx, cy: np.hypot((x - cx) / a, (y - cy) / b) < 1  # noqa: E731
    first = 0.5 * inside(18, 12, 0, 0) + 0.5 * inside(4, 6, 6, 2) + 0.3 * inside(5, 3, -8, -3)
    return np.float32([first, 0.5 * inside(12, 18, 2, 0) + 0.4 * inside(3, 3, 0, 8)])


@pytest.fixture(scope="module")
def clean():
    """A problem with 60 degrees missing, its noise-free sinograms, and the truth."""
    A = pf.Projector(pf.ParallelGeometry.create(np.deg2rad(np.linspace(0, 120, VIEWS)), COLUMNS))
    truth = ellipses()
    sinograms = np.asarray(jax.vmap(A)(truth))
    return SliceProblem.create(A, sinograms[0]), sinograms, truth


@jax.jit
def quality(problem, sinograms, truth):
    """PSNR (slices, weights) of total variation at :data:`WEIGHTS`."""

    def path(y, image):
        measure = lambda x: psnr(x, image, problem.support)  # noqa: E731
        return tv_path(problem.with_sinogram(y), WEIGHTS, measure, iterations=15)

    return jax.vmap(path)(sinograms, truth)


def loss(clean, sinograms: np.ndarray, weight: float) -> float:
    """dB that total variation loses at a weight against the best one."""
    problem, _, truth = clean
    curve = np.asarray(quality(problem, sinograms, truth)).mean(axis=0)
    return float(curve.max() - np.interp(-np.log10(weight), -np.log10(WEIGHTS), curve))


@pytest.mark.parametrize(("noise", "correlation"), [(0.3, 0), (1.0, 0), (0.3, 1.5)])
def test_the_selected_weight_is_close_to_the_best_one(clean, noise, correlation):
    """Also where the noise is correlated along the columns, so that second differences do not see it."""
    problem, sinograms, _ = clean
    n = np.random.default_rng(0).standard_normal(sinograms.shape)
    n = gaussian_filter1d(n, correlation, axis=-1) if correlation else n
    noisy = (sinograms + noise * n / n.std()).astype(np.float32)
    masks = np.ones_like(noisy)
    weight, _ = select_tv_weight(problem, noisy, masks)
    assert loss(clean, noisy, weight) < 0.6
    if correlation:
        law = float(tv_weight_from_noise(problem, noise_from_differences(noisy, masks)))
        assert loss(clean, noisy, law) > 0.5


def test_rows_without_signal_and_invalid_bins_do_not_matter(clean):
    problem, sinograms, _ = clean
    y = sinograms + 0.3 * np.random.default_rng(1).standard_normal(sinograms.shape).astype(np.float32)
    masks = np.ones_like(y)
    weight, _ = select_tv_weight(problem, y, masks)
    masks[:, ::5, 20] = 0
    spoiled = np.concatenate([np.where(masks > 0, y, 1e4), np.zeros_like(y)])
    other, _ = select_tv_weight(problem, spoiled, np.concatenate([masks, masks]))
    assert other == pytest.approx(weight, rel=0.3)


def test_no_weight_without_signal_or_with_too_few_views(clean):
    problem, sinograms, _ = clean
    masks = np.ones_like(sinograms)
    assert select_tv_weight(problem, 0 * sinograms, masks)[0] is None
    few = pf.Projector(pf.ParallelGeometry.create([0.0, 0.5, 1.0], COLUMNS))
    assert (
        select_tv_weight(SliceProblem.create(few, sinograms[0, :3]), sinograms[:, :3], masks[:, :3])[0]
        is None
    )


@pytest.mark.slow
def test_calibration_selects_the_weight_only_where_it_is_used(clean):
    problem, sinograms, _ = clean
    y = sinograms + 0.3 * np.random.default_rng(1).standard_normal(sinograms.shape)
    scan = pf.Scan.create(np.moveaxis(y, 1, 0), problem.A.geometry.theta_rad, center=(COLUMNS - 1) / 2)
    assert calibrate(scan, "rho").tv_weight_source == "noise"
    calibration = calibrate(scan, "tv_weight")
    assert calibration.tv_weight_source == "held-out views"
