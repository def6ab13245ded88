"""Faces of a flat sample, which no view shows."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_sinogram

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.plate_selection import PlateSearch, select_plate
from pfitre_jax.estimation.support import FieldOfView
from pfitre_jax.estimation.support_trials import TrialErrors

COLUMNS = 64
CENTER = (COLUMNS - 1) / 2
#: 96 degrees are missing around the direction y = along the faces' normal.
THETA = np.deg2rad(np.linspace(-42, 42, 31))


def plate_sinogram(width, thickness, offset):
    """Line integrals (views, columns) of a plate of value 0.3, in closed form, averaged over each bin."""
    fine = (np.arange(8 * COLUMNS) + 0.5) / 8 - 0.5 - CENTER
    c, s = np.cos(THETA)[:, None], np.abs(np.sin(THETA))[:, None] + 1e-9
    distance = np.abs(fine - offset * np.sin(THETA)[:, None])
    ramp = ((width * c + thickness * s) / 2 - distance) / (c * s)
    chords = np.clip(ramp, 0, np.minimum(width / s, thickness / c))
    return 0.3 * chords.reshape(len(THETA), COLUMNS, 8).mean(axis=2)


def discs_sinogram(discs):
    return disc_sinogram(discs, THETA, COLUMNS, CENTER)


def noisy_scan(*rows):
    """Scan of sinograms (views, columns), one for each row."""
    rows = np.stack(rows, axis=1)
    noise = 0.01 * rows.max() * np.random.default_rng(0).standard_normal(rows.shape)
    return Scan.create((rows + noise).astype(np.float32), THETA, center=CENTER)


def selected(scan):
    return select_plate(scan, FieldOfView.from_scan(scan))[0]


class ModelTrials:
    """Trials whose error is that of a sample in closed form: what the limits cut, and what they add."""

    factor, seconds_compile, sinograms = 1, 0.0, np.zeros((1, 1, 1))

    def __init__(self, cut):
        self.cut = cut

    def errors(self, images, iterations, *, reference, batch):
        lines = images.any(axis=2)
        low = np.argmax(lines, axis=1) - 32.0
        high = 32.0 - np.argmax(lines[:, ::-1], axis=1)
        outside = np.clip(-8 - low, 0, None) + np.clip(high - 8, 0, None)
        error = np.hypot(0.04, 0.002 * outside) + self.cut(low + 8) + self.cut(8 - high)
        return TrialErrors(error, np.stack([error, error], axis=1), error[:, None])


def search(cut):
    along = np.arange(64)[:, None] - 31.5 + np.zeros((1, 64))
    return PlateSearch(ModelTrials(cut), np.ones((64, 64), bool), along)


def test_limits_are_faces_where_the_error_rises_at_once():
    def flat(depth):
        return 0.01 * np.clip(depth, 0, None)

    def round_(depth):
        return 0.0005 * np.clip(depth, 0, None) ** 2

    assert search(flat).best_limits() == (-8.0, 8.0)
    assert search(flat).are_faces((-8.0, 8.0))
    assert not search(round_).are_faces((-8.0, 8.0))
    # One of the limits is far outside the sample, where nothing depends on it.
    assert not search(flat).are_faces((-8.0, 16.0))
    assert not search(lambda depth: 0 * depth).are_faces((-8.0, 8.0))


@pytest.mark.slow
@pytest.mark.parametrize("thickness, offset", [(12.0, 0.0), (16.0, 5.0)])
def test_a_plate_is_not_cut_and_its_thickness_is_found(thickness, offset):
    inclusions = [(-12.0, offset + 1.5, 2.5, 0.7), (9.0, offset - 1.0, 2.5, 0.7)]
    shape = selected(noisy_scan(plate_sinogram(46.0, thickness, offset) + discs_sinogram(inclusions)))
    assert shape is not None and shape.faces is not None
    low, high = shape.faces.low, shape.faces.high
    assert low <= offset - thickness / 2 and high >= offset + thickness / 2
    # A bin of the trials has 2 columns; the margin is 2 bins on each side, and limits lie within a bin.
    assert high - low <= thickness + 12


@pytest.mark.slow
def test_a_round_sample_is_not_cut():
    discs = [(0.0, 0.0, 24.0, 0.3), (-8.0, 5.0, 4.0, 0.7), (6.0, 15.0, 4.0, 0.7)]
    shape = selected(noisy_scan(discs_sinogram(discs)))
    assert shape is None or (shape.faces.low <= -24 and shape.faces.high >= 24)


@pytest.mark.slow
def test_weak_matter_around_a_plate_is_not_cut():
    weak = discs_sinogram([(0.0, 0.0, 26.0, 0.03)])
    assert selected(noisy_scan(plate_sinogram(40.0, 8.0, 0.0) + weak)) is None


@pytest.mark.slow
def test_a_row_with_a_thicker_sample_is_not_cut():
    thin, thick = plate_sinogram(46.0, 12.0, 0.0), plate_sinogram(30.0, 26.0, 0.0)
    # The search does not use the row of the thick sample, the weakest one. It casts no wider shadow.
    assert selected(noisy_scan(thin, thin, 0.2 * thick, thin)) is None


def test_without_a_wide_wedge_shadows_suffice():
    theta = np.deg2rad(np.arange(-80, 80, 4.0))
    sinogram = disc_sinogram([(0.0, 0.0, 8.0, 1.0)], theta, COLUMNS, CENTER)
    scan = Scan.create(sinogram[:, None], theta, center=CENTER)
    assert select_plate(scan, FieldOfView.from_scan(scan)) == (None, 0.0)
