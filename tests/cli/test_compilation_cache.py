"""Tests of the compilation cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pfitre_jax.cli import compilation_cache as cache


@pytest.fixture(autouse=True)
def _machine(monkeypatch, tmp_path):
    """A machine with an accelerator, and no settings of the cache."""
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache.importlib.metadata, "entry_points", lambda group: [f"one of {group}"])


def test_the_cache_is_enabled_with_an_accelerator(tmp_path):
    cache.enable_cache()
    folder = Path(os.environ.pop(cache.VARIABLE))
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "home")


def test_the_cache_is_disabled_on_a_cpu(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    cache.enable_cache()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(cache.importlib.metadata, "entry_points", lambda group: [])
    cache.enable_cache()
    assert cache.VARIABLE not in os.environ


def test_the_environment_variable_takes_precedence(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "elsewhere")
    cache.enable_cache()
    assert os.environ[cache.VARIABLE] == "elsewhere"


def test_a_folder_that_cannot_be_created_is_ignored(tmp_path):
    (tmp_path / "home").write_text("a file")
    cache.enable_cache()
    assert cache.VARIABLE not in os.environ


def test_least_recently_used_files_are_removed_first(tmp_path):
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.prune(tmp_path, max_bytes=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
