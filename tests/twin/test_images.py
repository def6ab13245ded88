"""Pictures: conversion to gray values, tiles, and refused files."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from pfitre_jax.twin.scenes import images
from pfitre_jax.twin.scenes.images import bank, read_image, tile

#: A ramp from left to right, 8 bit.
RAMP = np.tile(np.linspace(0, 255, 60).round().astype(np.uint8), (40, 1))


def save(path, array, **options):
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array, **options)
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("grey.png", RAMP),
        ("colour.png", np.stack([RAMP] * 3, axis=-1)),
        ("opaque.png", np.stack([RAMP] * 3 + [np.full_like(RAMP, 255)], axis=-1)),
        ("alpha.png", np.stack([np.full_like(RAMP, 255), RAMP], axis=-1)),
        ("deep.png", 257 * RAMP.astype(np.uint16)),
        ("dim.png", 40 + RAMP // 2),
        ("grey.tif", RAMP),
        ("deep.tif", 257 * RAMP.astype(np.uint16)),
        ("float.tif", RAMP / np.float32(40) - 3),
        ("colour.tif", np.stack([RAMP] * 3, axis=-1)),
    ],
)
def test_every_file_format_gives_the_same_image(tmp_path, name, array):
    grey = read_image(save(tmp_path / name, array))
    assert grey.dtype == np.float32 and grey.shape == (40, 60)
    np.testing.assert_allclose(grey, RAMP / 255, atol=0.015)


def test_jpeg_palette_and_bits(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "ramp.jpg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "ramp.jpg"), RAMP / 255, atol=0.03)
    Image.fromarray(RAMP).convert("RGB").quantize(256).save(tmp_path / "palette.png")
    np.testing.assert_allclose(read_image(tmp_path / "palette.png"), RAMP / 255, atol=0.03)
    Image.fromarray(RAMP > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), RAMP > 127)


def test_colours_are_converted_to_luminance(tmp_path):
    colours = np.zeros((10, 40, 3), np.uint8)
    for k in range(3):
        colours[:, 10 * (k + 1) : 10 * (k + 2), k] = 255
    grey = read_image(save(tmp_path / "colours.png", colours))
    red, green, blue = (grey[0, 10 * k + 5] for k in (1, 2, 3))
    assert 0 < blue < red < green == 1
    assert red / green == pytest.approx(0.2126 / 0.7152, rel=1e-3)


def test_a_large_picture_is_averaged_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_SIDE", 30)
    small = read_image(save(tmp_path / "ramp.png", RAMP))
    assert small.shape == (20, 30)
    np.testing.assert_allclose(small, np.tile(np.linspace(0, 1, 30), (20, 1)), atol=0.01)
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    for name in ("ramp.png", "ramp.tif"):
        with pytest.raises(ValueError, match=r"million pixels; expected at most .* cut or shrink it"):
            read_image(save(tmp_path / name, RAMP))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no picture at"):
        read_image(tmp_path / "none.png")
    for name in ("text.png", "text.tif"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(ValueError, match="cannot be read as"):
            read_image(tmp_path / name)
    with pytest.raises(ValueError, match="has the value 7 everywhere"):
        read_image(save(tmp_path / "flat.png", np.full((9, 9), 7, np.uint8)))
    with pytest.raises(ValueError, match="values that are not finite"):
        read_image(save(tmp_path / "nan.tif", np.full((9, 9), np.nan, np.float32)))


def test_tiles_are_squares_of_the_picture():
    y, x = np.mgrid[:60, :90]
    # The value identifies the position.
    picture = ((x + 90 * y) / (90 * 60)).astype(np.float32)
    for seed in range(5):
        square = tile(picture, np.random.default_rng(seed), 16)
        across, down = np.diff(square, axis=1).mean(), np.diff(square, axis=0).mean()
        assert down / across == pytest.approx(90, rel=1e-2)
        assert 1 <= across * 90 * 60 <= 60 / 16 + 1e-3


def test_a_bank_uses_pictures_equally_and_depends_on_its_seed_only(tmp_path):
    paths = [save(tmp_path / f"{k}.png", ramp) for k, ramp in enumerate((RAMP, RAMP[:, ::-1].copy()))]
    tiles = np.asarray(bank(paths, 5, 16, seed=3).tiles).astype(int)
    np.testing.assert_array_equal(
        np.sign(tiles[:, :, -1].mean(axis=1) - tiles[:, :, 0].mean(axis=1)), [1, 1, 1, -1, -1]
    )
    np.testing.assert_array_equal(bank(paths, 5, 16, seed=3).tiles, tiles)
    assert (np.asarray(bank(paths, 5, 16, seed=4).tiles) != tiles).any()


def test_a_nearly_flat_picture_is_refused():
    picture = np.zeros((200, 200), np.float32)
    picture[0, 0] = 1
    with pytest.raises(ValueError, match="are flat"):
        tile(picture, np.random.default_rng(0), 16)
