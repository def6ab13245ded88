"""Reconstruction with a prior that is adapted to the scan first."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
from analytic import CENTER, THETA_DEG, disc_stack
from hypothesis import given
from hypothesis import strategies as st
from pfitre_command import pfitre

import pfitre_jax as pf
from pfitre_jax.data.readers.dxchange import write_dxchange
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import plan as planning
from pfitre_jax.reconstruction import resumable_run, run_identity
from pfitre_jax.reconstruction.adapted_prior import SLAB_ROWS, SLABS, AdaptedPrior, select_slabs
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.training.adaptation_settings import AdaptationSettings
from pfitre_jax.training.round_selection import RoundChoice

ROWS = 4
DISCS = [[(2.0 - 0.3 * r, 1.0, 6.0 + 0.3 * r, 3.0)] for r in range(ROWS)]
SHORT = AdaptationSettings(rounds=1, steps=1, batch=2, iterations=1, predicted_iterations=1)
PRIOR = NetworkPrior.create(
    UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8),
    jax.random.key(0),
    {"name": "small"},
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "scan.h5"
    write_dxchange(path, disc_stack(DISCS), np.deg2rad(THETA_DEG))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fista-tv"}, "adaptation of the prior for method 'fista-tv'; expected method 'pfitre'"),
        ({"method": "pfitre", "prior": pf.priors.TV(0.1)}, "the prior is TV; expected a NetworkPrior"),
    ],
)
def test_what_cannot_be_adapted_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Settings.create(**options, adaptation=SHORT)


def test_the_settings_of_the_adaptation_identify_the_run():
    plain, short, longer = (
        Settings.create("pfitre", prior=PRIOR, adaptation=adaptation).record()
        for adaptation in (None, SHORT, AdaptationSettings())
    )
    assert "adapt" not in plain and short["adapt"] != longer["adapt"] and json.dumps(short)


@given(st.integers(0, 50), st.integers(1, 60))
def test_slabs_are_neighbouring_rows_inside_the_range_without_overlap(first, count):
    slabs = select_slabs(first, first + count)
    assert slabs.shape == (min(SLABS, max(count // SLAB_ROWS, 1)), min(SLAB_ROWS, count))
    np.testing.assert_array_equal(np.diff(slabs, axis=1), 1)
    assert len(np.unique(slabs)) == slabs.size
    assert slabs.min() == first and (slabs.max() == first + count - 1 or len(slabs) == 1)


@pytest.mark.slow
def test_a_prior_of_neighbouring_rows_is_adapted_to_slabs(path):
    scan = pf.load_scan(path, center=CENTER)
    config = dataclasses.replace(PRIOR.config, in_channels=6)
    prior = NetworkPrior.create(config, jax.random.key(1), {"name": "neighbours"})
    images = []
    adapted = pf.adapt(scan, prior, settings=SHORT, observe=images.append)
    assert [image.shape[0] for image in images] == [ROWS, ROWS] and len(adapted.record["rounds"]) == 2
    result = pf.reconstruct(scan, prior=prior, joint=True, iterations=1, adapt=SHORT)
    assert result.selection["adaptation"]["rounds"][0] | {"seconds": 0} == adapted.record["rounds"][0] | {
        "seconds": 0
    }


@pytest.mark.slow
def test_an_interrupted_run_resumes_with_the_same_prior(path, tmp_path, monkeypatch):
    monkeypatch.setattr("pfitre_jax.reconstruction.executor.CHUNK", 2)
    settings = Settings.create("pfitre", prior=PRIOR, iterations=1, adaptation=SHORT)
    identity = run_identity.identify({"scan": path}, {}, settings)
    # One round of few steps gains little: it is kept all the same.
    kept = RoundChoice(1, "for this test")
    monkeypatch.setattr("pfitre_jax.training.adaptation.select_round", lambda rounds, margin: kept)
    scan = pf.open_scan(path, center=CENTER)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(resumable_run.Interrupted):
        resumable_run.reconstruct_to(
            tmp_path, identity, scan, settings, slice(0, ROWS), events=resumable_run.Events(solved=stop)
        )
    saved = AdaptedPrior.load(tmp_path / "partial")
    assert saved.changed and saved.prior.card["name"] == "small, adapted"

    def never(*_, **__):
        raise AssertionError("the prior was adapted a second time")

    monkeypatch.setattr(planning, "adapt_to_scan", never)
    plans = []
    result = resumable_run.reconstruct_to(
        tmp_path,
        identity,
        scan,
        settings,
        slice(0, ROWS),
        events=resumable_run.Events(planned=lambda plan, done: plans.append((plan.adapted, done))),
    )
    [(adapted, done)] = plans
    assert done == 2 and result.selection["adaptation"]["chosen"] == 1
    jax.tree.map(np.testing.assert_array_equal, adapted.prior.params, saved.prior.params)
    assert "small, adapted" in result.parameters["prior"]
    changed = jax.tree.map(lambda a, b: np.any(a != b), adapted.prior.params, PRIOR.params)
    assert any(jax.tree.leaves(changed)) and np.isfinite(result.volume[ROWS - 1]).all()
    (tmp_path / "partial" / "prior.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"adapted prior in .* cannot be read .*: start over"):
        resumable_run.reconstruct_to(tmp_path, identity, scan, settings, slice(0, ROWS))


@pytest.mark.slow
def test_recon_writes_the_adapted_prior_and_the_decision(path, tmp_path, monkeypatch):
    prior = tmp_path / "small.npz"
    files.save(prior, PRIOR)
    monkeypatch.setattr("pfitre_jax.training.adaptation_settings.AdaptationSettings", lambda minutes: SHORT)
    out = tmp_path / "out"
    words = ("recon", path, "--center", CENTER, "--prior", prior, "--iterations", 1, "--out", out)
    done = pfitre(*words, "--adapt", "--adapt-minutes", 5)
    assert done.exit_code == 0, done.output
    adaptation = json.loads((out / "summary.json").read_text())["selection"]["adaptation"]
    assert len(adaptation["rounds"]) == 2 and adaptation["reason"] in " ".join(done.output.split())
    card = files.load(out / "prior.npz").card
    assert card["adapted"]["chosen"] == adaptation["chosen"] and card["adapted"]["from"]["name"] == "small"
    assert (out / "adaptation.png").exists() and not (out / "partial").exists()
    assert "already contains this result" in pfitre(*words, "--adapt", "--adapt-minutes", 5).output
    assert pfitre(*words).exit_code == 2


@pytest.mark.slow
def test_the_memory_check_counts_the_adaptation(path, tmp_path):
    prior = tmp_path / "small.npz"
    files.save(prior, PRIOR)
    words = (
        "recon",
        path,
        "--center",
        CENTER,
        "--prior",
        prior,
        "--iterations",
        1,
        "--out",
        tmp_path / "out",
    )
    done = pfitre(*words, "--memory-check", "--adapt")
    assert done.exit_code == 0, done.output
    facts = dict(line.split(maxsplit=1) for line in done.output.splitlines() if "GiB needed" in line)
    gib = {name: float(text.split()[0]) for name, text in facts.items()}
    assert gib["memory"] >= gib["adaptation"] and not (tmp_path / "out").exists()


def test_a_time_limit_without_adaptation_is_refused(path, tmp_path):
    done = pfitre("recon", path, "--out", tmp_path / "out", "--adapt-minutes", 5)
    assert done.exit_code == 2 and "--adapt-minutes without --adapt" in done.output
