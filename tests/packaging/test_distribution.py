"""The wheel and the source distribution hold everything, and work without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pfitre_jax"
#: Size of the wheel that README.md and docs/ state, MB, and its limit.
STATED, LIMIT = 12, 16


def tracked() -> set[str]:
    """Files of the package in the repository, as the wheel names them."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the repository")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pfitre_jax"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in listed if (ROOT / name).exists()}


def test_every_file_of_the_package_is_package_data_or_code():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = {
        path.relative_to(ROOT).as_posix()
        for pattern in settings["package-data"]["pfitre_jax"]
        for path in PACKAGE.glob(pattern)
    }
    assert not {name for name in tracked() if not name.endswith(".py")} - data


def test_the_stated_size_of_the_package_holds():
    """The weights are most of it, and are not compressed further."""
    size = sum((ROOT / name).stat().st_size for name in tracked()) / 1e6
    assert STATED - 1 < size < LIMIT
    for page in ("README.md", "docs/how-to/install.md"):
        assert f"{STATED} MB" in (ROOT / page).read_text()


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory) -> Path:
    """Folder with the source distribution of the tracked files, and the wheel that is built from it."""
    pytest.importorskip("build", reason="needs build")
    if int(metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("needs setuptools 77")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_wheel_and_source_hold_the_files_of_the_package(built):
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(entry_points).decode()
    assert {name for name in names if ".dist-info/" not in name} == tracked()
    assert "pfitre = pfitre_jax.cli:main" in text
    assert "[napari.manifest]\npfitre_jax = pfitre_jax.napari_plugin:napari.yaml" in text
    assert wheel.stat().st_size < LIMIT * 1e6 and source.stat().st_size < LIMIT * 1e6
    with tarfile.open(source) as archive:
        inside = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert tracked() <= inside and {"CHANGELOG.md", "CITATION.cff", "LICENSE"} <= inside


@pytest.mark.slow
def test_an_installed_wheel_works_from_another_folder(built, tmp_path):
    """The packages that it needs are those of this environment."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=True, symlinks=os.name != "nt")
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    [site] = [path for path in home.rglob("site-packages") if path.is_dir()]
    [file] = built.glob("*.whl")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(*words: object) -> str:
        command = [str(word) for word in words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # The packages of this environment come last, so that the installed copy is found first.
    paths = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(paths) + "\n")
    options = ("--quiet", "--no-deps", "--no-index", "--ignore-installed")
    run(folder / "python", "-m", "pip", "install", *options, file)
    where = run(folder / "python", "-c", "import pfitre_jax; print(pfitre_jax.__file__)").strip()
    assert Path(where).is_relative_to(home)
    assert "recon" in run(folder / "pfitre", "--help") and "circuits" in run(folder / "pfitre", "priors")
    quick = ("--method", "fista-tv", "--tv-weight", 1e-3, "--iterations", 5, "--support", "disc")
    run(folder / "pfitre", "recon", "--sample", "chip", "--rows", "4:5", *quick, "--out", "out")
    run(folder / "pfitre", "report", "out")
    assert (tmp_path / "out" / "recon.h5").exists() and (tmp_path / "out" / "report.html").exists()
    code = "from pfitre_jax.training.config_file import load_config; print(load_config('circuits').name)"
    assert run(folder / "python", "-c", code).strip() == "circuits"
