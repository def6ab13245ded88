"""Alignment: simulated displacements are recovered, up to those that no scan determines."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation import alignment as module
from pfitre_jax.estimation.alignment import align, register
from pfitre_jax.geometry import ParallelGeometry, remove_object_shift
from pfitre_jax.twin.projection import project_finely
from pfitre_jax.twin.scenes.circuits3d import circuits3d

N, ROWS, VIEWS, PAD = 48, 16, 32, 4
THETA = np.deg2rad(np.linspace(-50, 34, VIEWS))


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Projections of a volume of circuits, with more rows than the scan."""
    fine = circuits3d(jax.random.key(3), ROWS + 2 * PAD, 2 * N, 1 / N)
    geometry = ParallelGeometry.create(THETA, N)
    return np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)


@pytest.fixture(scope="module")
def truth() -> Motion:
    g = np.random.default_rng(0)
    shifts = g.normal(0, 1.0, VIEWS)
    # Two that slipped.
    shifts[[7, 20]] += [4.0, -4.0]
    moved = (remove_object_shift(THETA, shifts), g.normal(0, 0.7, VIEWS), 1 + g.normal(0, 0.05, VIEWS))
    return Motion(THETA, *moved, np.zeros(VIEWS), 1.0, (N - 1) / 2)


def noisy_scan(projections) -> Scan:
    noise = 0.01 * projections.max() * np.random.default_rng(1).standard_normal(projections.shape)
    return Scan.create((projections + noise).astype(np.float32), THETA, center=(N - 1) / 2)


@pytest.fixture(scope="module")
def estimate(clean, truth):
    raw, _ = truth.undo(clean)
    return align(noisy_scan(raw[:, PAD:-PAD]), steps=15)


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def modulo(shifts) -> np.ndarray:
    basis = np.stack([np.ones(VIEWS), np.cos(THETA), np.sin(THETA)], axis=1)
    return shifts - basis @ np.linalg.lstsq(basis, shifts, rcond=None)[0]


@pytest.mark.slow
def test_shifts_and_gain_are_estimated(estimate, truth):
    motion = estimate.motion
    assert rms(modulo(truth.shifts)) > 1 and rms(modulo(motion.shifts - truth.shifts)) < 0.1
    assert rms(truth.row_shifts) > 0.5
    assert np.std(motion.row_shifts - truth.row_shifts) < 0.1
    assert np.std(truth.gain) > 0.04 and np.std(motion.gain / truth.gain) < 0.015


@pytest.mark.slow
def test_the_roll_is_estimated(estimate):
    assert abs(estimate.motion.roll_deg - 1.0) < 0.35


@pytest.mark.slow
def test_the_residual_decreases_and_undetermined_parameters_are_listed(estimate):
    fine = estimate.residual[estimate.levels == 1]
    assert fine[-1] < 0.5 * estimate.residual[0]
    assert "centre" in estimate.pinned and estimate.motion.center == (N - 1) / 2
    # The undetermined shift of the object is 0.
    np.testing.assert_allclose(
        remove_object_shift(THETA, estimate.motion.shifts), estimate.motion.shifts, atol=1e-5
    )
    assert (
        abs(np.mean(estimate.motion.row_shifts)) < 1e-6 and abs(np.mean(np.log(estimate.motion.gain))) < 1e-6
    )


@pytest.mark.slow
def test_aligned_views_are_not_moved(clean):
    motion = align(noisy_scan(clean[:, PAD:-PAD]), steps=8).motion
    assert rms(motion.shifts) < 0.05 and rms(motion.row_shifts) < 0.05 and abs(motion.roll_deg) < 0.35
    assert np.std(motion.gain) < 0.02


@pytest.mark.slow
def test_disabled_parameters_stay_fixed(clean):
    motion = align(noisy_scan(clean[:, PAD:-PAD]), roll=False, rows=False, gain=False, steps=2).motion
    assert motion.roll_deg == 0 and not motion.row_shifts.any()
    assert (motion.gain == 1).all() and not motion.offset.any()


@pytest.mark.slow
def test_the_centre_is_estimated_from_half_a_turn():
    theta = np.deg2rad(np.linspace(0, 174, 30))
    fine = circuits3d(jax.random.key(3), 4, 2 * N, 1 / N)
    geometry = ParallelGeometry.create(theta, N, (N - 1) / 2 + 1.5)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    scan = Scan.create(clean.astype(np.float32), theta, center=(N - 1) / 2)
    estimate = align(scan, roll=False)
    assert abs(estimate.motion.center - ((N - 1) / 2 + 1.5)) < 0.15 and "centre" not in estimate.pinned


