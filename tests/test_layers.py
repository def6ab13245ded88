"""Data flows one way: a file imports only from its own layer or from layers above it, without circles."""

from __future__ import annotations

import ast
import graphlib
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pfitre_jax"

#: A folder, or a file at the top level, is one layer. Each imports only from itself and from those before it.
LAYERS = [
    "geometry",
    "metrics",
    "interfaces",
    "runtime",
    "plotting",
    "data",
    "operators",
    "models",
    "priors",
    "solvers",
    "contrib",
    "baselines",
    "estimation",
    "trust",
    "twin",
    "training",
    "reconstruction",
    "reporting",
    "evaluation",
    "napari_plugin",
    "interop",
    "cli",
]
#: Libraries that only these places may import.
CONFINED = {
    "flax": ("models/", "contrib/", "baselines/published/network.py"),
    "orbax": ("training/checkpoints.py",),
    "torch": ("models/onednn/", "baselines/published/checkpoint.py", "interop/deepinv.py"),
    "astra": ("interop/astra.py",),
    "deepinv": ("interop/deepinv.py",),
    "scico": ("interop/scico.py",),
    "tomviz": ("interop/tomviz_operator/",),
    "typer": ("cli/",),
    "jinja2": ("reporting/",),
}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
MODULES = {
    "pfitre_jax." + file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file
    for file in FILES
    if file != "__init__.py"
}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports: at any depth of its code, under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}, line {node.lineno}: a relative import"
            # `from pfitre_jax.data import scan` names a module in its second half.
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def layer(name: str) -> int | None:
    """Position in LAYERS of ``pfitre_jax.<layer>...``; None for the package itself and for other packages."""
    parts = name.split(".")
    if parts[0] != "pfitre_jax" or len(parts) == 1:
        return None
    return LAYERS.index(parts[1]) if parts[1] in LAYERS else None


def upward(file: str, names: set[str]) -> list[str]:
    """The imports of ``names`` that a file of the package must not make."""
    file_layer = layer("pfitre_jax." + file.removesuffix(".py").replace("/", "."))
    if file_layer is None:
        return []
    return sorted(name for name in names if (other := layer(name)) is not None and other > file_layer)


@pytest.mark.parametrize("file", FILES)
def test_imports_only_from_layers_above(file):
    wrong = upward(file, imports(PACKAGE / file))
    assert not wrong, f"{file} imports {wrong}, which come after it in LAYERS"


def test_no_circular_imports():
    graph = {
        file: {MODULES[name] for name in imports(PACKAGE / file) if name in MODULES} - {file}
        for file in FILES
        # A folder's __init__.py offers names of its files lazily (lazy_loader); it is no dependency of them.
        if not file.endswith("__init__.py")
    }
    graph = {file: {name for name in names if name in graph} for file, names in graph.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("circular imports: " + " -> ".join(error.args[1]))


@pytest.mark.parametrize("file", FILES)
def test_confined_libraries(file):
    roots = {name.split(".")[0] for name in imports(PACKAGE / file)}
    for library, places in CONFINED.items():
        assert library not in roots or file.startswith(places), f"{file} imports {library}; only {places} may"


def test_every_file_has_a_layer():
    tops = {file.split("/")[0].removesuffix(".py") for file in FILES} - {"__init__"}
    assert tops <= set(LAYERS), f"{sorted(tops - set(LAYERS))} have no layer"


def test_an_upward_import_is_detected():
    assert upward("geometry.py", {"pfitre_jax.solvers.loop"}) == ["pfitre_jax.solvers.loop"]
    assert upward("operators/fbp.py", {"pfitre_jax.operators.projector", "pfitre_jax.geometry", "jax"}) == []


def test_the_package_data_that_pyproject_names_exist():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    named = project["tool"]["setuptools"]["package-data"]["pfitre_jax"]
    files = [name for name in named if "*" not in name]
    assert "py.typed" in files and all((PACKAGE / name).is_file() for name in files)
