"""Support of the sample: its shadows, the shapes drawn from them, and the choice by held-out views."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_sinogram

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.shadow import sample_shadow
from pfitre_jax.estimation.support import Faces, FieldOfView, Support, SupportShape, pixel_grid
from pfitre_jax.estimation.support_file import read_support
from pfitre_jax.estimation.support_selection import select_support

#: x, y, radius, value of a sample that is much smaller than the field of view.
SMALL = [(5.0, -4.0, 5.0, 1.0), (-3.0, 3.0, 3.0, 0.5)]
LIMITED = np.deg2rad(np.arange(-45, 45, 2.0))


def scan_of(discs, theta=THETA, noise=0.0, center=CENTER):
    sinogram = disc_sinogram(discs, theta, center=center)
    noisy = sinogram + noise * sinogram.max() * np.random.default_rng(0).standard_normal(sinogram.shape)
    return Scan.create(noisy[:, None].astype(np.float32), theta, center=center)


def inside(discs, size):
    x, y = pixel_grid(size)
    return np.any([(x - a) ** 2 + (y - b) ** 2 <= r**2 for a, b, r, _ in discs], axis=0)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_the_shadow_contains_the_sample_and_little_more(noise):
    theta = LIMITED
    shadow = sample_shadow(scan_of(SMALL, theta, noise))
    ends = [CENTER + x * np.cos(theta) + y * np.sin(theta) + np.array([[-r], [r]]) for x, y, r, _ in SMALL]
    first, last = np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)
    # Where a disc ends, its signal is below the noise.
    hidden = 1 if noise > 0.01 else 0
    assert np.all(shadow.first <= first + hidden) and np.all(shadow.last >= last - hidden)
    assert np.all(shadow.first >= first - 6) and np.all(shadow.last <= last + 6)


def test_a_view_without_air_at_one_side_does_not_bound_the_sample_there():
    shadow = sample_shadow(scan_of([(15.0, 0.0, 8.0, 1.0)], np.zeros(3)))
    assert np.all(np.isinf(shadow.last)) and np.all(np.isfinite(shadow.first))


@pytest.mark.parametrize("theta", [THETA, LIMITED], ids=["180 degrees", "90 degrees"])
def test_the_chosen_support_contains_the_sample(theta):
    scan = scan_of(SMALL, theta, 0.01)
    choice = select_support(scan)
    assert choice.support.image.shape == (COLUMNS, COLUMNS)
    assert choice.support.shape == SupportShape(outlined=True)
    assert np.all(choice.support.image[inside(SMALL, COLUMNS)] == 1)
    disc = select_support(scan, "disc").support.image
    assert choice.support.image.sum() < 0.7 * disc.sum()
    assert choice.errors[choice.support.text] <= 1.005 * min(choice.errors.values())


WEAK = [(0.0, 0.0, 11.0, 0.003)]
NARROW = [(2.0, 1.0, 3.0, 1.0)]


def test_a_weak_wide_row_is_not_cut_by_a_strong_narrow_one():
    """The strongest bin of the weak row has 1% of that of the other row, its outer bins less."""
    rows = np.stack([disc_sinogram(discs) for discs in (NARROW, WEAK)], axis=1)
    rows += 1e-4 * rows.max() * np.random.default_rng(0).standard_normal(rows.shape).astype(np.float32)
    choice = select_support(Scan.create(rows, THETA, center=CENTER))
    assert choice.support.shape is not None and choice.support.shape.outlined
    assert np.all(choice.support.image[inside(WEAK, COLUMNS)] == 1)


def test_offsets_of_the_beam_in_single_views_are_no_signal():
    rows = np.zeros((len(THETA), 10, COLUMNS), np.float32)
    rows[:, 3] = disc_sinogram(SMALL)
    plain = sample_shadow(Scan.create(rows, THETA, center=CENTER))
    rows[::2] += 0.005 * rows.max()
    with_offsets = sample_shadow(Scan.create(rows, THETA, center=CENTER))
    np.testing.assert_allclose(with_offsets.first, plain.first, atol=1)
    np.testing.assert_allclose(with_offsets.last, plain.last, atol=1)


def test_a_view_that_is_shifted_does_not_cut_the_sample():
    scan = scan_of(SMALL)
    moved = scan.projections.copy()
    moved[4] = np.roll(moved[4], 6, axis=-1)
    choice = select_support(scan.with_projections(moved))
    assert np.all(choice.support.image[inside(SMALL, COLUMNS)] == 1)


def test_matter_beyond_the_field_of_view_extends_the_image_only_as_far_as_it_helps():
    # A disc that leaves the field of view, and one whose excess is below the threshold of a truncated view.
    wide = select_support(scan_of([(0.0, 12.0, 8.0, 1.0), (-5.0, -4.0, 4.0, 1.0)]))
    assert wide.truncated.any() and wide.support.image.shape[0] > COLUMNS
    narrow = select_support(scan_of(SMALL))
    assert not narrow.truncated.any() and narrow.support.image.shape[0] == COLUMNS


def test_fixed_shapes_are_not_compared():
    scan = scan_of(SMALL)
    field = FieldOfView.from_scan(scan)
    for kind in ("disc", "extended"):
        choice = select_support(scan, kind)
        assert not choice.errors
        np.testing.assert_array_equal(choice.support.image, field.support(field.fixed_shape(kind)).image)


def test_known_faces_are_perpendicular_to_the_missing_directions():
    # The directions around y are missing, then those around x.
    x, y = pixel_grid(COLUMNS)
    views = np.deg2rad(np.arange(-45, 45.5, 1.5))
    for theta, along in ((views, y + 0 * x), (views + np.pi / 2, x + 0 * y), (views - np.pi / 2, x + 0 * y)):
        scan = scan_of(SMALL, theta, 0.01)
        outline = select_support(scan, SupportShape(outlined=True)).support
        support = select_support(scan, Faces(-9.5, 6.5)).support
        expected = (outline.image > 0) & (along > -9.5) & (along < 6.5)
        np.testing.assert_array_equal(support.image > 0, expected)
        assert support.text == outline.text + ", between faces at -9.5 and 6.5 columns"


def test_known_faces_limit_the_wider_outline_of_a_truncated_sample():
    scan = scan_of([(0.0, 0.0, 0.8 * COLUMNS, 1.0)], LIMITED)
    shape = select_support(scan, Faces(-8.0, 8.0)).support.shape
    assert shape == SupportShape(1.5, True, Faces(-8.0, 8.0))
    assert SupportShape.from_record(json.loads(json.dumps(dataclasses.asdict(shape)))) == shape


def test_a_shape_without_faces_survives_json():
    shape = SupportShape(1.13, True)
    assert SupportShape.from_record(json.loads(json.dumps(dataclasses.asdict(shape)))) == shape


def test_faces_are_read_from_text():
    assert Faces.from_text("faces:-24,18.5") == Faces(-24.0, 18.5)
    assert Faces.from_text(Faces(-24.0, 18.5).text) == Faces(-24.0, 18.5)
    for text in ("faces:", "faces:5", "faces:1,2,3", "faces:a,b"):
        with pytest.raises(ValueError, match="expected faces:LOW,HIGH"):
            Faces.from_text(text)
    for text in ("faces:5,5", "faces:5,-5", "faces:-inf,5", "faces:nan,5"):
        with pytest.raises(ValueError, match="expected finite LOW < HIGH"):
            Faces.from_text(text)


def test_faces_that_cut_the_shadow_are_noticed():
    # Views at 45 degrees touch a disc of radius 12 at y = 8.5 and -8.5.
    scan = scan_of([(0.0, 0.0, 12.0, 1.0)], np.deg2rad(np.arange(-45, 45.5, 1.5)), 0.01)
    assert select_support(scan, Faces(-13.0, 13.0)).casts_shadow
    assert not select_support(scan, Faces(-2.0, 2.0)).casts_shadow
    assert not select_support(scan, Faces(-13.0, 2.0)).casts_shadow


def test_faces_beside_the_sample_are_refused():
    with pytest.raises(ValueError, match="contains no pixel of the sample's outline"):
        select_support(scan_of(SMALL, LIMITED), Faces(500.0, 600.0))


def test_a_support_is_read_from_a_file(tmp_path):
    image = np.zeros((COLUMNS + 2, COLUMNS + 2), np.uint8)
    image[5:20, 7:15] = 255
    np.save(tmp_path / "mask.npy", image)
    support = read_support(tmp_path / "mask.npy")
    np.testing.assert_array_equal(support.image, image > 0)
    assert select_support(scan_of(SMALL), support).support is support


@pytest.mark.parametrize(
    "image, message",
    [
        (np.ones((4, 5)), r"shape \(4, 5\); expected a square image"),
        (np.zeros((4, 4)), "0 everywhere"),
        (np.full((4, 4), np.nan), "NaN"),
    ],
)
def test_an_image_that_is_no_support_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        Support.from_image(image)


@pytest.mark.parametrize("size", [COLUMNS - 2, COLUMNS + 1])
def test_a_support_of_another_detector_is_refused(size):
    with pytest.raises(ValueError, match=f"expected {COLUMNS} x {COLUMNS}"):
        select_support(scan_of(SMALL), Support.from_image(np.ones((size, size))))


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "mask.npy").write_bytes(b"no image")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        read_support(tmp_path / "mask.npy")
