"""Tests of ``pfitre evaluate``."""

import pytest
from pfitre_command import pfitre


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--missing", "180"], "--missing is 180; expected degrees between 0 and 180"),
        (["--card", "--only", "wedge"], "both --card and --only wedge were set"),
        (["--only", "weather"], "'weather' is not one of"),
        (["--scenes", "rock"], "the held-out files of 'rock' do not exist"),
        (["--only", "sources"], "the held-out files of 'ihp' do not exist"),
        (["--rho", "0"], "rho is 0"),
        (["--rho", "much"], "--rho is 'much'; expected a number or 'auto'"),
        (["--prior", "nobody"], "no prior 'nobody'"),
    ],
)
def test_invalid_input_is_refused(folder, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PFITRE_DATA", str(folder / "nowhere"))
    before = sorted(folder.rglob("*"))
    done = pfitre("evaluate", "--quick", "--out", "judged", *args)
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split()) and "Traceback" not in done.output
    assert sorted(folder.rglob("*")) == before
