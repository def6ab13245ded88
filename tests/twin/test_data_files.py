"""Selection of data files, and recognition of held-out files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pfitre_jax.twin.scenes import data_files as files
from pfitre_jax.twin.scenes.data_files import (
    HELD_OUT,
    SUFFIXES,
    find_files,
    is_held_out,
    make_banks,
    refuse_held_out,
)
from pfitre_jax.twin.scenes.mixture import BANKED


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The data folder, with some files in it."""
    monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
    (tmp_path / "a").mkdir()
    for name in ("a/2.png", "a/1.png", "a/notes.txt", "a/v.npy", "b.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_paths_globs_and_folders(folder):
    names = lambda *patterns: [str(p.relative_to(folder)) for p in find_files("images", patterns)]  # noqa: E731
    assert names("a/2.png", "a/1.png") == ["a/2.png", "a/1.png"]
    assert names("b.png", "*/*.png", "a/1.png") == ["b.png", "a/1.png", "a/2.png"]
    assert names("a") == ["a/1.png", "a/2.png"]
    assert names(str(folder / "a" / "?.png")) == ["a/1.png", "a/2.png"]
    assert [p.name for p in find_files("volumes", ["a"])] == ["v.npy"]


def test_missing_files_are_named_with_their_folder(folder):
    with pytest.raises(
        FileNotFoundError, match=rf"no file for images at c/\*.png in {folder}; set PFITRE_DATA"
    ):
        find_files("images", ["b.png", "c/*.png"])
    with pytest.raises(FileNotFoundError, match=f"no file for volumes at {folder}/b.npy$"):
        find_files("volumes", [f"{folder}/b.npy"])
    with pytest.raises(FileNotFoundError, match="no file for layouts at a in"):
        find_files("layouts", ["a"])


def test_default_data_folder_is_beside_the_project(monkeypatch):
    monkeypatch.delenv("PFITRE_DATA", raising=False)
    assert files.data_folder().parts[-2:] == ("shared", "data")


def test_held_out_files_are_recognised_by_folder_and_name(tmp_path):
    for name in HELD_OUT:
        assert is_held_out(tmp_path / name / "scan.h5" if "." not in name else tmp_path / name)
    for name in ("kodak24/20.png", "other/21.png", "battery_images/mpj_im_1.png"):
        assert not is_held_out(tmp_path / name)
    with pytest.raises(ValueError, match=r"kodak24/21\.png: held out"):
        refuse_held_out([tmp_path / "kodak24/20.png", tmp_path / "kodak24/21.png"])


def test_a_link_does_not_hide_a_held_out_file(tmp_path):
    (tmp_path / "kodak24").mkdir()
    (tmp_path / "kodak24" / "22.png").write_bytes(b"")
    (tmp_path / "mine.png").symlink_to(tmp_path / "kodak24" / "22.png")
    assert is_held_out(tmp_path / "mine.png")


def test_held_out_files_exist(data_dir):
    assert all((data_dir / name).exists() for name in HELD_OUT)


def test_every_banked_family_has_a_maker(tmp_path):
    assert set(files.MAKERS) == set(SUFFIXES) == set(BANKED)
    ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    np.save(tmp_path / "cube.npy", np.indices((16, 16, 16))[2] // 8)
    made = make_banks({"images": [tmp_path / "ramp.png"], "volumes": [tmp_path / "cube.npy"]}, 3, 16, seed=1)
    assert {name: bank.tiles.shape for name, bank in made.items()} == {
        "images": (3, 16, 16),
        "volumes": (3, 16, 16),
    }
    assert make_banks({}, 3) == {}
