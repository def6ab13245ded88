"""Simulated scans: agreement with their truth, and round trip through a file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.twin.instrument import Instrument
from pfitre_jax.twin.scenes.bank import Bank
from pfitre_jax.twin.scenes.mixture import FAMILIES, SCENES
from pfitre_jax.twin.simulate import simulate_scan

QUIET = Instrument(noise=(0.0, 0.0), gain=(0.0, 0.0), shift=(0.0, 0.0))
SIZES = dict(rows=2, columns=32, views=12)


def test_projections_agree_with_the_truth():
    simulated = simulate_scan("circuits", QUIET, **SIZES, seed=2)
    assert simulated.projections.shape == (12, 2, 32) and simulated.truth.shape == (2, 32, 32)
    assert simulated.truth.min() >= 0 and simulated.truth.max() <= 1
    A = pf.Projector(pf.ParallelGeometry.create(simulated.theta_rad, 32, simulated.center))
    for row in range(2):
        predicted = np.asarray(A(simulated.truth[row]))
        gap = np.linalg.norm(predicted - simulated.projections[:, row]) / np.linalg.norm(predicted)
        # The truth is binned from a grid that is twice as fine.
        assert gap < 0.1
        other = np.asarray(A(simulated.truth[1 - row]))
        assert np.linalg.norm(other - simulated.projections[:, row]) > 0.2 * np.linalg.norm(predicted)


def test_scenes_from_a_bank_are_simulated():
    # A bright square in the middle of the tile appears in the middle of the scan.
    tile = np.zeros((1, 32, 32))
    tile[0, 12:20, 12:20] = 1
    simulated = simulate_scan("images", QUIET, bank=Bank.create(tile), **SIZES)
    A = pf.Projector(pf.ParallelGeometry.create(simulated.theta_rad, 32, simulated.center))
    for row in range(2):
        predicted = np.asarray(A(simulated.truth[row]))
        assert np.linalg.norm(predicted - simulated.projections[:, row]) < 0.1 * np.linalg.norm(predicted)


def test_voxels_of_a_volume_are_cubes():
    """Twice the columns and rows give the same volume on a grid that is twice as fine."""
    simulated = simulate_scan("circuits3d", QUIET, rows=6, columns=24, views=4, seed=3)
    assert simulated.projections.shape == (4, 6, 24) and simulated.truth.shape == (6, 24, 24)
    finer = simulate_scan("circuits3d", QUIET, rows=12, columns=48, views=4, seed=3)
    binned = finer.truth.reshape(6, 2, 24, 2, 24, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(binned.ravel(), simulated.truth.ravel())[0, 1] > 0.95


def test_artifacts_of_rows_need_a_volume():
    rolled = dataclasses.replace(QUIET, roll=(2.0, 2.0), probability=1.0)
    with pytest.raises(ValueError, match="roll need slices that are rows of one volume"):
        simulate_scan("circuits", rolled, **SIZES)
    sizes = dict(rows=6, columns=24, views=4)
    clean = simulate_scan("circuits3d", QUIET, **sizes, seed=3)
    simulated = simulate_scan("circuits3d", rolled, **sizes, seed=3)
    np.testing.assert_array_equal(simulated.truth, clean.truth)
    assert np.linalg.norm(simulated.projections - clean.projections) > 0.01 * np.linalg.norm(
        clean.projections
    )


def test_the_same_seed_gives_the_same_scan():
    first, again, other = (simulate_scan("bars", Instrument(), **SIZES, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.projections, again.projections)
    assert np.abs(first.projections - other.projections).max() > 0.1


def test_a_written_scan_is_read_back(tmp_path):
    simulated = simulate_scan("bars", Instrument(), **SIZES)
    write_dxchange(tmp_path / "scan.h5", simulated.projections, simulated.theta_rad, truth=simulated.truth)
    scan = pf.load_scan(tmp_path / "scan.h5", center=simulated.center)
    np.testing.assert_array_equal(scan.projections, simulated.projections)
    np.testing.assert_allclose(scan.theta_rad, simulated.theta_rad, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scene": "clouds"}, "unknown scene 'clouds'; expected one of circuits"),
        ({"scene": "images"}, "scene 'images' without a bank"),
        ({"bank": Bank.create(np.ones((1, 16, 16)))}, "scene 'circuits' with a bank"),
        ({"rows": 0}, "rows is 0; expected at least 1"),
        ({"columns": 4}, "columns is 4; expected at least 16"),
        ({"views": 1}, "views is 1; expected at least 2"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        simulate_scan(**{"scene": "circuits", "instrument": QUIET, **SIZES, **settings})


def test_families_contain_every_scene():
    assert {name for names in FAMILIES.values() for name in names} == set(SCENES)
