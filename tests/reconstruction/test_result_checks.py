"""Prediction of held-out views and resolution from half sets, on scans of discs with known noise."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack

import pfitre_jax as pf
from pfitre_jax.estimation.held_out_views import end_folds
from pfitre_jax.reconstruction import validation
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.result import read_result

NOISE = 0.3


@functools.cache
def noisy_scan():
    stack = disc_stack([[(2.0, 1.0, 9.0, 1.0), (-3.0, 2.0, 2.0, -0.5)]] * 3)
    noise = np.random.default_rng(0).normal(size=stack.shape)
    return pf.Scan.create((stack + NOISE * noise).astype(np.float32), THETA, center=CENTER, pixel_size=0.5)


def reconstruct():
    return pf.reconstruct(noisy_scan(), "sirt", support="disc", iterations=20, validate=True, resolution=True)


@functools.cache
def checked():
    """The checks with a reference that compiles quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "REFERENCE", "cgls")
        return reconstruct()


def check_errors(result, most_overestimated):
    for kind in ("interpolating", "extrapolating"):
        errors = result.validation[kind]
        held = noisy_scan().projections[errors["views"]]
        floor = NOISE * np.sqrt(held.size) / np.linalg.norm(held)
        assert 0.75 * floor < errors["noise_floor"] < most_overestimated * floor
        # No image predicts noise; twenty views of 33 columns leave errors of the image, too.
        assert 0.9 * floor < errors["fista_tv"] < 5 * floor
        assert 0.9 * floor < errors["error"] < 5 * floor


def test_the_floor_is_the_noise_and_no_prediction_is_better():
    # Without a TV weight, the noise is that of second differences, which edges raise.
    check_errors(checked(), 2)
    # Every fifth of the 20 views, and a tenth of them at either end.
    assert np.all(np.diff(checked().validation["interpolating"]["views"]) == 5)
    assert len(checked().validation["extrapolating"]["views"]) == 4
    assert checked().validation["verdict"][0].startswith("sirt predicts views beyond the measured range")


@pytest.mark.slow
def test_the_reference_is_fista_tv():
    result = reconstruct()
    check_errors(result, 1.25)
    assert result.validation["interpolating"]["fista_tv"] < result.validation["interpolating"]["error"]


def test_the_prediction_does_not_depend_on_the_held_out_views():
    scan, settings = noisy_scan(), Settings.create("sirt", iterations=20, support="disc")
    held = np.any(end_folds(THETA) > 0, axis=0)
    changed = scan.projections.copy()
    changed[held] = 7.0
    rows = np.arange(3)
    before, _ = validation._predict(scan, held, settings, rows, None)
    after, _ = validation._predict(scan.with_projections(changed), held, settings, rows, None)
    np.testing.assert_array_equal(before, after)


def test_a_volume_that_is_solved_in_chunks_is_validated(monkeypatch):
    """Chunks have halos of rows, which are more than the rows that are predicted."""
    scan = pf.Scan.create(disc_stack([[(2.0, 1.0, 9.0, 1.0)]] * 12).astype(np.float32), THETA, center=CENTER)
    settings = Settings.create("fista-tv", joint=True, iterations=20, weight=1e-3, support="disc")
    whole = validation.validate(scan, settings, slice(0, 12))
    make_plan = validation.make_plan
    monkeypatch.setattr(
        validation, "make_plan", lambda *args, **options: make_plan(*args, **options | {"chunk": 4})
    )
    parts = validation.validate(scan, settings, slice(0, 12))
    np.testing.assert_array_equal(parts.rows, np.arange(2, 10))
    for kind in ("interpolating", "extrapolating"):
        assert getattr(parts, kind).error == pytest.approx(getattr(whole, kind).error, rel=0.02)


def test_the_final_reconstruction_uses_all_views():
    plain = pf.reconstruct(noisy_scan(), "sirt", support="disc", iterations=20)
    np.testing.assert_array_equal(plain.volume, checked().volume)
    assert plain.validation is None and plain.resolution is None


def test_resolution_is_stated_in_pixels_and_micrometres():
    rings = checked().resolution["rings"]
    assert 2 < rings["pixels"]["half-bit"] < 20
    assert rings["um"]["half-bit"] == pytest.approx(0.5 * rings["pixels"]["half-bit"])
    assert checked().resolution["rows"] == 3


def test_the_checks_are_in_the_file_and_in_the_summary(tmp_path):
    checked().save(tmp_path)
    read = read_result(tmp_path / "recon.h5")
    assert read.validation == checked().validation
    assert read.resolution == checked().resolution
    assert checked().summary()["validation"]["verdict"]


@pytest.mark.parametrize("views", [10, 13, 48, 51, 200])
def test_both_sets_have_as_many_views_and_only_one_has_the_ends(views):
    theta = np.deg2rad(np.linspace(-50, 50, views))
    between, beyond = validation.held_out_sets(theta).values()
    assert between.sum() == beyond.sum() == pytest.approx(views / 5, abs=1)
    assert not between[0] and not between[-1] and beyond[0]
    inner = np.flatnonzero(~beyond)
    assert np.all(np.diff(inner) == 1)


def test_too_few_views_are_refused():
    with pytest.raises(ValueError, match="validate=True for a scan of 5 views; expected at least 10"):
        pf.reconstruct(noisy_scan().take_views(slice(0, 20, 4)), "sirt", validate=True)


@pytest.mark.parametrize(
    "rows, joint, expected", [((2, 5), False, [2, 3, 4]), ((0, 80), True, range(36, 44))]
)
def test_the_rows_that_are_reconstructed(rows, joint, expected):
    assert list(validation._validation_rows(slice(*rows), joint)) == list(expected)


@pytest.mark.parametrize(("name", "views", "used"), [("resolution", 20, 10), ("validate", 13, 11)])
def test_a_prior_is_not_adapted_to_too_few_views_after_the_reconstruction(name, views, used):
    scan = noisy_scan().take_views(np.arange(views))
    with pytest.raises(
        ValueError, match=f"{name}=True with adapt=True .* adapts the prior to {used} of them"
    ):
        pf.reconstruct(scan, adapt=True, **{name: True})


def test_a_prior_is_not_adapted_to_a_scan_of_few_views():
    with pytest.raises(ValueError, match="the scan has 10 views; expected at least 12"):
        pf.reconstruct(noisy_scan().take_views(np.arange(10)), adapt=True)
