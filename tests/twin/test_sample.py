"""The shipped sample: reproduction by its module, and documented properties."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.twin import sample


@pytest.fixture(scope="module")
def shipped():
    with np.load(sample.SAMPLE) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def clean(shipped):
    """Projections of the truth without errors, (views, rows, columns)."""
    theta = np.deg2rad(shipped["theta_deg"])
    A = Projector(ParallelGeometry.create(theta, sample.COLUMNS, float(shipped["center"])))
    return np.moveaxis(np.asarray(jax.jit(jax.vmap(A))(shipped["truth"].astype(np.float32))), 0, 1)


@pytest.fixture(scope="module")
def gain(shipped, clean):
    """Gain of each view from the sum over all slices, (views,)."""
    return shipped["projections"].sum(axis=(1, 2), dtype=float) / clean.sum(axis=(1, 2), dtype=float)


def test_the_shipped_file_is_reproduced_by_its_module(shipped):
    made = sample.make()
    assert set(made) == set(shipped)
    for name, value in made.items():
        assert value.dtype == shipped[name].dtype and value.shape == shipped[name].shape
        # Compilers differ in the last digits.
        tolerance = 1e-3 * np.abs(shipped[name]).max()
        np.testing.assert_allclose(value.astype(float), shipped[name].astype(float), rtol=0, atol=tolerance)


def test_wedge_is_96_degrees_less_the_spacing(shipped):
    theta = np.sort(np.mod(shipped["theta_deg"], 180))
    gaps = np.diff(np.append(np.unique(theta), theta[0] + 180))
    np.testing.assert_allclose(gaps.max(), 96, atol=1e-9)
    wedge = Wedge.from_angles(np.deg2rad(shipped["theta_deg"]))
    np.testing.assert_allclose(wedge.width_deg, 96 - 84 / 47, atol=1e-3)
    np.testing.assert_allclose(wedge.center_deg, (18 + 114) / 2, atol=1e-3)


def test_last_views_are_opposite_to_first_views(shipped):
    theta = shipped["theta_deg"]
    np.testing.assert_allclose(theta[-3] - 180, theta[0])
    assert np.all(theta[-3:] - 180 >= theta[:48].min()) and np.all(theta[-3:] - 180 <= theta[:48].max())


def test_truth_lies_in_the_field_of_view(shipped):
    n, center = sample.COLUMNS, float(shipped["center"])
    truth, t = shipped["truth"].astype(np.float32), np.arange(n) - (n - 1) / 2
    assert truth.shape == (8, n, n) and truth.min() >= 0 and 0.5 < truth.max() <= 1
    assert not np.any(truth[:, np.hypot(t[:, None], t[None, :]) > min(center, n - 1 - center)])
    assert np.all(truth.std(axis=(1, 2)) > 0.1)


def test_noise_is_1_percent_of_the_maximum(shipped, clean):
    for row in range(8):
        # Bins that only noise falls on, also when the view is shifted by a bin.
        dark = np.ones(clean[:, row].shape, bool)
        for shift in (-2, -1, 0, 1, 2):
            dark &= np.roll(clean[:, row], shift, axis=1) < 1e-6
        noise = shipped["projections"][:, row][dark]
        assert noise.size > 200
        sigma = 0.01 * clean[:, row].max()
        assert abs(noise.mean()) < 5 * sigma / noise.size**0.5
        # 4%: the maximum itself is drawn after gain and shift.
        np.testing.assert_allclose(noise.std(), sigma, rtol=0.04 + 5 / (2 * noise.size) ** 0.5)


def test_gain_and_shift_have_the_documented_size(shipped, clean, gain):
    tolerance = 5 / (2 * len(gain)) ** 0.5
    np.testing.assert_allclose(gain.std(), 0.01, rtol=tolerance)
    columns = np.arange(sample.COLUMNS)
    middle = lambda p: p.sum(axis=1, dtype=float) @ columns / p.sum(axis=(1, 2), dtype=float)  # noqa: E731
    shifts = middle(shipped["projections"]) - middle(clean)
    np.testing.assert_allclose(shifts.std(), 0.15, rtol=tolerance)
    # The axis is at the recorded centre.
    assert abs(shifts.mean()) < 5 * 0.15 / len(shifts) ** 0.5


def test_truth_fits_the_data(shipped, clean, gain):
    data = shipped["projections"]
    difference = data - gain[:, None, None] * clean
    # Noise, shifts and the coarse grid together.
    assert np.linalg.norm(difference) < 0.05 * np.linalg.norm(data)
    # Rows are in the order of their truths.
    assert np.linalg.norm(data - gain[:, None, None] * clean[:, ::-1]) > 0.2 * np.linalg.norm(data)
