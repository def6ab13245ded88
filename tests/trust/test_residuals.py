"""Patterns in residuals whose faults are known: white noise with exactly one pattern added."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.trust.residuals import LIMITS, residual_statistics

ROWS, VIEWS, COLUMNS, NOISE = 4, 40, 64, 0.05
THETA = np.deg2rad(np.linspace(-70, 70, VIEWS))
COLUMN = np.arange(COLUMNS) - (COLUMNS - 1) / 2


def projections(shift=0.0):
    """Line integrals of two Gaussian blobs in each row, displaced by ``shift`` (views,) bins."""
    shift = np.broadcast_to(shift, VIEWS)
    out = np.zeros((ROWS, VIEWS, COLUMNS))
    for row in range(ROWS):
        for x, y, width, value in ((6 + row, 3, 4.0, 1.0), (-9, row - 5, 6.0, 0.7)):
            t = x * np.cos(THETA) + y * np.sin(THETA) + shift
            out[row] += value * np.exp(-((COLUMN - t[:, None]) ** 2) / (2 * width**2))
    return out


def statistics(measured_error, *, mask=None, seed=0, order=slice(None), numbers=None):
    """Statistics of the residual if the data have this error, beside white noise."""
    predicted = projections()
    noise = NOISE * np.random.default_rng(seed).normal(size=predicted.shape)
    mask = np.ones_like(predicted) if mask is None else mask
    residual = mask * -(noise + measured_error)
    return residual_statistics(
        residual[:, order], predicted[:, order], mask[:, order], NOISE, THETA[order], view_numbers=numbers
    )


def names(result):
    return [fault.name for fault in result.faults]


def test_white_noise_has_no_pattern_and_chi_square_1():
    results = [statistics(0.0, seed=seed) for seed in range(20)]
    assert not any(result.faults for result in results)
    bins = ROWS * VIEWS * COLUMNS
    for result in results:
        assert result.mean_chi_square == pytest.approx(1, abs=5 * np.sqrt(2 / bins))
        assert np.all(np.abs(result.chi_square - 1) < 5 * np.sqrt(2 * VIEWS / bins))
    inside = [abs(r.column_correlation) < r.column_bound for r in results]
    inside += [abs(r.view_correlation) < r.view_bound for r in results]
    assert np.mean(inside) > 0.85


def test_correlated_noise_is_not_white():
    smooth = NOISE * np.random.default_rng(1).normal(size=(ROWS, VIEWS, COLUMNS + 1))
    result = statistics(smooth[..., 1:] + smooth[..., :-1])
    # Noise of variance 1 and a moving sum of variance 2, whose neighbours have the covariance 1.
    assert result.column_correlation == pytest.approx(1 / 3, abs=0.05)
    assert abs(result.view_correlation) < 3 * result.view_bound
    assert result.mean_chi_square == pytest.approx(3, rel=0.1)


def test_a_noisy_view_has_a_larger_chi_square_also_if_the_views_are_out_of_order():
    error = np.zeros((ROWS, VIEWS, COLUMNS))
    error[:, 7] = 3 * NOISE * np.random.default_rng(2).normal(size=(ROWS, COLUMNS))
    order = np.random.default_rng(3).permutation(VIEWS)
    result = statistics(error, order=order)
    assert order[np.argmax(result.chi_square)] == 7
    assert result.chi_square.max() == pytest.approx(10, rel=0.3)


def test_offsets_of_columns():
    offsets = np.zeros(COLUMNS)
    offsets[[11, 30, 31, 52]] = 0.1
    result = statistics(offsets)
    assert names(result) == ["columns"]
    assert "columns 11, 30-31, 52" in result.faults[0].text and "stripes=True" in result.faults[0].text


def test_views_that_moved():
    shift = 0.6 * np.random.default_rng(4).normal(size=VIEWS)
    result = statistics(projections(shift) - projections())
    assert names(result) == ["views"]
    assert result.faults[0].size == pytest.approx(np.sqrt(np.mean(shift**2)), rel=0.15)
    assert "align them (pf.align(scan))" in result.faults[0].text


def test_views_that_slipped_are_named():
    shift = np.zeros(VIEWS)
    shift[[5, 20]] = 3.0
    error = projections(shift) - projections()
    assert "most of all views 5, 20" in statistics(error).faults[0].text
    order, numbers = np.arange(VIEWS)[::-1], 100 + np.arange(VIEWS)[::-1]
    assert "most of all views 105, 120" in statistics(error, order=order, numbers=numbers).faults[0].text


def test_a_wrong_axis():
    """What a shift of the object does not explain of a constant displacement of all views."""
    basis = np.stack([np.cos(THETA), np.sin(THETA)], axis=1)
    beyond = 1 - basis @ np.linalg.lstsq(basis, np.ones(VIEWS), rcond=None)[0]
    result = statistics(projections(1.5 * beyond) - projections())
    assert names(result) == ["axis"]
    assert "about 1.5 bins or more" in result.faults[0].text and "center='auto'" in result.faults[0].text


def test_intensities_that_scatter_and_intensities_that_drift():
    scatter = 0.1 * np.random.default_rng(5).normal(size=(VIEWS, 1))
    assert names(statistics(scatter * projections())) == ["gains"]
    drift = 0.15 * np.linspace(-1, 1, VIEWS)[:, None] ** 2
    result = statistics(drift * projections())
    assert names(result) == ["absorption"]
    assert "beam hardening" in result.faults[0].text and "gains=True" in result.faults[0].text


def test_outlying_bins():
    hit = np.random.default_rng(6).random((ROWS, VIEWS, COLUMNS)) < 0.01
    result = statistics(hit * 2.0)
    assert names(result) == ["outliers"]
    assert result.faults[0].size == pytest.approx(hit.mean(), rel=0.2)


def test_bins_that_differ_in_half_of_the_scan_are_no_outliers():
    error = np.zeros((ROWS, VIEWS, COLUMNS))
    error[..., ::2] = 2.0 * np.random.default_rng(7).normal(size=(ROWS, VIEWS, COLUMNS // 2))
    assert names(statistics(error)) == []


def test_errors_at_the_edges_of_the_detector_hide_their_consequences():
    error = np.zeros(COLUMNS)
    error[:2] = error[-2:] = 0.3
    assert names(statistics(error)) == ["edges"]
    assert "support='extended'" in statistics(error).faults[0].text


def test_masked_bins_do_not_count():
    mask = np.ones((ROWS, VIEWS, COLUMNS))
    mask[:, :, 20] = 0
    mask[:, 3] = 0
    error = np.zeros_like(mask)
    error[:, :, 20] = error[:, 3] = 9.0
    result = statistics(error, mask=mask)
    assert not result.faults and result.mean_chi_square == pytest.approx(1, rel=0.1)
    assert np.isnan(result.chi_square[3])


def test_the_record_states_every_pattern():
    record = statistics(0.0).record()
    assert set(record["patterns"]) <= set(LIMITS) and len(record["chi_square_of_views"]) == VIEWS
    assert not any(pattern["fault"] for pattern in record["patterns"].values())


def test_a_negligible_residual_and_few_views_have_no_patterns():
    tiny = residual_statistics(
        1e-6 * projections(), projections(), np.ones((ROWS, VIEWS, COLUMNS)), 0.0, THETA
    )
    assert not tiny.patterns
    few = slice(0, 8)
    assert not statistics(0.0, order=few).patterns
