"""Data flows one way: a file imports only from layers above its own."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pfitre_jax"

#: From the bottom of every import chain to its top; a folder is one layer.
LAYERS = [
    "geometry",
    "metrics",
    "scan",
    "io",
    "preprocess",
    "motion",
    "loop",
    "operators",
    "models",
    "priors",
    "solvers",
    "twin",
    "report",
    "mesh",
    "training",
    "engine",
    "trust",
    "prepared",
    "result",
    "api",
    "job",
    "adapting",
    "gallery",
    "evaluate",
    "cli",
]
#: Libraries that one place only may know.
CONFINED = {"flax": "models/", "orbax": "training/checkpoint.py"}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}, line {node.lineno}: a relative import"
            # `from pfitre_jax.io import tiff` names a module in its second half.
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> int | None:
    """Position in LAYERS of ``pfitre_jax.<layer>...``; None for the package itself and for strangers."""
    parts = name.split(".")
    if parts[0] != "pfitre_jax" or len(parts) == 1:
        return None
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else None


def upward(file: str, names: set[str]) -> list[str]:
    """The imports of ``names`` that a file of the package must not make."""
    own = layer("pfitre_jax." + file.removesuffix(".py").replace("/", "."))
    if own is None:
        return []
    return sorted(name for name in names if (there := layer(name)) is not None and there > own)


@pytest.mark.parametrize("file", FILES)
def test_imports_only_from_above(file):
    wrong = upward(file, imports(PACKAGE / file))
    assert not wrong, f"{file} imports {wrong}, which lie below it"


@pytest.mark.parametrize("file", FILES)
def test_confined_libraries(file):
    roots = {name.split(".")[0] for name in imports(PACKAGE / file)}
    for library, place in CONFINED.items():
        assert library not in roots or file.startswith(place), f"{file} imports {library}; only {place} may"


def test_every_file_has_a_layer():
    tops = {file.split("/")[0].removesuffix(".py") for file in FILES} - {"__init__"}
    assert tops <= set(LAYERS), f"{sorted(tops - set(LAYERS))} have no layer"


def test_an_upward_import_is_seen():
    assert upward("loop.py", {"pfitre_jax.solvers.cg"}) == ["pfitre_jax.solvers.cg"]
    assert upward("operators/fbp.py", {"pfitre_jax.operators.projector", "pfitre_jax.geometry", "jax"}) == []


def test_the_package_data_that_pyproject_names_is_there():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    named = project["tool"]["setuptools"]["package-data"]["pfitre_jax"]
    files = [name for name in named if "*" not in name]
    assert "py.typed" in files and all((PACKAGE / name).is_file() for name in files)
