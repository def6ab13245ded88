"""The virtual instrument against closed forms: angles, strip integrals, and the statistics of its errors."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import disc_sinogram
from scipy import ndimage
from two_discs import COLUMNS, DISCS, THETA

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.twin import instrument as twin
from pfitre_jax.twin.artifacts.registry import ARTIFACTS
from pfitre_jax.twin.instrument import Instrument


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _scan(key, images, noise, gain, shift, probability):
    strengths = Instrument(
        noise=(noise, noise), gain=(gain, gain), shift=(shift, shift), probability=probability
    )
    scan = twin.measure(key, strengths, ParallelGeometry.create(THETA, COLUMNS, 14.75), images)
    return scan.sinograms, scan.noise


def scan(seed, fine, noise=0.0, gain=0.0, shift=0.0, probability=1.0):
    """Sinograms (3, views, columns) and noise level of a scan of the discs, of them at half the value, and of
    them turned over, whose artifacts have these strengths."""
    images = jnp.stack([fine, 0.5 * fine, fine.T])
    sinograms, level = _scan(jax.random.key(seed), images, noise, gain, shift, probability)
    return np.asarray(sinograms), float(level)


def middles(sinograms):
    """Centre of mass of every view, bins, (..., views)."""
    sinograms = np.asarray(sinograms, float)
    return sinograms @ np.arange(sinograms.shape[-1]) / sinograms.sum(axis=-1)


# --- geometry


@pytest.mark.parametrize("orientation_deg", [0.0, 30.0, 45.0, 89.0, 135.0, 179.5, 200.0])
@pytest.mark.parametrize("missing_deg", [40.0, 96.0, 120.0])
def test_wedge_agrees_with_the_angles(orientation_deg, missing_deg):
    missing, orientation = np.deg2rad(missing_deg), np.deg2rad(orientation_deg)
    geometry, wedge = twin.limited_angle_geometry(missing, orientation, 17, COLUMNS, 1.5)
    measured = Wedge.from_angles(geometry.theta_rad)
    np.testing.assert_allclose([wedge.width_rad, measured.width_rad], missing, atol=1e-5)
    for center in (wedge.center_rad, measured.center_rad):
        np.testing.assert_allclose(np.exp(2j * float(center)), np.exp(2j * orientation), atol=1e-5)
    # No view lies in the wedge, and the views are evenly spread over the rest.
    assert np.all(np.cos(2 * (geometry.theta_rad - orientation)) < np.cos(missing))
    np.testing.assert_allclose(np.diff(geometry.theta_rad), (np.pi - missing) / 17, rtol=1e-4)
    assert geometry.center == (COLUMNS - 1) / 2 + 1.5 and not np.any(geometry.shifts)


def test_drawn_geometries_fill_their_ranges():
    ranges = Instrument(missing_deg=(40.0, 110.0), core_deg=(60.0, 70.0), core_share=0.5, center=0.1)

    count = 800
    keys = jax.random.split(jax.random.key(1), count)
    geometry, wedge = jax.jit(jax.vmap(lambda key: twin.draw_geometry(key, ranges, 9, 40)))(keys)
    center = np.asarray(wedge.center_rad)
    assert center.min() >= 0 and center.max() <= np.pi * (1 + 1e-6)
    # Uniform: quarters hold a quarter each, within 5 standard deviations.
    parts = np.histogram(center, np.linspace(0, np.pi * (1 + 1e-6), 5))[0] / count
    np.testing.assert_allclose(parts, 0.25, atol=5 * (0.25 * 0.75 / count) ** 0.5)
    width = np.rad2deg(wedge.width_rad)
    assert width.min() >= 40 - 1e-3 and width.max() <= 110 + 1e-3
    # Half of them in the core, and of the others a seventh.
    share = 0.5 + 0.5 * 10 / 70
    inside = np.mean((width >= 60) & (width <= 70))
    np.testing.assert_allclose(inside, share, atol=5 * (share * (1 - share) / count) ** 0.5)
    offset = np.asarray(geometry.center) - 19.5
    assert np.abs(offset).max() <= 4 and np.abs(offset).max() > 3.8
    for theta, one in zip(geometry.theta_rad[:20], wedge.width_rad[:20], strict=True):
        np.testing.assert_allclose(Wedge.from_angles(theta).width_rad, one, atol=1e-5)


@pytest.mark.parametrize("views", [24, 180])
def test_uneven_views_are_sorted_within_the_measured_range(views):
    ranges = Instrument(missing_deg=(20.0, 140.0), core_share=0.0, uneven_share=1.0)
    even = dataclasses.replace(ranges, uneven_share=0.0)

    def draw(instrument, keys):
        return jax.jit(jax.vmap(lambda key: twin.draw_geometry(key, instrument, views, COLUMNS)))(keys)

    keys = jax.random.split(jax.random.key(4), 60)
    geometry, wedge = draw(ranges, keys)
    reference, same = draw(even, keys)
    # Wedge and centre do not depend on the spacing.
    np.testing.assert_allclose(wedge.width_rad, same.width_rad, atol=1e-6)
    np.testing.assert_allclose(wedge.center_rad, same.center_rad, atol=1e-6)
    np.testing.assert_allclose(geometry.center, reference.center, atol=1e-5)
    theta, half = np.asarray(geometry.theta_rad), np.asarray(wedge.width_rad)[:, None] / 2
    begin = np.asarray(wedge.center_rad)[:, None] + half
    assert np.all(theta > begin) and np.all(theta < begin + np.pi - 2 * half)
    steps = np.diff(theta, axis=1)
    assert steps.min() > 0
    spread = steps.std(axis=1) / steps.mean(axis=1)
    assert np.median(spread) > 0.15 and spread.min() > 0.001
    # Jittered views (relative spread 0.39), random ones (0.87 less the least spacing) and progressions.
    ratio = steps[:, -1] / steps[:, 0]
    monotone = np.all(np.diff(steps, n=1, axis=1) * np.sign(np.log(ratio))[:, None] > -1e-5, axis=1)
    assert 0.1 < monotone.mean() < 0.6
    assert ratio[monotone].max() < twin.SPACING_RATIO and ratio[monotone].min() > 1 / twin.SPACING_RATIO


def test_the_given_share_of_scans_is_uneven():
    keys = jax.random.split(jax.random.key(1), 400)
    positions = np.asarray(jax.jit(jax.vmap(lambda key: twin.draw_positions(key, 0.25, 12)))(keys))
    even = np.all(np.abs(positions - (np.arange(12) + 0.5) / 12) < 1e-5, axis=1)
    assert np.mean(~even) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 400) ** 0.5)


# --- a scan


def test_the_key_determines_the_scan(fine):
    first, again, other = (scan(seed, fine, noise=0.01, gain=0.03, shift=0.5)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_perfect_instrument_measures_the_projections(fine):
    clean = scan(0, fine)[0]
    expected = disc_sinogram(DISCS, THETA, COLUMNS, 14.75, fine=64)
    assert np.linalg.norm(clean[0] - expected) <= 0.01 * np.linalg.norm(expected)
    # Nothing of a strength that is 0, nor of one that never occurs, whatever the key.
    for seed, off in ((1, {}), (2, {"gain": 0.2, "shift": 3.0, "probability": 0.0})):
        np.testing.assert_allclose(scan(seed, fine, **off)[0], clean, atol=1e-4)


def test_gain_is_equal_in_all_slices_of_a_view(fine):
    clean, gained = scan(0, fine)[0], scan(7, fine, gain=0.1)[0]
    gain = np.sum(gained * clean, axis=2) / np.sum(clean**2, axis=2)
    np.testing.assert_allclose(gained, gain[..., None] * clean, atol=1e-3)
    np.testing.assert_allclose(gain[1:], gain[[0, 0]], rtol=1e-3)
    np.testing.assert_allclose(gain[0].std(), 0.1, rtol=5 / (2 * len(THETA)) ** 0.5)


def test_shift_is_equal_in_all_slices_of_a_view(fine):
    clean, moved = scan(0, fine)[0], scan(7, fine, shift=0.6)[0]
    shifts = middles(moved) - middles(clean)
    np.testing.assert_allclose(shifts[1:], shifts[[0, 0]], atol=0.02)
    np.testing.assert_allclose(shifts[0].std(), 0.6, rtol=5 / (2 * len(THETA)) ** 0.5)
    # A view that is moved by s is the discs' closed form with its centre moved by s.
    for view in range(0, len(THETA), 5):
        expected = disc_sinogram(DISCS, THETA[view : view + 1], COLUMNS, 14.75 + shifts[0, view], fine=64)[0]
        assert np.linalg.norm(moved[0, view] - expected) <= 0.02 * np.linalg.norm(expected)


def test_noise_has_the_given_level_in_every_slice(fine):
    clean, (noisy, level) = scan(0, fine)[0], scan(8, fine, noise=0.05)
    noise = noisy - clean
    np.testing.assert_allclose(level, 0.05, rtol=1e-5)
    sigma = 0.05 * clean.max(axis=(1, 2))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), sigma, rtol=5 / (2 * clean[0].size) ** 0.5)
    # Noise is drawn separately for each slice.
    assert np.abs(np.corrcoef(noise.reshape(3, -1)) - np.eye(3)).max() < 5 / clean[0].size ** 0.5


def test_draws_of_an_artifact_do_not_depend_on_the_others(fine):
    """Enabling one artifact does not change the random numbers of the others."""
    geometry = ParallelGeometry.create(THETA, COLUMNS, 14.75)
    plain = Instrument(noise=(0.02, 0.02), gain=(0.0, 0.0), shift=(0.5, 0.5), probability=1.0)
    key, images = jax.random.key(3), fine[None]
    before = np.asarray(twin.measure(key, plain, geometry, images).sinograms)
    dead = np.asarray(
        twin.measure(key, dataclasses.replace(plain, dead=(0.2, 0.2)), geometry, images).sinograms
    )
    gone = np.all(dead == 0, axis=(0, 1))
    assert 0 < gone.sum() < COLUMNS
    np.testing.assert_array_equal(dead[..., ~gone], before[..., ~gone])


@pytest.mark.parametrize("name", [a.name for a in ARTIFACTS.values() if not a.needs_rows and not a.always])
def test_every_artifact_reaches_the_data(fine, name):
    geometry = ParallelGeometry.create(THETA, COLUMNS, 14.75)
    quiet = twin.quiet_instrument()
    strength = (
        2.0 if name in ("shift", "drift", "sample_drift", "center_error", "angle_error", "blur") else 0.3
    )
    key = jax.random.key(5)
    clean = twin.measure(key, quiet, geometry, fine[None])
    # Equalisation has no effect on untruncated views.
    narrow = {"truncation": (0.3, 0.3)} if name == "equalised" else {}
    before = twin.measure(key, dataclasses.replace(quiet, **narrow), geometry, fine[None])
    after = twin.measure(
        key, dataclasses.replace(quiet, **narrow, **{name: (strength, strength)}), geometry, fine[None]
    )
    assert np.all(np.isfinite(after.sinograms))
    gap = np.linalg.norm(after.sinograms - before.sinograms) / np.linalg.norm(clean.sinograms)
    assert gap > 0.01
    assert (name in ("truncation", "dead", "missing_views")) == bool(
        np.any(np.asarray(after.mask) != np.asarray(before.mask))
    )
    never = dataclasses.replace(quiet, **narrow, **{name: (strength, strength)}, probability=0.0)
    if not narrow:
        np.testing.assert_allclose(
            twin.measure(key, never, geometry, fine[None]).sinograms, clean.sinograms, atol=1e-4
        )


# --- rows of one volume


def volume(fine):
    """Rows of a volume, (7, 64, 64): the discs, brighter from row to row, and growing."""
    dark, step = jnp.zeros_like(fine), jnp.where(fine > 0.6, fine, 0)
    return jnp.stack([fine * (1 + 0.1 * k) + (step if k > 3 else dark) for k in range(7)])


@functools.partial(jax.jit, static_argnums=0)
def rows_scan(instrument, key, images):
    return twin.measure(key, instrument, ParallelGeometry.create(THETA, COLUMNS, 14.75), images, True)


QUIET = twin.quiet_instrument()


def test_a_rolled_scan_equals_the_rolled_projections(fine):
    """In the direction and by the angle drawn, with axes ``(views, rows, columns)``."""
    images, signs = volume(fine), set()
    clean = np.moveaxis(rows_scan(QUIET, jax.random.key(0), images).sinograms, 0, 1)
    turned = {
        sign: ndimage.rotate(clean, sign * -4.0, axes=(1, 2), order=1, reshape=False, mode="nearest")
        for sign in (1, -1)
    }
    for seed in range(4):
        rolled = rows_scan(dataclasses.replace(QUIET, roll=(4.0, 4.0)), jax.random.key(seed), images)
        rolled = np.moveaxis(rolled.sinograms, 0, 1)
        errors = {sign: np.abs(rolled - stack).max() for sign, stack in turned.items()}
        signs.add(min(errors, key=errors.get))
        assert min(errors.values()) < 1e-4 * clean.max() and max(errors.values()) > 0.05 * clean.max()
    assert signs == {1, -1}


@pytest.mark.parametrize("name", ["line_drift", "line_walk"])
@pytest.mark.parametrize("absorbed", [False, True])
def test_rows_of_a_view_drift_along_the_columns(fine, name, absorbed):
    """Each row has a separate shift, measured by its centre of mass, with zero mean in each view."""
    base = dataclasses.replace(QUIET, absorption=(0.4, 0.4)) if absorbed else QUIET
    images, key = volume(fine), jax.random.key(3)
    before, after = (
        rows_scan(instrument, key, images).sinograms
        for instrument in (base, dataclasses.replace(base, **{name: (0.8, 0.8)}))
    )
    shifts = middles(after) - middles(before)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.02)
    # 24 views are independent.
    np.testing.assert_allclose(np.sqrt(np.mean(shifts**2)), 0.8, rtol=5 / 48**0.5)
    bent = np.abs(np.diff(shifts, n=2, axis=0)).max()
    assert bent < 0.03 if name == "line_drift" else bent > 0.2


def test_views_jitter_along_the_rows(fine):
    images, key = volume(fine), jax.random.key(3)
    clean = np.asarray(rows_scan(QUIET, key, images).sinograms)
    moved = np.asarray(rows_scan(dataclasses.replace(QUIET, row_shift=(0.6, 0.6)), key, images).sinograms)
    assert np.linalg.norm(moved - clean) > 0.02 * np.linalg.norm(clean)
    # Every view's rows lie between those that they mix.
    assert np.all(moved <= clean.max(axis=0) + 1e-4) and np.all(moved >= clean.min(axis=0) - 1e-4)


@pytest.mark.parametrize("name", [a.name for a in ARTIFACTS.values() if a.needs_rows])
def test_artifacts_of_rows_are_refused_for_independent_slices(fine, name):
    imperfect = dataclasses.replace(QUIET, **{name: (0.0, 1.0)})
    geometry = ParallelGeometry.create(THETA, COLUMNS)
    with pytest.raises(ValueError, match=f"{name} need slices that are rows of one volume"):
        twin.measure(jax.random.key(0), imperfect, geometry, fine[None])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"roll": (0.0, 60.0)}, r"roll goes up to 60; expected at most 45 \(degrees\)"),
        ({"dead": (0.0, 1.5)}, r"dead goes up to 1.5; expected at most 1 \(share of the columns\)"),
        ({"counts": (0.0, 100.0)}, r"counts is \(0, 100\), drawn log-uniform"),
        ({"gain": (0.1, 0.05)}, r"gain is \(0.1, 0.05\); expected 0 <= low <= high"),
        ({"noise": (0.0, 0.1)}, r"noise is \(0, 0.1\), drawn log-uniform"),
        ({"missing_deg": (30.0, 180.0)}, "up to 180; expected less than 180"),
        ({"uneven_share": -0.1}, "uneven_share is -0.1; expected 0 to 1"),
        ({"missing_views": (0.0, 0.95)}, "missing_views goes up to 0.95; expected at most 0.9"),
        ({"probability": 1.5}, "probability is 1.5; expected 0 to 1"),
    ],
)
def test_invalid_ranges_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Instrument(**values)


def test_strengths_are_drawn_from_their_ranges():
    ranges = Instrument(noise=(1e-5, 1e-3), gain=(0.02, 0.05), shift=(0.0, 0.0), probability=0.5)
    # Straight through a square as wide as the detector: every clean bin is its side.
    geometry, image, count = ParallelGeometry.create(np.zeros(64), 8), jnp.ones((1, 16, 16)), 300
    scans = jax.jit(lambda keys: jax.lax.map(lambda key: twin.measure(key, ranges, geometry, image), keys))
    drawn = scans(jax.random.split(jax.random.key(9), count))
    sinograms, levels = np.asarray(drawn.sinograms), np.asarray(drawn.noise)
    assert levels.min() >= 1e-5 * (1 - 1e-5) and levels.max() <= 1e-3 * (1 + 1e-5)
    # Uniform in the logarithm: half below the geometric mean.
    np.testing.assert_allclose(np.mean(levels < 1e-4), 0.5, atol=5 * 0.5 / count**0.5)
    gain = sinograms[:, 0].mean(axis=2) / 8
    spread = gain.std(axis=1)
    on = spread > 2e-3
    np.testing.assert_allclose(on.mean(), 0.5, atol=5 * 0.5 / count**0.5)
    # The spread of 64 views is within 5 x 9% of the rms that was drawn.
    assert spread[on].min() > 0.02 * 0.55 and spread[on].max() < 0.05 * 1.45


def test_the_given_share_of_scans_is_clean(fine):
    """The given share of scans has no artifact, although its probability is 1."""
    imperfect = Instrument(
        noise=(0.0, 0.0), gain=(0.1, 0.1), shift=(0.0, 0.0), probability=1.0, clean_share=0.3
    )
    geometry = ParallelGeometry.create(THETA, COLUMNS, 14.75)

    def drawn(instrument, keys):
        one = jax.vmap(lambda k: twin.measure(k, instrument, geometry, fine[None]).sinograms)
        return np.asarray(jax.jit(one)(keys))

    keys = jax.random.split(jax.random.key(4), 200)
    clean = drawn(dataclasses.replace(imperfect, clean_share=1.0), keys[:1])[0]
    share = np.mean([np.allclose(one, clean, rtol=1e-4, atol=1e-4) for one in drawn(imperfect, keys)])
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 200)


@pytest.mark.parametrize("level", [3e-4, 0.05])
def test_noise_of_every_size_has_its_deviation(fine, level):
    clean, noisy = scan(3, fine)[0], scan(3, fine, noise=level)[0]
    for before, after in zip(clean, noisy, strict=True):
        deviation = np.std(after - before) / before.max()
        assert deviation == pytest.approx(level, rel=5 / (2 * before.size) ** 0.5)
