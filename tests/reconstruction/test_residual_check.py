"""Scans of the twin with exactly one fault: the residual names it, and names nothing in clean scans."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.cli.errors import in_options
from pfitre_jax.twin.instrument import draw_geometry, measure, quiet_instrument
from pfitre_jax.twin.scenes.mixture import SCENES

ROWS, VIEWS, COLUMNS = 3, 40, 48
WIDE = {"missing_deg": (15.0, 60.0), "core_share": 0.0, "noise": (0.003, 0.03), "center": 0.0}
ANY = WIDE | {"missing_deg": (20.0, 120.0)}


@functools.cache
def _measure(scene, seed, slab, instrument):
    keys = jax.random.split(jax.random.key(seed), 3)
    fine = jax.lax.map(lambda k: SCENES[scene](k, 2 * COLUMNS), jax.random.split(keys[0], ROWS))
    if slab:
        height = (jnp.arange(2 * COLUMNS) - COLUMNS) / COLUMNS
        fine = fine * (jnp.abs(height) < 0.3)[None, :, None]
    geometry, _ = draw_geometry(keys[1], instrument, VIEWS, COLUMNS)
    return geometry, jax.jit(measure, static_argnums=1)(keys[2], instrument, geometry, fine)


def scan_of(seed, *, scene="circuits", harden=0.0, crop=0, ranges=ANY, **faults):
    """A scan of the twin with these faults; ``harden`` is the beam hardening of a flat sample."""
    instrument = quiet_instrument(**ranges, **{name: (size, size) for name, size in faults.items()})
    geometry, measured = _measure(scene, seed, harden > 0, instrument)
    sinograms = np.asarray(measured.sinograms)
    if harden:
        largest = sinograms.max()
        sinograms = (1 - np.exp(-harden * sinograms / largest)) / harden * largest
    kept = slice(crop, COLUMNS - crop)
    return pf.Scan.create(
        np.moveaxis(sinograms, 0, 1)[:, :, kept],
        np.asarray(geometry.theta_rad, float),
        mask=np.repeat(np.asarray(measured.mask)[:, None, kept] > 0, ROWS, axis=1),
        center=float(geometry.center) - crop,
    )


def faults_of(scan, **settings):
    """Names of the patterns that the result names as faults, and its warnings as the command prints them."""
    arguments = {"support": "disc", "iterations": 100, "weight": 7e-4} | settings
    result = pf.reconstruct(scan, "fista-tv", **arguments)
    patterns = result.residual_statistics["patterns"]
    named = [name for name, pattern in patterns.items() if pattern["fault"]]
    return named, [in_options(text) for text in result.warnings]


FAULTS = {
    "stripes": ({"stripes": 0.02}, "columns", "--stripes"),
    "moved views": ({"shift": 0.7}, "views", "--align"),
    "drift": ({"drift": 1.5, "ranges": WIDE}, ("views", "axis"), "--align"),
    "wrong axis": ({"center_error": 1.5, "ranges": WIDE}, "axis", "--center auto"),
    "gains": ({"gain": 0.03}, "gains", "--gains"),
    "self-absorption": ({"absorption": 2.0, "ranges": WIDE}, "absorption", "--gains"),
    "beam hardening": ({"harden": 0.6}, "absorption", "--gains"),
    "zingers": ({"zingers": 0.01}, "outliers", "--robust student-t"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_the_switch_that_helps(fault):
    arguments, name, switch = FAULTS[fault]
    named, warnings = faults_of(scan_of(1, **arguments))
    assert set(named) & ({name} if isinstance(name, str) else set(name)), named
    assert any(switch in text for text in warnings)


@pytest.mark.slow
def test_a_truncated_sample_is_named_with_the_switch_that_helps():
    warnings = faults_of(scan_of(3, crop=8))[1]
    assert any("--support extended" in text for text in warnings), warnings


@pytest.mark.slow
def test_clean_scans_have_no_faults():
    """At most one of 12 clean scans of three kinds of scenes."""
    scenes = ["circuits", "ellipses", "bars"]
    named = [faults_of(scan_of(seed, scene=scenes[seed % 3]))[0] for seed in range(100, 112)]
    assert sum(bool(faults) for faults in named) <= 1, named


@pytest.mark.slow
def test_the_switch_removes_the_pattern():
    assert "columns" not in faults_of(scan_of(1, stripes=0.02), stripes=True)[0]
    assert "gains" not in faults_of(scan_of(1, gain=0.03), gains=True)[0]


def test_the_faults_of_a_method_that_does_not_fit_the_data_are_not_named():
    scan = pf.Scan.create(np.random.default_rng(0).random((20, 3, 33)), np.linspace(0, 2, 20), center=16.0)
    result = pf.reconstruct(scan, "fbp")
    assert result.residual_statistics["chi_square"] > 0
    assert not any("residual" in text or "intensities" in text for text in result.warnings)


def test_the_statistics_are_read_back(tmp_path):
    scan = pf.Scan.create(np.random.default_rng(0).random((20, 3, 33)), np.linspace(0, 2, 20), center=16.0)
    result = pf.reconstruct(scan, "fbp")
    result.save(tmp_path)
    assert pf.read_result(tmp_path / "recon.h5").residual_statistics == result.residual_statistics
    assert dataclasses.asdict(result)["residual_statistics"]["view_correlation"]["bound"] > 0
