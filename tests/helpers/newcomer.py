"""The contract of a solver that is in no list yet, such as one that a notebook has just defined."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "contracts" / "test_solvers.py"


class _InPlaceOfTheList:
    """A plugin: what the suite asks of every method is asked of this one."""

    def __init__(self, method, name: str):
        self._entry = pytest.mark.parametrize("method", [method], ids=[name])

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc):
        if "method" in metafunc.fixturenames:
            metafunc.definition.add_marker(self._entry)


def check_solver(method, name: str, only: str = "") -> bool:
    """Whether every test of ``test_solvers.py`` that takes a method holds for ``method``; pytest says which.

    method: numbers in it are arrays, ``jnp.asarray(0.9)``, so that the suite can change their type
    only: words in the names of the tests to run, default all
    """
    chosen = " and ".join([name, *only.split()])
    # Not the options of the whole suite (many processes, durations). Assertions stay plain: what a notebook
    # has imported already cannot be rewritten.
    options = "-o addopts= -p no:cacheprovider --assert=plain".split()
    shown = "-v --no-header --no-summary --tb=no --color=no".split()
    code = pytest.main([str(SUITE), "-k", chosen, *options, *shown], [_InPlaceOfTheList(method, name)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ValueError(
            f"no test ran for {chosen!r} ({code!r}); expected one word, and words of their names"
        )
    return code == pytest.ExitCode.OK
