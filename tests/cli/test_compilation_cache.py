"""Compiled programs are kept from run to run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pfitre_jax.cli import compilation_cache as cache


@pytest.fixture(autouse=True)
def _machine(monkeypatch, tmp_path):
    """Nothing set, an accelerator there."""
    monkeypatch.delenv(cache.VARIABLE, raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache.importlib.metadata, "entry_points", lambda group: [f"one of {group}"])


def test_programs_for_an_accelerator_are_kept(tmp_path):
    cache.enable_cache()
    folder = Path(os.environ.pop(cache.VARIABLE))
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "home")


def test_those_for_a_processor_are_not(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    cache.enable_cache()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(cache.importlib.metadata, "entry_points", lambda group: [])
    cache.enable_cache()
    assert cache.VARIABLE not in os.environ


def test_who_sets_the_variable_decides(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "elsewhere")
    cache.enable_cache()
    assert os.environ[cache.VARIABLE] == "elsewhere"


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "home").write_text("a file")
    cache.enable_cache()
    assert cache.VARIABLE not in os.environ


def test_what_was_used_longest_ago_goes_first(tmp_path):
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.prune(tmp_path, max_bytes=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
