"""Scenes from the held-out files, and messages for missing files."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.twin.scenes import data_files as files
from pfitre_jax.twin.scenes import heldout_files
from pfitre_jax.twin.scenes.heldout_files import SOURCES, available, scene


def radius(n):
    t = np.arange(n) - (n - 1) / 2
    return np.hypot(t[:, None], t[None, :])


@pytest.fixture(params=SOURCES)
def source(request, data_dir, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(data_dir))
    if not available(request.param):
        pytest.skip(f"the files of {request.param}, or gdstk, are not there")
    return request.param


def test_scenes_are_pictures_on_the_disc_and_seeded(source):
    drawn = np.stack([scene(source, seed, 64) for seed in range(4)])
    assert drawn.dtype == np.float32 and drawn.min() >= 0 and drawn.max() <= 1
    assert np.all(drawn[:, radius(64) > 0.48 * 64] == 0)
    assert drawn.std(axis=(1, 2)).min() > 0.05
    np.testing.assert_array_equal(scene(source, 2, 64), drawn[2])
    # The same picture at another size.
    binned = scene(source, 2, 128).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    gap = [np.abs(binned - image).mean() for image in drawn]
    assert np.argmin(gap) == 2 and gap[2] < 0.03


def test_every_source_is_held_out():
    assert all(files.is_held_out(name) for names in SOURCES.values() for name in names)


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
    assert not any(available(name) for name in SOURCES)
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path}/kodak24/22.png; set PFITRE_DATA"):
        scene("images", 1, 64)


@pytest.mark.parametrize(
    ("source", "seed", "n", "message"),
    [("clouds", 0, 64, "unknown source 'clouds'"), ("rock", -1, 64, "seed is -1"), ("rock", 0, 4, "n is 4")],
)
def test_invalid_arguments_are_refused(source, seed, n, message):
    with pytest.raises(ValueError, match=message):
        heldout_files.scene(source, seed, n)
