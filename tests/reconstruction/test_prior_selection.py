"""The scan chooses its prior by held-out views; one choice holds for a whole run."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import method_settings, methods, resumable_run, run_identity
from pfitre_jax.reconstruction.method_settings import NO_PRIOR, Settings
from pfitre_jax.reconstruction.prior_selection import choose_prior, select_prior

#: Two priors with small networks.
SMALL = {
    name: NetworkPrior.create(
        UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8),
        jax.random.key(seed),
        {"name": name},
    )
    for seed, name in enumerate(("circuits", "general"))
}


def disc_scan(views: int = 24, columns: int = 32, rows: int = 3) -> pf.Scan:
    """Rows of a disc of 8 bins radius, over 100 degrees."""
    theta = np.deg2rad(np.linspace(0, 100, views))
    t = np.arange(columns) - (columns - 1) / 2
    chord = 2 * np.sqrt(np.maximum(64 - t**2, 0))
    projections = np.tile(chord.astype(np.float32), (views, rows, 1))
    return pf.Scan.create(projections, theta, center=(columns - 1) / 2)


class TestRule:
    def test_the_first_prior_is_kept_unless_another_is_clearly_better(self):
        assert choose_prior({"a": 0.10, "b": 0.099, NO_PRIOR: 0.2}, "a")[0] == "a"
        assert choose_prior({"a": 0.10, "b": 0.03, NO_PRIOR: 0.2}, "a")[0] == "b"

    def test_total_variation_is_chosen_where_no_prior_helps(self):
        chosen, reason = choose_prior({"a": 0.10, "b": 0.12, NO_PRIOR: 0.01}, "a")
        assert chosen == NO_PRIOR and "predicts held-out views best" in reason and "0.01" in reason

    def test_too_few_views_leave_the_default(self):
        chosen, reason = choose_prior({}, "a")
        assert chosen == "a" and "too few views" in reason
        # A method that diverges has no error.
        assert choose_prior({"b": 0.10, NO_PRIOR: 0.2}, "a")[0] == "b"
        assert choose_prior({"a": 0.10, "b": 0.2}, "a")[0] == "a"
        assert choose_prior({NO_PRIOR: 0.2}, "a") == (
            NO_PRIOR,
            f"{NO_PRIOR}, because every prior diverges (relative errors: {NO_PRIOR} 0.2)",
        )
        chosen, reason = choose_prior({"a": 0.10, "b": 0.05, NO_PRIOR: 0.049}, "a")
        assert chosen == "b" and "better than the other priors" in reason and "default" not in reason


class TestSettings:
    def test_the_candidates_are_the_shipped_priors_of_rows(self):
        settings = Settings.create("pfitre", prior="auto", support="disc", gains=True)
        assert set(settings.prior_candidates) == {"circuits", "general"}
        assert next(iter(settings.prior_candidates)) == methods.METHODS["pfitre"].defaults["prior"]
        assert settings.record()["prior"].startswith("auto of ")
        general = settings.with_candidate("general")
        assert not general.prior_candidates and general.prior.info.card["name"] == "general"
        none = settings.with_candidate(NO_PRIOR)
        assert none.method == "fista-tv" and none.prior is None
        assert none.support == "disc" and none.data_model == settings.data_model
        assert settings.as_selected({"prior": {"chosen": "general"}}).prior is general.prior
        assert general.as_selected({}) is general

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"method": "pfitre-original"}, "expected method 'pfitre'"),
            ({"joint": True}, "joint reconstruction"),
            ({"adaptation": pf.training.AdaptationSettings()}, "name the prior"),
        ],
    )
    def test_bad_combinations_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            Settings.create(**{"method": "pfitre", "prior": "auto"} | arguments)

    def test_a_scan_that_is_being_measured_names_its_prior(self):
        with pytest.raises(ValueError, match="prior='auto' for a live scan; expected the name"):
            Settings.create("pfitre", prior="auto").require_known_prior("a live scan")


def test_a_scan_of_few_views_keeps_the_default(monkeypatch):
    monkeypatch.setattr(method_settings, "shipped_priors", lambda first: SMALL)
    scan = disc_scan(views=8)
    selection = select_prior(scan, Settings.create("pfitre", prior="auto", iterations=2))
    assert selection.chosen == "circuits" and selection.errors == {}
    assert selection.record()["by"] == "default" and selection.trial is not None


@pytest.mark.parametrize("chosen", ["general", NO_PRIOR])
def test_the_choice_is_recorded_and_resumed(tmp_path, monkeypatch, chosen):
    """The result is that of the chosen prior, and a resumed run does not choose again."""
    from pfitre_jax.reconstruction import plan, prior_selection

    scan = disc_scan(views=12, columns=24, rows=1)
    monkeypatch.setattr(method_settings, "shipped_priors", lambda first: SMALL)
    settings = Settings.create("pfitre", prior="auto", iterations=2, support="disc")
    monkeypatch.setattr(prior_selection, "choose_prior", lambda errors, first: (chosen, "chosen by the test"))
    monkeypatch.setattr(prior_selection, "select_iterations", few_iterations)
    identity = run_identity.identify({}, {}, settings)
    result = resumable_run.reconstruct_to(tmp_path, identity, scan, settings, slice(0, 1))
    assert (
        result.selection["prior"]["chosen"] == chosen
        and result.selection["prior"]["reason"] == "chosen by the test"
    )
    assert json.loads(json.dumps(result.selection))["prior"]["errors"].keys() == {
        "circuits",
        "general",
        NO_PRIOR,
    }
    stated = "fista-tv" if chosen == NO_PRIOR else "pfitre"
    assert result.method == stated
    if chosen != NO_PRIOR:
        alone = pf.reconstruct(scan, prior=SMALL[chosen], iterations=2, support="disc")
        np.testing.assert_allclose(result.volume[0], alone.volume[0], atol=1e-5)
    monkeypatch.setattr(plan, "select_prior", None)
    again = resumable_run.reconstruct_to(tmp_path, identity, scan, settings, slice(0, 1))
    assert again.selection == result.selection and again.method == result.method
    np.testing.assert_array_equal(again.volume[0], result.volume[0])


def few_iterations(scan, problem, solver, scale, default):
    """Stands for the selection, which compiles for long: the errors of a scan, without reconstructions."""
    from pfitre_jax.estimation.iteration_selection import IterationSelection

    return IterationSelection(default, np.array([0.2, 0.1]))
