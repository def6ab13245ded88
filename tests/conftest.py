"""Shared fixtures: real data where they are present, strict JAX settings."""

from __future__ import annotations

import os
from pathlib import Path

# Compiling is most of what the tests do: without LLVM's optimisations it takes two thirds of the time.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import jax
import pytest

from pfitre_jax.runtime import compilation as compiled

jax.config.update("jax_numpy_rank_promotion", "raise")

#: Every program takes some memory maps, of which Linux allows a process 65530; XLA aborts at the last one.
MOST_MAPS = 25_000


#: Files of few tests that take long: begun first, that no worker is left with one of them at the end.
LONG = ("test_notebooks", "test_solvers", "test_job", "test_priors", "test_recon")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Before a file of tests, forget what the files before it compiled, once that is much."""
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > MOST_MAPS:
        compiled._compile.cache_clear()
        jax.clear_caches()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real scans: ``PFITRE_DATA``, by default ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("PFITRE_DATA", default))
    if not path.is_dir():
        pytest.skip(f"real data are not at {path}; set PFITRE_DATA to their folder")
    return path
