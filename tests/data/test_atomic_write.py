"""Atomic writing and the check of an output folder."""

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
