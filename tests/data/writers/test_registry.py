"""All writers: names, missing packages, and memory."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from pfitre_jax.data.optional_package import import_optional
from pfitre_jax.data.writers.registry import WRITERS, find_writers

#: Writes 96 MiB block by block in each format; prints the growth of the memory in MiB.
MEMORY = """
import resource, sys, pathlib
import numpy as np
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.registry import WRITERS

noise = np.random.default_rng(0).random((4, 512, 512)).astype(np.float32)

def stack(rows):
    blocks = [slice(k, k + 4) for k in range(0, rows, 4)]
    return ImageStack((rows, 512, 512), lambda: ((block, noise) for block in blocks))

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
writer, folder = WRITERS[sys.argv[1]], pathlib.Path(sys.argv[2])
writer.write(folder / "small", stack(4))
before = peak()
writer.write(folder / "large", stack(96))
print(peak() - before)
"""


def test_formats_are_found_once_each():
    assert [writer.name for writer in find_writers(["hdf5", "mrc", "tiff", "mrc"])] == ["mrc", "tiff"]
    with pytest.raises(ValueError, match="unknown format 'vtk'; expected one of hdf5, tiff, ome-zarr, mrc"):
        find_writers(["vtk"])
    with pytest.raises(ValueError, match="unknown format 'hdf5'"):
        find_writers(["hdf5"], with_hdf5=False)


@pytest.mark.parametrize(("name", "package"), [("ome-zarr", "zarr"), ("mrc", "mrcfile")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    expected = (
        rf"the format {name} needs the package {package}: pip install '{package}>=[\d.]+', or .*"
        r"pip install '\.\[formats\]' in a copy of the repository"
    )
    with pytest.raises(ValueError, match=expected):
        find_writers([name])


@pytest.mark.parametrize(
    ("name", "package", "old"), [("ome-zarr", "zarr", "2.18.7"), ("mrc", "mrcfile", "1.4.3")]
)
def test_a_package_that_is_too_old_is_refused_before_the_run(monkeypatch, name, package, old):
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: old if n == package else installed(n))
    expected = (
        rf"the format {name} needs the package {package} .* or newer, and {old} is installed: pip install"
    )
    with pytest.raises(ValueError, match=expected):
        find_writers([name])


def test_the_oldest_versions_are_those_of_the_extra():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["formats"]
    needed = {f"{writer.package}>={writer.minimum}" for writer in WRITERS.values() if writer.package}
    assert needed and needed <= set(extra)


def test_a_package_that_is_installed_and_broken_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import a_package_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        import_optional("half_installed", "the format x")


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
@pytest.mark.parametrize("name", WRITERS)
def test_slices_larger_than_memory_could_be_written(tmp_path, name):
    done = subprocess.run([sys.executable, "-c", MEMORY, name, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 32
