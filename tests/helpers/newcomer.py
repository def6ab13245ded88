"""Contract suite of the solvers, applied to a solver that is in no list, such as one of a notebook."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

SUITE = Path(__file__).parents[1] / "contracts" / "test_solvers.py"
#: Fixtures of the suite that stand for a solver.
FIXTURES = ("method", "basic")


class _OnlyThisSolver:
    """Plugin that replaces the solvers of the suite by one."""

    def __init__(self, method, name: str):
        self._method, self._name = method, name

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc):
        for fixture in FIXTURES:
            if fixture in metafunc.fixturenames:
                mark = pytest.mark.parametrize(fixture, [self._method], ids=[self._name])
                metafunc.definition.add_marker(mark)


def check_solver(method, name: str, only: str = "") -> bool:
    """Runs every test of ``test_solvers.py`` that takes a solver on ``method``; pytest prints the results.

    Args:
        method: A solver. Its numbers are arrays, ``jnp.asarray(0.9)``: the suite changes their type.
        name: Name in the output, one word.
        only: Words in the names of the tests to run; by default all run.

    Returns:
        Whether all tests passed.

    Raises:
        ValueError: If no test ran.
    """
    # The suite stays imported between calls: no program that was compiled for another solver may be used.
    jax.clear_caches()
    expression = " and ".join([name, *only.split()])
    # Without the options of the whole suite (processes, durations). Assertions stay plain: modules that a
    # notebook has imported cannot be rewritten.
    options = "-o addopts= -p no:cacheprovider -p no:npe2 -p no:napari --assert=plain".split()
    output = "-v --no-header --no-summary --tb=no --color=no".split()
    code = pytest.main([str(SUITE), "-k", expression, *options, *output], [_OnlyThisSolver(method, name)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ValueError(
            f"no test matched {expression!r} ({code!r}); expected a one-word name and words of test names"
        )
    return code == pytest.ExitCode.OK
