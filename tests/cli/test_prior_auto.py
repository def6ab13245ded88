"""``--prior auto``: refused combinations, and one choice for several elements."""

from __future__ import annotations

import json

import jax
import pytest
from elements_scan import elements_scan
from pfitre_command import pfitre

from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.plotting import style
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import method_settings, prior_selection, run_state
from pfitre_jax.reconstruction.prior_selection import PriorSelection

NETWORK = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
CHOICE = PriorSelection("b", "b predicts held-out views best", {"a": 0.2, "b": 0.1}, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--adapt",), "--prior auto with an adaptation"),
        (("--joint",), "--prior auto for a joint reconstruction"),
        (("--method", "pfitre-original"), "expected method 'pfitre'"),
        (("--method", "fista-tv"), "takes no --prior"),
    ],
)
def test_combinations_without_a_meaning_are_refused(tmp_path, words, message):
    done = pfitre("recon", "--sample", "chip", "--prior", "auto", *words, "--out", tmp_path / "out")
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("error:") == 1


@pytest.mark.parametrize(
    "words", [("watch", "--center", 16), ("adapt", "--element", "Cu")], ids=lambda words: words[0]
)
def test_other_commands_need_the_name_of_a_prior(tmp_path, words):
    command, *more = words
    scan = elements_scan(tmp_path)
    out = tmp_path / ("out" if command == "watch" else "prior.npz")
    done = pfitre(command, scan, *more, "--prior", "auto", "--out", out)
    assert done.exit_code == 2 and "--prior auto for" in done.stderr
    assert "expected the name or the file of a prior" in done.stderr


@pytest.mark.slow
def test_elements_share_one_choice(tmp_path, monkeypatch):
    """The choice is made once, and a run that is resumed does not make it again."""
    small = {name: NetworkPrior.create(NETWORK, jax.random.key(k), {}) for k, name in enumerate("ab")}
    monkeypatch.setattr(method_settings, "shipped_priors", lambda first: small)
    monkeypatch.setattr(style, "save_png", lambda figure, path: path.write_bytes(b"\x89PNG pfitre_jax"))
    calls = []

    def select(scan, settings):
        calls.append(scan.provenance["element"])
        return CHOICE

    monkeypatch.setattr(prior_selection, "select_prior", select)
    scan, out = elements_scan(tmp_path), tmp_path / "out"
    words = ("--element", "Cu,Fe", "--prior", "auto", "--iterations", 1, "--support", "disc", "--out", out)
    done = pfitre("recon", scan, *words)
    assert done.exit_code == 0, done.output
    assert "prior of all elements: b predicts held-out views best" in done.stderr and len(calls) == 1
    for folder in (path for path in out.iterdir() if path.is_dir()):
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["selection"]["prior"] == CHOICE.record()


def test_the_choice_of_a_run_in_progress_is_kept(tmp_path):
    identity = {"scan": "a"}
    run_state.begin(tmp_path, identity)
    assert run_state.chosen_prior(tmp_path, identity) is None
    run_state.begin(tmp_path, identity, CHOICE.record())
    assert run_state.chosen_prior(tmp_path, identity) == CHOICE.record()
    assert run_state.chosen_prior(tmp_path, {"scan": "b"}) is None
