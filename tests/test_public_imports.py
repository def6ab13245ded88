"""Experiments, benchmarks and notebooks import public names only: those that a package's stub lists."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted([*ROOT.glob("experiments/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def public_names(package: str) -> set[str] | None:
    """Names that the stub of ``pfitre_jax.<...>`` lists; None for a module without a stub."""
    stub = ROOT.joinpath(*package.split("."), "__init__.pyi")
    if not stub.is_file():
        return None
    imports = [node for node in ast.walk(ast.parse(stub.read_text())) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


def private_imports(source: str) -> list[str]:
    """Imports of the package in ``source`` that are not public, as they are written."""
    private = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name.split(".")[0] == "pfitre_jax"]
            private += [f"import {module}" for module in modules if module != "pfitre_jax"]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pfitre_jax":
            names = public_names(node.module)
            private += [
                f"from {node.module} import {alias.name}"
                for alias in node.names
                if names is None or alias.name not in names
            ]
    return private


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_script_imports_public_names(path):
    assert private_imports(path.read_text()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_public_names(path):
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert private_imports(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pfitre_jax.solvers",
        "from pfitre_jax.solvers.loop import run",
        "from pfitre_jax.solvers import loop",
        "from pfitre_jax.solvers import run, nothing_of_this_name",
        "def f():\n    from pfitre_jax import reconstruction",
    ],
)
def test_a_private_import_is_detected(line):
    assert len(private_imports(line)) == 1


def test_a_public_import_passes():
    lines = (
        "import pfitre_jax as pf",
        "from pfitre_jax import Projector",
        "from pfitre_jax.solvers import run",
    )
    assert private_imports("\n".join(lines)) == []
