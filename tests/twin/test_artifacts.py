"""The functions of the artifacts have the documented statistics, and the registry is consistent."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from documented import DOCS
from scipy import ndimage

from pfitre_jax.twin.artifacts import blur as blurring
from pfitre_jax.twin.artifacts import (
    detector,
    intensity,
    line_shifts,
    missing_views,
    noise,
    row_motion,
    truncation,
    view_shifts,
)
from pfitre_jax.twin.artifacts.registry import ARTIFACTS, markdown_table, order_by_stage

KEY = jax.random.key(11)


def smooth(slices=2, views=40, columns=60):
    """Positive sinograms without steps, (slices, views, columns)."""
    k = np.arange(columns)
    lines = [2 + np.sin(0.2 * k + 0.1 * v + s) for s in range(slices) for v in range(views)]
    return jnp.asarray(np.reshape(lines, (slices, views, columns)), jnp.float32)


def test_noise_has_zero_mean_and_the_given_deviation():
    clean = jnp.full((300, 200), 1.5).at[7, 3].set(4.0)
    added = np.asarray(noise.add_noise(jax.random.key(3), clean, 0.02) - clean)
    sigma = 0.02 * 4.0
    assert abs(added.mean()) < 5 * sigma / added.size**0.5
    np.testing.assert_allclose(added.std(), sigma, rtol=5 / (2 * added.size) ** 0.5)
    # White noise: neighbours are uncorrelated.
    for axis in (0, 1):
        neighbour = np.roll(added, 1, axis)
        assert abs(np.mean(added * neighbour)) < 5 * sigma**2 / added.size**0.5


def test_gain_is_one_factor_per_view():
    clean = np.random.default_rng(1).uniform(1, 2, (2000, 6)).astype(np.float32)
    gain = np.asarray(intensity.apply_gain(jax.random.key(4), jnp.asarray(clean), 0.04)) / clean
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1], gain.shape), rtol=1e-5)
    np.testing.assert_allclose(gain[:, 0].std(), 0.04, rtol=5 / 4000**0.5)
    assert abs(gain[:, 0].mean() - 1) < 5 * 0.04 / 2000**0.5


def test_shifts_are_jitter_of_the_stated_deviation():
    shifts = np.asarray(view_shifts.draw_shifts(jax.random.key(5), 4000, 0.6))
    np.testing.assert_allclose(shifts.std(), 0.6, rtol=5 / 8000**0.5)
    assert abs(shifts.mean()) < 5 * 0.6 / 4000**0.5
    assert abs(np.mean(shifts[1:] * shifts[:-1])) < 5 * 0.36 / 4000**0.5


def test_gain_is_shared_by_the_slices():
    clean = smooth()
    gain = np.asarray(intensity.apply_gain(KEY, clean, 0.1) / clean)
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:1, :, :1], gain.shape), rtol=1e-5)
    assert gain.std() > 0.05


@pytest.mark.parametrize("counts", [3.0, 400.0])
def test_photons_replace_the_signal(counts):
    """The mean stays; in counts the variance is the mean; counts are whole."""
    clean = jnp.broadcast_to(jnp.linspace(0.0, 5.0, 6), (40000, 6))
    drawn = np.asarray(jax.jit(noise.count_photons)(KEY, clean, counts), float) * counts / 5
    np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-2)
    mean = counts * np.linspace(0, 1, 6)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * (counts / 40000) ** 0.5)
    # The variance of a sample variance of Poisson numbers is about (2 m^2 + m)/N.
    np.testing.assert_allclose(drawn.var(axis=0), mean, atol=5 * ((2 * counts**2 + counts) / 40000) ** 0.5)
    assert not drawn[:, 0].any()


def test_equalised_views_have_equal_sums_and_keep_their_shape():
    clean = smooth() * jnp.linspace(0.5, 1.5, 40)[None, :, None]
    out = np.asarray(intensity.equalise(clean))
    sums = out.sum(axis=2)
    np.testing.assert_allclose(
        sums, np.broadcast_to(clean.sum(axis=2).mean(axis=1)[:, None], sums.shape), rtol=1e-5
    )
    ratio = out / np.asarray(clean)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[..., :1], ratio.shape), rtol=1e-4)
    assert not np.asarray(intensity.equalise(0 * clean)).any()


def test_drift_is_slow_with_the_given_rms_and_zero_mean():
    drifts = np.asarray(
        jax.vmap(lambda key: view_shifts.draw_drift(key, 50, 0.8))(jax.random.split(KEY, 3000))
    )
    np.testing.assert_allclose(np.sqrt(np.mean(drifts**2)), 0.8, rtol=0.05)
    assert np.abs(drifts.mean(axis=1)).max() < 1e-5
    steps = np.diff(drifts, axis=1)
    assert np.sqrt(np.mean(steps**2)) < 0.15 * 0.8


def test_outliers_have_the_documented_share_and_distance():
    shifts = np.asarray(view_shifts.draw_outliers(KEY, 20000, 0.03, 4.0))
    share = np.mean(shifts != 0)
    np.testing.assert_allclose(share, 0.03, atol=5 * (0.03 / 20000) ** 0.5)
    assert 3.8 < np.abs(shifts).max() <= 4.0 and abs(shifts.mean()) < 0.05


def test_a_drifting_sample_moves_along_a_line():
    """``s_v = a_v . (cos, sin)`` with the place ``a_v`` moving along one line by the distance."""
    theta = np.deg2rad(np.arange(0.0, 180.0, 2.0))
    shifts = np.asarray(view_shifts.draw_sample_drift(KEY, jnp.asarray(theta), 3.0), float)
    time = np.arange(90) / 90 - 0.5
    basis = np.stack([time * np.cos(theta), time * np.sin(theta)], axis=1)
    velocity, gap, *_ = np.linalg.lstsq(basis, shifts, rcond=None)
    assert gap.sum() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(velocity), 3.0, rtol=1e-4)


def test_angle_errors_are_degrees():
    errors = np.rad2deg(view_shifts.draw_angle_errors(KEY, 5000, 0.3))
    np.testing.assert_allclose(errors.std(), 0.3, rtol=5 / 10000**0.5)
    assert abs(errors.mean()) < 5 * 0.3 / 5000**0.5


def test_line_ramps_are_straight_in_each_view_and_have_their_rms():
    ramps = np.asarray(line_shifts.draw_line_ramps(KEY, 12, 3000, 0.5))
    np.testing.assert_allclose(np.sqrt(np.mean(ramps**2)), 0.5, rtol=5 / 6000**0.5)
    np.testing.assert_allclose(np.diff(ramps, n=2, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(ramps.mean(axis=0), 0, atol=1e-5)
    slopes = ramps[1] - ramps[0]
    assert abs(np.corrcoef(slopes[1:], slopes[:-1])[0, 1]) < 5 / 3000**0.5


def test_line_walks_take_independent_steps_and_have_their_rms():
    rows = 9
    walks = np.asarray(line_shifts.draw_line_walks(KEY, rows, 8000, 0.5))
    # Views are independent, rows of one view are not: the spread of a view's mean square is below its mean.
    np.testing.assert_allclose(np.sqrt(np.mean(walks**2)), 0.5, rtol=5 / 8000**0.5)
    np.testing.assert_allclose(walks.mean(axis=0), 0, atol=1e-5)
    steps = np.diff(walks, axis=0)
    assert np.abs(np.corrcoef(steps) - np.eye(rows - 1)).max() < 5 / 8000**0.5
    np.testing.assert_allclose(steps.std(axis=1), steps.std(), rtol=5 / 16000**0.5)


@pytest.mark.parametrize("draw", [line_shifts.draw_line_ramps, line_shifts.draw_line_walks])
def test_a_single_row_has_no_drift_between_rows(draw):
    assert not np.asarray(draw(KEY, 1, 5, 0.5)).any()


def test_moved_rows_show_the_displaced_rows():
    """For a ramp ``i`` along the rows, row ``i`` of a view moved by ``s`` is ``i - s``."""
    rows, views = 9, 4000
    ramp = jnp.broadcast_to(jnp.arange(rows, dtype=jnp.float32)[:, None, None], (rows, views, 3))
    moved = np.asarray(row_motion.move_rows(KEY, ramp, 0.7))
    np.testing.assert_array_equal(moved, np.broadcast_to(moved[..., :1], moved.shape))
    shifts = 4 - moved[4, :, 0]
    np.testing.assert_allclose(shifts.std(), 0.7, rtol=5 / 8000**0.5)
    expected = np.clip(np.arange(rows)[:, None] - shifts[None], 0, rows - 1)
    np.testing.assert_allclose(moved[..., 0], expected, atol=1e-5)
    # Two rows are averaged with the weights of their overlap.
    step = (ramp > 4).astype(jnp.float32)
    row = np.asarray(row_motion.move_rows(KEY, step, 0.7))[4, :, 0]
    np.testing.assert_allclose(row, np.clip(-shifts, 0, 1), atol=1e-5)


@pytest.mark.parametrize("roll_deg", [1.5, -3.0])
def test_a_roll_is_corrected_by_the_documented_rotation(roll_deg):
    rows, views, columns = 21, 3, 40
    clean = np.random.default_rng(2).random((views, rows, columns)).astype(np.float32)
    clean = ndimage.gaussian_filter(clean, (0, 3, 3)) - 0.5
    rolled = np.asarray(row_motion.roll_views(jnp.moveaxis(jnp.asarray(clean), 0, 1), roll_deg))
    rolled = np.moveaxis(rolled, 1, 0)
    turn = dict(axes=(1, 2), order=1, reshape=False, mode="nearest")
    np.testing.assert_allclose(rolled, ndimage.rotate(clean, -roll_deg, **turn), atol=1e-5)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    gap = lambda a: np.linalg.norm((a - clean)[inner])  # noqa: E731
    assert gap(ndimage.rotate(rolled, roll_deg, **turn)) < 0.3 * gap(rolled)
    assert gap(ndimage.rotate(rolled, -roll_deg, **turn)) > 1.5 * gap(rolled)


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_blur_keeps_the_sum_and_widens_a_point_to_its_sigma(sigma):
    point = jnp.zeros((2, 3, 41)).at[:, :, 20].set(2.0)
    out = np.asarray(blurring.blur(point, sigma), float)
    np.testing.assert_allclose(out.sum(axis=2), 2.0, rtol=1e-5)
    spread = np.sqrt(out[0, 0] @ (np.arange(41) - 20.0) ** 2 / 2)
    np.testing.assert_allclose(spread, sigma, rtol=0.01)


def test_no_blur_changes_nothing():
    np.testing.assert_allclose(blurring.blur(smooth(), 0.0), smooth(), atol=1e-6)


def test_stripes_are_equal_in_all_views_and_slices():
    clean = smooth(columns=4000)
    stripes = np.asarray(detector.add_stripes(KEY, clean, 0.05) - clean)
    np.testing.assert_allclose(stripes, np.broadcast_to(stripes[:1, :1], stripes.shape), atol=1e-5)
    np.testing.assert_allclose(stripes[0, 0].std(), 0.05 * clean.max(), rtol=5 / 8000**0.5)


def test_dead_columns_are_dark_and_hot_columns_bright():
    clean = smooth(columns=4000)
    dead, hot = (np.asarray(f(KEY, clean, 0.02)) for f in (detector.kill_columns, detector.heat_columns))
    gone = np.all(dead == 0, axis=(0, 1))
    np.testing.assert_allclose(gone.mean(), 0.02, atol=5 * (0.02 / 4000) ** 0.5)
    np.testing.assert_array_equal(dead[..., ~gone], clean[..., ~gone])
    full = np.all(hot == float(clean.max()), axis=(0, 1))
    np.testing.assert_allclose(full.mean(), 0.02, atol=5 * (0.02 / 4000) ** 0.5)
    np.testing.assert_array_equal(hot[..., ~full], clean[..., ~full])


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_missing_views_are_single_or_in_a_run_and_never_the_ends(share):
    views, count = 42, 300
    keys = jax.random.split(jax.random.key(0), count)
    measured = np.asarray(jax.jit(jax.vmap(lambda key: missing_views.draw_missing(key, views, share)))(keys))
    assert set(np.unique(measured)) == {0, 1} and np.all(measured[:, [0, -1]] == 1)
    missing = 1 - measured[:, 1:-1]
    assert missing.mean() == pytest.approx(share, abs=5 * (share * (1 - share) / (count * 40)) ** 0.5)
    # A run begins once.
    begins = (np.diff(np.pad(missing, ((0, 0), (1, 0)))) == 1).sum(axis=1)
    assert np.mean(begins == 1) == pytest.approx(0.5, abs=0.15)


def test_zingers_are_rare_and_bright():
    clean = smooth(views=200, columns=200)
    added = np.asarray(detector.add_zingers(KEY, clean, 0.01) - clean)
    hit = added != 0
    np.testing.assert_allclose(hit.mean(), 0.01, atol=5 * (0.01 / hit.size) ** 0.5)
    assert added[hit].min() >= 0.999 * clean.max() and added[hit].max() <= 3.001 * clean.max()


def test_a_narrow_field_masks_one_side_of_neighbouring_views():
    draw = jax.jit(lambda key: truncation.narrow_field(key, 40, 50, 0.2))
    masks = np.stack([np.asarray(draw(key)) for key in jax.random.split(KEY, 40)])
    assert set(np.unique(masks)) == {0.0, 1.0}
    sides = set()
    for mask in masks:
        views = np.flatnonzero((mask == 0).any(axis=1))
        if not views.size:
            continue
        assert np.array_equal(views, np.arange(views[0], views[-1] + 1))
        for view in views:
            lost = np.flatnonzero(mask[view] == 0)
            assert np.array_equal(lost, np.arange(10)) or np.array_equal(lost, np.arange(40, 50))
            sides.add(int(lost[0]))
    assert sides == {0, 40}


@pytest.mark.parametrize(
    "artifact_of_strength_0",
    [
        lambda y: noise.add_noise(KEY, y, 0.0),
        lambda y: intensity.apply_gain(KEY, y, 0.0),
        lambda y: detector.add_stripes(KEY, y, 0.0),
        lambda y: detector.kill_columns(KEY, y, 0.0),
        lambda y: detector.heat_columns(KEY, y, 0.0),
        lambda y: detector.add_zingers(KEY, y, 0.0),
        lambda y: row_motion.move_rows(KEY, y, 0.0),
        lambda y: row_motion.roll_views(y, 0.0),
    ],
)
def test_strength_zero_changes_nothing(artifact_of_strength_0):
    np.testing.assert_array_equal(artifact_of_strength_0(smooth()), smooth())


def test_numbers_and_names_are_unique():
    """Two artifacts with one number would draw the same random numbers."""
    with pytest.raises(ValueError, match="expected a number for each, such as 23 for a new one"):
        order_by_stage([*ARTIFACTS.values(), dataclasses.replace(noise.NOISE, name="other")])
    for name, artifact in ARTIFACTS.items():
        assert name == artifact.name
        assert artifact.gallery <= artifact.largest and (artifact.evaluation or 0) <= artifact.largest
        assert artifact.gallery_with in (None, *ARTIFACTS)


def test_artifacts_act_in_the_order_of_their_stages():
    stages = [artifact.stage for artifact in ARTIFACTS.values()]
    assert stages == sorted(stages)


def test_the_documented_table_matches_the_registry():
    assert markdown_table() in (DOCS / "explanation/twin.md").read_text(), (
        "replace it by registry.markdown_table()"
    )
