"""Shared fixtures, strict JAX settings, and the order of the test files."""

from __future__ import annotations

import functools
import os
from importlib import metadata
from pathlib import Path

# Compilation dominates the run time of the tests. It takes less without LLVM's optimisations, and a quarter
# of the time with XLA's older code generator for fusions. XLA aborts at an unknown flag, so the flags of that
# generator are only passed to versions that are known to have it.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        if metadata.version("jaxlib").startswith("0.10.")
        else "",
    ]
)

# The tests of the oneDNN engine choose it; all others are those of XLA, unless the variable is set.
os.environ.setdefault("PFITRE_NETWORK", "xla")

import jax
import pytest
import typer.main
import typer.testing

from pfitre_jax.runtime import drop_programs_near_limit

jax.config.update("jax_numpy_rank_promotion", "raise")

# Building the command line from its functions takes longer than most of the commands that the tests run.
typer.testing._get_command = functools.cache(typer.main.get_command)

#: Test files with few long tests. They start first, so that no worker runs one of them alone at the end.
LONG_FILES = ("test_notebooks", "test_solvers", "test_priors", "test_recon", "test_experiments")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG_FILES)


@pytest.fixture(scope="module", autouse=True)
def _drop_compiled_programs():
    """Drops compiled programs before a test file if they occupy many memory maps."""
    drop_programs_near_limit()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real scans: ``PFITRE_DATA``, by default ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("PFITRE_DATA", default))
    if not path.is_dir():
        pytest.skip(f"{path} not found; set PFITRE_DATA to the folder of the real scans")
    return path
