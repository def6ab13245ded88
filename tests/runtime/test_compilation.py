"""Compiled programs are kept, and dropped before a process has too many memory maps."""

import jax
import numpy as np
import pytest

from pfitre_jax.runtime import compilation, compiled, drop_programs_near_limit


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Sets the number of memory maps that the process occupies, of 100."""
    occupied, limit = tmp_path / "maps", tmp_path / "max_map_count"
    limit.write_text("100\n")
    monkeypatch.setattr(compilation, "MAPS", occupied)
    monkeypatch.setattr(compilation, "LIMIT", limit)
    return lambda number: occupied.write_text("a map\n" * number)


@pytest.fixture
def traces():
    """A jitted function, and the list of its traces."""
    traced = []

    @jax.jit
    def double(x):
        traced.append(x.shape)
        return 2 * x

    return double, traced


@pytest.mark.parametrize(("number", "dropped"), [(30, False), (41, True)])
def test_programs_are_dropped_only_near_the_limit(maps, traces, number, dropped):
    double, traced = traces
    x = np.ones(3, np.float32)
    double(x)
    program, _ = compiled(double, x)
    before = len(traced)
    maps(number)
    assert drop_programs_near_limit() is dropped
    np.testing.assert_array_equal(double(x), 2 * x)
    again, _ = compiled(double, x)
    assert (len(traced) > before) is dropped
    assert (again is not program) is dropped
    # A program that is in use outlives the cache.
    np.testing.assert_array_equal(program(x), 2 * x)


def test_systems_without_such_a_limit_keep_their_programs(maps):
    assert not drop_programs_near_limit()
