"""Volumes from files are read whole, and cut along their three axes."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from pfitre_jax.twin.scenes import volumes
from pfitre_jax.twin.scenes.volumes import Volume, bank, read_volume, tile

#: A ball of radius 20 in a box, label 3 in 1.
BALL = np.where(
    np.sum((np.mgrid[:40, :50, :60] - np.reshape([20, 25, 30], (3, 1, 1, 1))) ** 2, axis=0) < 400, 3, 1
)


def write(path):
    match path.name:
        case "array.npz":
            np.savez(path, volume=BALL.astype(np.uint8))
        case "bits.npz":
            np.savez(path, packed=np.packbits(BALL == 3, axis=-1), shape=BALL.shape)
        case "array.npy":
            np.save(path, BALL)
        case "stack.tif":
            tifffile.imwrite(path, BALL.astype(np.uint8))
    return path


@pytest.mark.parametrize("name", ["array.npz", "bits.npz", "array.npy", "stack.tif"])
def test_labels_are_read_from_every_file_format(tmp_path, name):
    volume = read_volume(write(tmp_path / name))
    assert volume.labels == 2
    np.testing.assert_array_equal(volume.values, BALL == 3)


def test_many_values_are_read_as_gray_values(tmp_path):
    np.save(tmp_path / "ramp.npy", np.arange(4000, dtype=np.float32).reshape(10, 20, 20))
    volume = read_volume(tmp_path / "ramp.npy")
    assert volume.labels is None
    np.testing.assert_allclose(volume.values.ravel(), np.linspace(0, 1, 4000), atol=0.005)


def test_slices_are_taken_along_each_axis():
    values = np.zeros((30, 30, 30), np.uint8)
    values[:, :, 15:] = 1
    values[:, 15:, :] += 1
    seen = set()
    for seed in range(30):
        image = tile(Volume(values, 3), np.random.default_rng(seed), 32)
        vary = tuple(bool(np.ptp(image, axis=axis).max() > 0.1) for axis in (0, 1))
        seen.add(vary)
    # Across both borders, across one, and along it.
    assert {(True, True), (False, True)} <= seen


def test_labels_keep_their_shares_and_have_sharp_borders_when_enlarged():
    y, x = np.mgrid[:40, :40] - 19.5
    rod = np.broadcast_to(np.hypot(y, x) < 12, (40, 40, 40)).astype(np.uint8)
    images = [tile(Volume(rod, 2), np.random.default_rng(seed), 160) for seed in range(12)]
    # Slices across the rod show a circle, others a stripe.
    circles = [i for i in images if min(np.ptp(i, axis=axis).max() for axis in (0, 1)) > 0.5]
    assert circles
    for image in circles:
        share = min(image.mean(), 1 - image.mean())
        assert share == pytest.approx(np.pi * 12**2 / 40**2, abs=0.02)
        # A border is about a pixel wide, not the four that a voxel has.
        assert np.mean((image > 0.02) & (image < 0.98)) < 2 * np.pi * 12 * 4 * 1.6 / 160**2


def test_real_volumes_are_read(data_dir):
    for name, share in (
        ("porous_rock/berea_256.npz", 0.2),
        ("battery_images/superres_NMC_lr_input.npz", None),
    ):
        volume = read_volume(data_dir / name)
        assert volume.labels == 2 and 0.1 < volume.values.mean() < 0.9
        # Berea sandstone has a porosity of about 0.2.
        assert share is None or min(volume.values.mean(), 1 - volume.values.mean()) == pytest.approx(
            share, abs=0.04
        )
    assert read_volume(data_dir / "battery_images/superres_SEM_lr_input.npz").labels == 2


def test_a_bank_depends_on_its_seed_only(tmp_path):
    path = write(tmp_path / "array.npz")
    first, again, other = (np.asarray(bank([path], 4, 24, seed).tiles) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (4, 24, 24) and (first != other).any()


def test_other_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="no volume at"):
        read_volume(tmp_path / "none.npy")
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"shape \(4, 4\); expected numbers \(nz, ny, nx\)"):
        read_volume(tmp_path / "flat.npy")
    np.save(tmp_path / "one.npy", np.full((4, 4, 4), 5))
    with pytest.raises(ValueError, match="has the value 5 everywhere"):
        read_volume(tmp_path / "one.npy")
    np.save(tmp_path / "nan.npy", np.full((4, 4, 4), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        read_volume(tmp_path / "nan.npy")
    np.savez(tmp_path / "two.npz", a=BALL, b=BALL)
    with pytest.raises(ValueError, match="holds 2 3D arrays; expected one"):
        read_volume(tmp_path / "two.npz")
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "text.tif").write_text("hello")
    for name in ("text.npy", "text.tif"):
        with pytest.raises(ValueError, match="text"):
            read_volume(tmp_path / name)
    (tmp_path / "text.raw").write_text("hello")
    with pytest.raises(ValueError, match=r"ends in '.raw'; expected .npz"):
        read_volume(tmp_path / "text.raw")
    monkeypatch.setattr(volumes, "MAX_VOXELS", 1000)
    for name in ("array.npy", "bits.npz", "stack.tif"):
        with pytest.raises(ValueError, match="expected at most"):
            read_volume(write(tmp_path / name))
