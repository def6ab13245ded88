"""Atomic writing and the check of an output folder."""

import os
from pathlib import Path

import pytest

from pfitre_jax.data.atomic_write import check_output_folder, write_files


def test_a_failing_writer_leaves_the_folder_unchanged(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def fail(path):
        path.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_files(tmp_path, {"a.txt": lambda path: path.write_text("new"), "b.txt": fail})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path, monkeypatch):
    def write(path, content="new"):
        path.mkdir()
        (path / "zarr.json").write_text(f"pfitre_jax {content}")

    write_files(tmp_path, {"a.zarr": lambda path: write(path, "old")})
    replace = Path.replace

    def fail(self, target):
        if target == tmp_path / "a.zarr":
            raise OSError(13, "Permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Permission denied"):
        write_files(tmp_path, {"a.zarr": write})
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    assert (tmp_path / "a.zarr" / "zarr.json").read_text() == "pfitre_jax old"
    write_files(tmp_path, {"a.zarr": write})
    assert (tmp_path / "a.zarr" / "zarr.json").read_text() == "pfitre_jax new"


@pytest.mark.parametrize("step", ["b.txt", "c.txt", "obsolete.txt"])
@pytest.mark.parametrize("hard_links", [True, False])
def test_a_step_that_fails_restores_the_files_of_all_earlier_ones(tmp_path, monkeypatch, step, hard_links):
    names = ("a.txt", "b.txt", "c.txt")
    (tmp_path / "elsewhere.txt").write_text("old b")
    (tmp_path / "a.txt").write_text("old a")
    (tmp_path / "b.txt").symlink_to("elsewhere.txt")
    for name in ("first_obsolete.txt", "obsolete.txt"):
        (tmp_path / name).write_text("old")
    before = {path.name: (path.is_symlink(), path.read_text()) for path in tmp_path.iterdir()}
    replace, rename = Path.replace, Path.rename

    def failing(move):
        def fail(self, target):
            if self.name == step and move is (rename if step == "obsolete.txt" else replace):
                raise OSError(28, "No space left on device")
            return move(self, target)

        return fail

    def no_link(path, copy):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "replace", failing(replace))
    monkeypatch.setattr(Path, "rename", failing(rename))
    if not hard_links:
        monkeypatch.setattr(os, "link", no_link)
    writers = {name: lambda path: path.write_text("new") for name in names}
    with pytest.raises(OSError, match="No space left"):
        write_files(tmp_path, writers, obsolete=["first_obsolete.txt", "obsolete.txt", "missing.txt"])
    monkeypatch.undo()
    assert {path.name: (path.is_symlink(), path.read_text()) for path in tmp_path.iterdir()} == before
    write_files(tmp_path, writers, obsolete=["first_obsolete.txt", "obsolete.txt"])
    after = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert after == dict.fromkeys(names, "new") | {"elsewhere.txt": "old b"}


def test_an_output_folder_below_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        with pytest.raises(NotADirectoryError, match="is a file; use another output folder"):
            check_output_folder(folder)
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that cannot be written: /proc")
def test_an_output_folder_that_cannot_be_written_is_refused():
    with pytest.raises(OSError, match=r"cannot be written .* use another output folder"):
        check_output_folder("/proc/self/out")
