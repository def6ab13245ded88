"""Damaged scans of discs: exactly the damaged bins are left out, and named."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_sinogram

from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import leave_out_blank_views, to_scan
from pfitre_jax.data.raw import LazyStack, RawScan

THETA = np.deg2rad(np.arange(0.0, 180.0, 5.0))
VIEWS, ROWS, COLUMNS = len(THETA), 3, 48
DISCS = [(1.0, -2.0, 14.0, 0.02), (8.0, 3.0, 3.3, 0.04), (-6.0, -5.0, 2.5, -0.015)]
CLEAN = np.stack([f * disc_sinogram(DISCS, THETA, COLUMNS, 23.5) for f in (1.0, 1.3, 0.7)], axis=1)


def counts(beam: float = 40000.0, dark: float = 100.0, seed: int = 0) -> dict:
    """Counts of the discs with photon noise, and their frames."""
    rng = np.random.default_rng(seed)
    photons = rng.poisson(beam * np.exp(-CLEAN.astype(float))) + rng.normal(dark, 3, CLEAN.shape)
    frames = np.full((ROWS, COLUMNS), dark)
    return {
        "projections": np.round(photons).astype(np.uint16),
        "flat": frames + beam,
        "dark": frames,
    }


def invalid(raw: RawScan, lazy: bool = False) -> np.ndarray:
    """Bins that are left out when a raw scan is read, in memory or lazily."""
    if not lazy:
        return ~to_scan(raw, center=23.5).mask
    stack = LazyStack(raw.projections.shape, raw.projections.dtype, lambda rows: raw.projections[:, rows])
    lazily = RawScan(stack, *(getattr(raw, n) for n in ("theta_rad", "kind", "flat", "dark", "center")), {})
    return ~open_lazily(lazily, center=23.5).mask


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["line integrals", "noise", "counts", "photons of a weak source"])
def test_an_undamaged_scan_keeps_every_bin(kind, lazy):
    if kind == "counts":
        raw = RawScan.create(theta_rad=THETA, **counts())
    else:
        rng = np.random.default_rng(1)
        noisy = CLEAN + rng.normal(0, 0.05, CLEAN.shape)
        weak = rng.poisson(3 * CLEAN)
        raw = RawScan.create({"line integrals": CLEAN, "noise": noisy}.get(kind, weak), THETA)
    assert not invalid(raw, lazy).any()
    assert to_scan(raw).warnings == ()


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("value", [0.0, np.nan, -1.0, 0.3])
def test_views_that_were_never_written(value, lazy):
    p = CLEAN.copy()
    p[25:] = value
    expected = np.zeros(p.shape, bool)
    expected[25:] = True
    np.testing.assert_array_equal(invalid(RawScan.create(p, THETA), lazy), expected)
    scan = leave_out_blank_views(to_scan(RawScan.create(p, THETA)))
    np.testing.assert_array_equal(scan.theta_rad, THETA[:25])
    assert (
        "views 25-35 have no measured bin" in scan.warnings[-1] and "25 views are used" in scan.warnings[-1]
    )


def test_a_scan_that_was_aborted_within_a_view():
    p = CLEAN.copy()
    p[25, 1:], p[26:] = 0, 0
    expected = p == np.inf
    expected[25, 1:], expected[26:] = True, True
    raw = RawScan.create(p, THETA)
    np.testing.assert_array_equal(invalid(raw), expected)
    assert "rows 1-2 of views 25 hold one constant value" in to_scan(raw).warnings[0]


@pytest.mark.parametrize("kind", ["counts", "transmission", "absorption"])
def test_views_without_beam(kind):
    """The beam was off in five views: the detector shows the noise of its readout."""
    data = counts()
    off = [4, 20, 21, 22, 35]
    rng = np.random.default_rng(2)
    data["projections"][off] = np.round(rng.normal(100.4, 3, (len(off), ROWS, COLUMNS)))
    if kind != "counts":
        transmission = np.maximum((data["projections"] - 100.0) / 40000, 1e-5)
        p = transmission if kind == "transmission" else -np.log(transmission)
        data = {"projections": p, "kind": kind}
    left_out = invalid(RawScan.create(theta_rad=THETA, **data)).all(axis=(1, 2))
    assert np.flatnonzero(left_out).tolist() == off


def test_a_blocked_view_of_a_fluorescence_scan():
    rng = np.random.default_rng(3)
    p = rng.poisson(100 * CLEAN).astype(float)
    p[[7, 8]] = rng.poisson(0.05, p[:2].shape)
    left_out = invalid(RawScan.create(p, THETA)).all(axis=(1, 2))
    assert np.flatnonzero(left_out).tolist() == [7, 8]


@pytest.mark.parametrize("largest_deg", [60.0, 75.0])
@pytest.mark.parametrize("middle_deg", [0.0, 40.0])
def test_oblique_views_of_a_plate_wider_than_the_detector(largest_deg, middle_deg):
    """The path through a plate of thickness t is ``t / cos``; only a closed shutter is more than that."""
    rng = np.random.default_rng(5)
    tilt = np.deg2rad(np.linspace(-largest_deg, largest_deg, 61))
    plate = (1 + 0.1 * rng.random((61, ROWS, COLUMNS))) / np.cos(tilt)[:, None, None]
    theta = tilt + np.deg2rad(middle_deg)
    assert not invalid(RawScan.create(plate, theta)).any()
    plate[[20, 55]] = 11 + 0.1 * rng.random((2, ROWS, COLUMNS))
    left_out = invalid(RawScan.create(plate, theta)).all(axis=(1, 2))
    assert np.flatnonzero(left_out).tolist() == [20, 55]


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("value", [0.0, 3.0, 0.5, -1.0])
@pytest.mark.parametrize("column", [2, 17, 18, 30])
def test_a_pixel_that_is_stuck_in_one_row(value, column, lazy):
    """Zero is the truth in the air of column 2 and is no defect there."""
    p = CLEAN.copy()
    p[:, 1, column] = value
    expected = np.zeros(p.shape, bool)
    expected[:, 1, column] = value != 0 or column != 2
    raw = RawScan.create(p, THETA)
    np.testing.assert_array_equal(invalid(raw, lazy), expected)
    if expected.any():
        assert f"pixels (row, column) (1, {column}) hold one value" in to_scan(raw).warnings[0]


def test_three_stuck_pixels_beside_each_other_and_blank_views():
    p = CLEAN.copy()
    p[:, 0, 20:23], p[:, 2, 0] = 2.0, 2.0
    p[30:] = 0
    expected = np.zeros(p.shape, bool)
    expected[:, 0, 20:23], expected[:, 2, 0], expected[30:] = True, True, True
    np.testing.assert_array_equal(invalid(RawScan.create(p, THETA)), expected)


def test_stuck_and_saturated_pixels_of_counts():
    """One pixel is always, another one sometimes at the largest value of the type, also in its flat."""
    data = counts()
    data["projections"][:, 1, 20] = 65535
    data["projections"][5:12, 2, 30] = 65535
    data["projections"][:, 0, 24] = 21234
    data["flat"][1, 20] = 65535
    expected = np.zeros(CLEAN.shape, bool)
    expected[:, 1, 20] = expected[:, 0, 24] = expected[5:12, 2, 30] = True
    raw = RawScan.create(theta_rad=THETA, **data)
    np.testing.assert_array_equal(invalid(raw), expected)
    assert "65535 or more are saturated" in to_scan(raw).warnings[-1]


def test_a_pixel_whose_counts_wrapped():
    """A hot pixel of a fluorescence scan counts more than int16 holds in most views."""
    p = np.random.default_rng(4).poisson(2000 * CLEAN / CLEAN.max())
    p[:, 1, 25] += 33000
    wrapped = p.astype(np.int16)
    expected = wrapped < 0
    assert expected.any()
    raw = RawScan.create(wrapped, THETA)
    np.testing.assert_array_equal(invalid(raw), expected)
    assert "wrapped" in to_scan(raw).warnings[-1]


def test_real_scans_have_no_new_defects(cu23, i13, tooth):
    assert to_scan(cu23).warnings == i13.warnings == tooth.warnings == ()


def stored(kind: str, p: np.ndarray) -> dict:
    """Line integrals as a kind of data, float32."""
    if kind == "absorption":
        return {"projections": p.astype(np.float32)}
    transmission = np.exp(-p).astype(np.float32)
    return {"projections": transmission, "kind": kind}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["absorption", "transmission"])
def test_zingers_are_left_out_and_named(kind, lazy):
    """Three bins of one view or of several, twenty times as bright as the brightest."""
    rng = np.random.default_rng(5)
    data = stored(kind, CLEAN + rng.normal(0, 0.01, CLEAN.shape))
    expected = np.zeros(CLEAN.shape, bool)
    expected[7, 1, 20] = expected[7, 1, 33] = expected[20, 2, 0] = True
    data["projections"][expected] = 20 * data["projections"].max()
    raw = RawScan.create(theta_rad=THETA, **data)
    np.testing.assert_array_equal(invalid(raw, lazy), expected)
    assert "(7, 1, 20), (7, 1, 33), (20, 2, 0) are zingers" in to_scan(raw).warnings[0]


@pytest.mark.parametrize("kind", ["absorption", "transmission"])
@pytest.mark.parametrize("noise", [0, 1])
def test_a_wire_seen_edge_on_and_a_small_particle_are_no_zingers(kind, noise):
    """In the view along a wire its line integral is 45 times as high as in the others, in a single bin."""
    rng = np.random.default_rng(6)
    theta = np.arange(0.0, 180.0, 2.0)
    angle = np.deg2rad(theta - 90.0)[:, None]
    t = np.arange(COLUMNS) - 23.5
    length, width = 40.0, 0.9
    reach = np.maximum(length * np.abs(np.sin(angle)), width)
    wire = np.clip(reach / 2 + 0.5 - np.abs(t), 0, 1)
    wire *= length * width / wire.sum(axis=1, keepdims=True)
    particle = np.exp(-((t - 15 * np.cos(angle)) ** 2))
    for sample in (0.03 * wire, particle):
        p = np.repeat(sample[:, None], 2, axis=1)
        p = p + noise * 0.003 * rng.standard_normal(p.shape)
        raw = RawScan.create(theta_rad=np.deg2rad(theta), **stored(kind, p))
        assert not any("zingers" in text for text in to_scan(raw).warnings)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("exposures", [1, 2])
def test_a_pixel_that_dies_during_the_scan(exposures, lazy):
    p, theta = CLEAN.copy(), THETA
    p, theta = np.repeat(p, exposures, axis=0), np.repeat(theta, exposures)
    p[18:, 1, 22] = p[18, 1, 22]
    expected = np.zeros(p.shape, bool)
    expected[18:, 1, 22] = True
    raw = RawScan.create(p, theta)
    np.testing.assert_array_equal(invalid(raw, lazy), expected)
    assert "(1, 22) hold one value in many successive views" in to_scan(raw).warnings[-1]


@pytest.mark.parametrize("lazy", [False, True])
def test_views_that_repeat_the_one_before(lazy):
    p = CLEAN.copy()
    p[20:26] = p[19]
    expected = np.zeros(p.shape, bool)
    expected[20:26] = True
    np.testing.assert_array_equal(invalid(RawScan.create(p, THETA), lazy), expected)
    # Exposures at one angle, and a round sample, are alike without noise.
    same_angle = THETA.copy()
    same_angle[20:26] = THETA[19]
    assert not invalid(RawScan.create(p, same_angle), lazy).any()
    assert not invalid(RawScan.create(np.repeat(CLEAN[:1], VIEWS, axis=0), THETA), lazy).any()


@pytest.mark.parametrize("kind", ["absorption", "transmission"])
def test_air_at_the_border_is_not_stuck(kind):
    """Air without noise is constant, the darkest for line integrals and the brightest for transmission."""
    raw = RawScan.create(theta_rad=THETA, **stored(kind, CLEAN))
    cut = RawScan.create(theta_rad=THETA, **stored(kind, CLEAN[:, :, 7:]))
    for scan in (raw, cut):
        assert to_scan(scan).warnings == ()
