"""Files of the user: inputs are never overwritten, others only with ``--overwrite``; links are replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from pfitre_command import pfitre

from pfitre_jax.data.atomic_write import check_replaceable, write_files
from pfitre_jax.data.tiff_output import write_tiff
from pfitre_jax.plotting.style import new_figure, save_png
from pfitre_jax.runtime.file_mark import has_mark

PRECIOUS = b"precious"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(folder: Path, *words: object) -> str:
    """Runs a command that must be refused and leave ``folder`` as it is; returns its message."""
    before = contents(folder)
    done = pfitre(*words)
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1, done.output
    assert contents(folder) == before
    return done.stderr


@pytest.fixture
def out(tmp_path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def recon(scan, out, *more):
    return "recon", scan, "--method", "fbp", "--center", 17, "--out", out, *more


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("name", ["recon.h5", "recon.tif", "preview.png", "summary.json"])
def test_the_scan_is_never_overwritten_by_its_reconstruction(folder, out, name, overwrite):
    shutil.copy(folder / "scan.npz", out / name)
    message = refused(out, *recon(out / name, out, *overwrite))
    assert f"{name} is an input of this run" in message and "use another --out" in message
    # The same file by another name.
    (out / "scan.h5").hardlink_to(out / name)
    assert "is an input" in refused(out, *recon(out / "scan.h5", out, *overwrite))


def test_other_inputs_are_not_overwritten_either(folder, out):
    scan, text = folder / "scan.npz", (folder / "angles.csv").read_text()
    (out / "center.csv").write_text(text)
    trials = ("center", scan, "--angles", out / "center.csv", "--try", "16:18:1", "--row", 1, "--out", out)
    assert "center.csv is an input" in refused(out, *trials)
    (out / "alignment.csv").write_text(text)
    assert "alignment.csv is an input" in refused(
        out, *recon(scan, out, "--align", "--angles", out / "alignment.csv", "--overwrite")
    )
    shutil.copy(scan, out / "scan.npz")
    assert "scan.npz is an input" in refused(out, "adapt", out / "scan.npz", "--out", out / "scan.npz")
    shutil.copy(scan, out / "scan.png")
    assert "scan.png is an input" in refused(out, "inspect", out / "scan.png", "--out", out / "scan.png")
    (out / "recon.tif").write_bytes(PRECIOUS)
    assert "was not written by pfitre" in refused(
        out, "project", folder / "scan.npz", "--out", out / "recon.tif"
    )


@pytest.mark.parametrize("name", ["recon.h5", "recon.tif", "preview.png", "summary.json"])
def test_a_file_of_another_program_is_replaced_only_with_overwrite(folder, out, name):
    (out / name).write_bytes(PRECIOUS)
    message = refused(out, *recon(folder / "scan.npz", out))
    assert f"{name} was not written by pfitre" in message and "--overwrite" in message


def test_with_overwrite_it_is_replaced_and_the_result_is_marked(folder, out):
    """A link is replaced as well; the file that it points to stays."""
    (out.parent / "target").write_bytes(PRECIOUS)
    (out / "recon.tif").symlink_to(out.parent / "target")
    (out / "preview.png").symlink_to(out.parent / "nowhere")
    (out / "recon.h5").write_bytes(PRECIOUS)
    done = pfitre(*recon(folder / "scan.npz", out, "--rows", "0:1", "--support", "disc", "--overwrite"))
    assert done.exit_code == 0, done.output
    assert (out.parent / "target").read_bytes() == PRECIOUS and not (out.parent / "nowhere").exists()
    names = ["preview.png", "recon.h5", "recon.tif", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert all(has_mark(out / name) and not (out / name).is_symlink() for name in names)
    # The project's own files are replaced without a question.
    check_replaceable(out, names)


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["notes", "rows beside notes", "link", "file"])
def test_a_folder_partial_of_the_user_is_kept(folder, out, kind, overwrite):
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes.txt").write_bytes(PRECIOUS)
    if kind == "link":
        (out / "partial").symlink_to(elsewhere)
    elif kind == "file":
        (out / "partial").write_bytes(PRECIOUS)
    else:
        shutil.copytree(elsewhere, out / "partial")
        if kind == "rows beside notes":
            (out / "partial" / "rows-000000-000002.npz").write_bytes(b"")
    message = refused(out.parent, *recon(folder / "scan.npz", out, *overwrite))
    assert "partial was not written by pfitre" in message and "use another --out" in message


@pytest.mark.parametrize("command", ["watch", "center", "gallery", "evaluate", "train"])
def test_other_commands_keep_files_that_they_did_not_write(folder, out, command):
    scan, config = folder / "scan.npz", out.parent / "mine.toml"
    config.write_text('name = "mine"\n')
    name, *words = {
        "watch": ("live.tif", "watch", scan, "--center", 17, "--out", out),
        "center": ("center.png", "center", scan, "--try", "16:18:1", "--row", 1, "--out", out),
        "gallery": ("scenes.png", "simulate", "--gallery", out),
        "evaluate": ("evaluation.json", "evaluate", "--quick", "--out", out),
        "train": ("mine.npz", "train", "--config", config, "--out", out),
    }[command]
    (out / name).write_bytes(PRECIOUS)
    assert f"{name} was not written by pfitre" in refused(out, *words)


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/outside", "a/b", "a\\b", "..", ".hidden", "", "config", "x" * 300, "a\nb"]
)
def test_the_name_in_a_training_configuration_stays_in_the_folder(out, name):
    (out.parent / "n.toml").write_text(f"name = {name!r}\n".replace("'", '"'))
    message = refused(out.parent, "train", "--config", out.parent / "n.toml", "--out", out / "run")
    assert "name is" in message and "expected a name" in message


def test_every_kind_of_file_carries_the_mark(tmp_path):
    def draw(path):
        with new_figure(1, 1) as figure:
            save_png(figure, path)

    def foreign(path):
        with h5py.File(path, "w") as file:
            file["exchange/data"] = np.zeros((2, 2))

    write_files(tmp_path, {"a.png": draw, "a.tif": lambda path: write_tiff(path, np.zeros((2, 3, 4)))})
    write_files(tmp_path, {"b.h5": foreign, "b.npz": lambda path: np.savez(path, data=np.zeros(3))})
    assert [has_mark(path) for path in sorted(tmp_path.iterdir())] == [True, True, False, False]
    assert not has_mark(tmp_path / "none") and not has_mark(tmp_path)


def test_temporary_files_are_out_of_reach_of_others(tmp_path):
    """They lie in a new folder with a random name, which only its owner may enter."""
    seen = []

    def write(path):
        seen.append(path)
        assert path.parent.stat().st_mode & 0o777 == 0o700 and list(path.parent.iterdir()) == []
        path.write_text("new")

    for _ in range(2):
        write_files(tmp_path, {"a.txt": write})
    assert len({path.parent for path in seen}) == 2 and all(path.parent.parent == tmp_path for path in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    # The permissions of the result are the usual ones.
    (tmp_path / "b.txt").write_text("")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only names in UTF-8")
def test_paths_that_are_not_utf_8(folder, tmp_path):
    where = os.fsencode(tmp_path) + b"/caf\xe9 $x$ $\\y"
    os.mkdir(where)
    shutil.copy(os.fsencode(folder / "scan.npz"), where + b"/sc\xe9n $\\q$.npz")
    for out, *words in (
        (where + b"/a.png", b"inspect", where + b"/sc\xe9n $\\q$.npz"),
        (where + b"/a.h5", b"simulate", b"--rows", b"1", b"--columns", b"32", b"--views", b"12"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pfitre_jax.cli", *words, b"--out", out],
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert out in done.stdout and os.path.exists(out)
    # HDF5 stores text as UTF-8 only.
    with h5py.File(where + b"/a.h5") as file:
        assert "/caf\ufffd $x$ $\\y/a.h5" in file["/exchange/data"].attrs["command"]