@pytest.mark.slow
def test_drift_mode_estimates_a_slow_drift_in_strong_noise(clean):
    """The error is smaller than view by view, and the estimate is smooth."""
    slow = 1.5 * np.sin(2 * np.pi * np.arange(VIEWS) / VIEWS)
    zero = np.zeros(VIEWS)
    truth = Motion(THETA, remove_object_shift(THETA, slow), zero, zero + 1, zero, 0.0, (N - 1) / 2)
    raw = truth.undo(clean)[0][:, PAD + 6 : -PAD - 6]
    noise = 0.15 * clean.max() * np.random.default_rng(1).standard_normal(raw.shape)
    scan = Scan.create((raw + noise).astype(np.float32), THETA, center=(N - 1) / 2)
    wrong = {}
    for drift in (False, True):
        estimate = align(scan, roll=False, rows=False, gain=False, drift=drift, steps=6).motion.shifts
        wrong[drift] = rms(modulo(estimate - truth.shifts))
        if drift:
            assert np.abs(np.diff(estimate, 2)).max() < 0.5
    assert wrong[True] < 0.7 * wrong[False] and wrong[True] < 0.5 * rms(modulo(truth.shifts))


@pytest.mark.slow
def test_a_correct_initial_motion_is_kept(clean, truth):
    raw, _ = truth.undo(clean)
    motion = align(noisy_scan(raw[:, PAD:-PAD]), truth, roll=False, steps=3).motion
    assert motion.roll_deg == 1.0
    assert rms(modulo(motion.shifts - truth.shifts)) < 0.1


@pytest.mark.slow
def test_unrelated_rows_are_not_shifted_along_the_rows():
    """Slices of different samples in one file do not determine a shift along the rows."""
    fine = np.concatenate([circuits3d(jax.random.key(k), 1, 2 * N, 1 / N) for k in range(12)])
    geometry = ParallelGeometry.create(THETA, N)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    estimate = align(noisy_scan(clean), steps=2)
    assert not estimate.motion.row_shifts.any() and estimate.motion.roll_deg == 0
    assert any("not similar" in reason for reason in estimate.pinned)


def test_views_are_registered_to_predicted_ones(clean, truth):
    """All shifts are estimated, including those that a scan alone does not determine."""
    ideal = clean[:, PAD:-PAD]
    moved = dataclasses.replace(truth, shifts=truth.shifts + 0.8, gain=np.ones(VIEWS))
    raw = noisy_scan(moved.undo(clean)[0][:, PAD:-PAD])
    motion = register(raw, ideal, Motion.none(THETA, (N - 1) / 2, 1.0))
    assert rms(motion.shifts - moved.shifts) < 0.1 and rms(motion.row_shifts - moved.row_shifts) < 0.1
    assert motion.roll_deg == 1.0 and (motion.gain == 1).all()


@pytest.mark.slow
def test_an_undetermined_roll_is_not_changed(clean, monkeypatch):
    """The residual is smallest at the end of the range of rolls."""
    monkeypatch.setattr(module._Level, "residual", lambda self, motion: 1.0 - 0.1 * motion.roll_deg)
    estimate = align(noisy_scan(clean), rows=False, gain=False, steps=1)
    assert estimate.motion.roll_deg == 0 and [len(tried) for _, tried in estimate.rolls] == [9]
    assert any("the roll: of -4 to 4 degrees an end fits best" in reason for reason in estimate.pinned)


def test_row_similarity_does_not_depend_on_noise(clean):
    similarity = module.row_similarity
    # Every row is shifted differently.
    by = np.random.default_rng(3).integers(6, N - 6, clean.shape[1])
    apart = np.stack([np.roll(clean[:, k], np.sum(by[:k]), axis=-1) for k in range(len(by))], axis=1)
    for noise in (0.0, 0.1, 0.2):
        add = noise * clean.max() * np.random.default_rng(2).standard_normal(clean.shape)
        scans = [Scan.create((p + add).astype(np.float32), THETA, center=(N - 1) / 2) for p in (clean, apart)]
        assert similarity(scans[0]) > 2 * module.SIMILAR and similarity(scans[1]) < module.SIMILAR


def test_levels_go_from_coarse_to_fine_bins():
    assert module._factors(48) == [1] and module._factors(150) == [2, 1]
    assert module._factors(256) == [4, 2, 1] and module._factors(2048) == [32, 16, 8]


def test_binning_preserves_line_integrals_and_the_axis(clean):
    scan = dataclasses.replace(noisy_scan(clean), center=20.5)
    coarse = module._binned(scan, 2)
    assert coarse.center == 10.0 and coarse.columns == N // 2
    # Lengths are in bins, which are twice as long.
    assert coarse.projections.sum() * 2**3 == pytest.approx(scan.projections.sum(), rel=1e-4)


@pytest.mark.slow
def test_the_centre_of_the_initial_motion_is_used():
    """The scan has another centre; once estimated, the centre is kept."""
    theta = np.deg2rad(np.linspace(0, 174, 24))
    fine = circuits3d(jax.random.key(3), 2, 2 * N, 1 / N)
    geometry = ParallelGeometry.create(theta, N, (N - 1) / 2 + 1.5)
    clean = np.moveaxis(np.asarray(jax.vmap(lambda image: project_finely(geometry, image))(fine)), 0, 1)
    scan = Scan.create(clean.astype(np.float32), theta, center=(N - 1) / 2)
    start = Motion.none(theta, (N - 1) / 2 + 1.5)
    assert abs(align(scan, start, roll=False, steps=4).motion.center - start.center) < 0.15
