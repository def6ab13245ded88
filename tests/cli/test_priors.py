"""Tests of ``pfitre priors``."""

import json

import numpy as np
from pfitre_command import pfitre

from pfitre_jax.priors.files import available, locate, pretrained


def test_priors_are_listed_with_their_hash_and_a_card_is_printed():
    listed = pfitre("priors")
    assert listed.exit_code == 0
    names = available()
    assert [line.split()[0] for line in listed.output.strip().splitlines()] == names
    for name in names:
        card = pretrained(name).info.card
        assert card["sha256"] in listed.output
        shown = json.loads(pfitre("priors", name).output)
        assert shown == dict(card)


def test_weights_that_do_not_match_their_hash_are_refused(tmp_path):
    with np.load(locate(available()[0])) as file:
        content = dict(file)
    changed = next(name for name in content if name.startswith("params/") and content[name].size > 9)
    content[changed] = content[changed] + 1
    np.savez(tmp_path / "mine.npz", **content)
    done = pfitre("priors", tmp_path / "mine.npz")
    assert done.exit_code == 2 and "hash" in done.output and "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1
