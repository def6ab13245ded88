"""Notebooks: they run, and the repository holds their outputs at full size."""

from __future__ import annotations

import os
import re

import nbformat
import pytest
from documented import ROOT
from nbclient import NotebookClient

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 220_000


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def pictures(notebook) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def execute(path, **environment):
    """Notebook after all its cells ran in its own folder; a cell that fails raises."""
    notebook = read(path)
    inherited = {name: value for name, value in os.environ.items() if name != "PFITRE_DATA"}
    # The kernel does not inherit sys.path.
    inherited["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    client = NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=inherited | {"PFITRE_SMALL": "1"} | environment)
    return notebook


every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

#: Notebooks of the default test run; the others train, align or take long.
SHORT = ("02_your_own_solver",)
marked = [pytest.param(path, marks=[pytest.mark.slow] * (path.stem not in SHORT)) for path in NOTEBOOKS]


@pytest.mark.parametrize("path", marked, ids=lambda path: path.stem)
def test_runs_at_small_size_and_its_assertions_hold(path):
    ran = execute(path)
    assert any(re.search(r"^ *assert ", cell.source, re.MULTILINE) for cell in code(ran))
    assert pictures(ran) >= 2
    # A line of output may arrive in several pieces.
    printed = "".join(output.get("text", "") for output in code(ran)[-1].outputs)
    assert "the real chip is skipped" in printed


@pytest.mark.slow
@every_notebook
def test_runs_on_the_real_chip(path, data_dir):
    with_chip = pictures(execute(path, PFITRE_DATA=str(data_dir)))
    assert with_chip == pictures(read(path))


@every_notebook
def test_is_committed_as_it_ran(path):
    notebook = read(path)
    cells = code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    # The last picture shows the real chip.
    assert pictures(notebook) >= 3 and pictures(nbformat.from_dict({"cells": cells[-1:]})) == 1
    assert path.stat().st_size < LARGEST


def test_the_readme_lists_all():
    listed = re.findall(r"\]\((\w+\.ipynb)\)", (FOLDER / "README.md").read_text())
    assert listed == [path.name for path in NOTEBOOKS] and len(listed) == 7


@every_notebook
def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    assert targets and all((FOLDER / target).exists() for target in targets), targets
