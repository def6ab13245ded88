"""Processes of launchers, by their environment variables."""

import pytest

from pfitre_jax.runtime import processes
from pfitre_jax.runtime.processes import ALONE, join

SLURM, OPEN_MPI = processes._LAUNCHERS


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (*SLURM, *OPEN_MPI):
        monkeypatch.delenv(name, raising=False)

    def initialize(*arguments):
        raise AssertionError(f"processes {arguments} were connected")

    monkeypatch.setattr("jax.distributed.initialize", initialize)

    def set_variables(names, texts):
        for name, text in zip(names, texts, strict=True):
            if text is not None:
                monkeypatch.setenv(name, text)

    return set_variables


@pytest.mark.parametrize("names", [SLURM, OPEN_MPI])
@pytest.mark.parametrize(
    "texts", [(None, None), ("", ""), ("", None), (None, "0"), ("", "0"), ("1", ""), ("1", "0")]
)
def test_empty_variables_and_those_of_a_batch_script_mean_a_single_process(environment, names, texts):
    environment(names, texts)
    assert join(None, None, None) is ALONE


@pytest.mark.parametrize("names", [SLURM, OPEN_MPI])
@pytest.mark.parametrize(
    "texts",
    [("4", None), ("4", ""), ("", "3"), (None, "3"), ("four", "0"), ("2", "2"), ("2", "-1"), ("2(x3)", "0")],
)
def test_partial_variables_are_refused_by_name(environment, names, texts):
    """One process of several that runs alone would solve the rows of all."""
    environment(names, texts)
    with pytest.raises(
        ValueError, match=f"{names[0]}='.*{names[1]}='.*expected the number of processes"
    ) as refused:
        join(None, None, None)
    assert f"unset {names[0]} and {names[1]}" in str(refused.value)


@pytest.mark.parametrize(
    "error", [KeyError("SLURM_STEP_NODELIST"), ValueError("coordinator_address should be defined.")]
)
def test_variables_that_jax_misses_are_named(environment, monkeypatch, error):
    def initialize(*arguments):
        raise error

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    environment(SLURM, ("4", "1"))
    with pytest.raises(ValueError, match=r"process 1 of 4 does not find the others .*set --coordinator"):
        join(None, None, None)
