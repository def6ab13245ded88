"""Flat and dark frames with outlying frames and values, against the mean of the undamaged ones."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.data.frames import combine_frames
from pfitre_jax.data.raw import RawScan

SHAPE = (6, 40)
#: A beam that is uneven, covers half of the detector, and decays by 8% over the frames.
PROFILE = 30000 * np.exp(-(((np.arange(40) - 18) / 9) ** 2)) * np.linspace(0.9, 1.1, 6)[:, None] + 5
DECAY = np.linspace(1.04, 0.96, 10)[:, None, None]


def groups(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ten flat and ten dark frames with the noise of photons and of a readout."""
    rng = np.random.default_rng(seed)
    dark = rng.normal(100, 3, (10, *SHAPE))
    flat = rng.poisson(PROFILE * DECAY) + rng.normal(100, 3, (10, *SHAPE))
    return np.round(flat).astype(np.uint16), np.round(dark).astype(np.uint16)


def assert_like_the_plain_mean(flat, dark, expected_flat, expected_dark):
    """Within the noise of the mean of the frames, four standard errors."""
    error = np.sqrt((PROFILE + 9) / len(expected_flat))
    assert np.all(abs(flat - expected_flat.mean(axis=0)) < 4 * error)
    assert np.all(abs(dark - expected_dark.mean(axis=0)) < 4 * 3 / np.sqrt(len(expected_dark)))


def test_frames_without_outliers_are_averaged_without_a_word():
    for seed in range(5):
        flat, dark = groups(seed)
        *means, warnings = combine_frames(flat, dark, SHAPE)
        assert warnings == []
        assert_like_the_plain_mean(*means, flat, dark)


def test_a_flat_among_the_darks_and_darks_among_the_flats():
    flat, dark = groups()
    bad_flat, bad_dark = flat.copy(), dark.copy()
    bad_flat[[4, 7]], bad_dark[3] = dark[:2], flat[3]
    *means, warnings = combine_frames(bad_flat, bad_dark, SHAPE)
    others = np.delete(flat, [4, 7], axis=0), np.delete(dark, 3, axis=0)
    assert_like_the_plain_mean(*means, *others)
    assert "flat frames 4, 7 of 10 have 0%, 0%" in warnings[0] and "left out" in warnings[0]
    assert "dark frames 3 of 10 have 102%" in warnings[1]


def test_one_of_two_frames():
    flat, dark = groups()
    *means, warnings = combine_frames([flat[0], dark[0]], [dark[1], flat[1]], SHAPE)
    np.testing.assert_array_equal(means, [flat[0], dark[1]])
    assert len(warnings) == 2


def test_zingers_are_replaced_and_named():
    flat, dark = groups()
    hit = flat.copy()
    hit[2, :, 17:20] = 65535
    hit[8, 3, 25] = 60000
    *means, warnings = combine_frames(hit, dark, SHAPE)
    assert_like_the_plain_mean(*means, flat, dark)
    assert len(warnings) == 1 and "flat frames 2, 8 of 10 hold 19 outlying values" in warnings[0]
    *means, warnings = combine_frames(hit[[2, 3]], dark, SHAPE)
    assert_like_the_plain_mean(*means, flat[[3]], dark)


def test_a_frame_that_is_not_finite_is_left_out():
    flat, dark = groups()
    broken = flat.astype(float)
    broken[5, 2] = np.nan
    *means, warnings = combine_frames(broken, dark, SHAPE)
    assert_like_the_plain_mean(*means, np.delete(flat, 5, axis=0), dark)
    assert "flat frames 5 of 10" in warnings[0]


def test_swapped_groups_are_refused():
    flat, dark = groups()
    with pytest.raises(ValueError, match=r"not brighter than the dark frames .*swap the two groups"):
        combine_frames(dark, flat, SHAPE)


def test_a_missing_or_empty_group_is_named():
    flat, dark = groups()
    counts = np.full((3, *SHAPE), 500.0)
    theta = np.array([0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="there is no flat frame"):
        RawScan.create(counts, theta, dark=dark)
    with pytest.raises(ValueError, match="there is no dark frame"):
        RawScan.create(counts, theta, flat=flat)
    with pytest.raises(ValueError, match=r"flat frames are empty: .*\(0, 6, 40\)"):
        RawScan.create(counts, theta, flat=flat[:0], dark=dark)
    with pytest.raises(ValueError, match=r"dark frames are empty"):
        RawScan.create(counts, theta, flat=flat, dark=dark[:0])
