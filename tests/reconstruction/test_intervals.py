"""Intervals of a reconstruction: scale, table, files, and what is said where they do not hold."""

from __future__ import annotations

import dataclasses
import functools

import h5py
import jax
import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack

import pfitre_jax as pf
from pfitre_jax.interfaces import Card
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.interval_table import IntervalCell, IntervalTable
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import intervals as intervals_module
from pfitre_jax.reconstruction import resumable_run, run_state
from pfitre_jax.reconstruction.intervals import Intervals
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import make_plan
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.trust import sharpened_scale

CONFIG = UNetConfig(channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4, expected_error=True)
DISCS = [[(2.0, -3.0, 7.0, 1.0), (-6.0, 5.0, 3.0, 2.0)], [(1.0, 4.0, 8.0, 1.5), (-5.0, -6.0, 2.0, 1.0)]]
#: One side: 99 degrees missing.
VIEWS = THETA[:10]
FACTOR = 2.5


def table(draws=0, factor=FACTOR, wedge_deg=(20.0, 140.0), noise=(1e-5, 0.2), gradient_weight=0.4):
    cells = (IntervalCell(wedge_deg, noise, factor, 40),)
    return IntervalTable(0.9, draws, cells, gradient_weight=gradient_weight)


@functools.cache
def params():
    """Parameters that differ from those before training, with which a network is the identity."""
    leaves, tree = jax.tree.flatten(NetworkPrior.create(CONFIG, jax.random.key(0)).params)
    rng = np.random.default_rng(0)
    changed = [leaf + 0.05 * rng.standard_normal(np.shape(leaf)).astype(np.float32) for leaf in leaves]
    return jax.tree.unflatten(tree, changed)


def prior(**tables):
    record = {kind.replace("_", "-"): value.record() for kind, value in tables.items()}
    return NetworkPrior(params(), CONFIG, Card({"name": "small", "intervals": record}))


@functools.cache
def scan(factor=1.0):
    stack = disc_stack([*DISCS, DISCS[0]])[:10]
    noise = np.random.default_rng(0).standard_normal(stack.shape)
    return pf.Scan.create(
        (factor * (stack + 0.01 * stack.max() * noise)).astype(np.float32), VIEWS, center=CENTER
    )


def reconstruct(prior, scan=None, **more):
    options = {"support": "disc", "iterations": 2, "prior": prior} | more
    return pf.reconstruct(scan or globals()["scan"](), "pfitre", **options)


@functools.cache
def quick():
    return reconstruct(prior(expected_error=table()))


def test_the_half_width_is_the_factor_times_the_expected_error():
    result, unscaled = quick(), reconstruct(prior(expected_error=table(factor=1.0)))
    inside = np.broadcast_to(result.support, result.volume.shape)
    width, scale = (r.upper - r.volume for r in (result, unscaled))
    np.testing.assert_allclose(width[inside], FACTOR * scale[inside], rtol=1e-3)
    assert np.all(width[~inside] == 0) and width[inside].min() > 0
    assert np.all(result.lower >= 0) and np.all(result.lower <= result.volume)
    record = result.intervals
    assert (record["level"], record["kind"], record["draws"]) == (0.9, "expected-error", 0)
    assert record["cell"]["factor"] == FACTOR and record["cell"]["slices"] == 40
    assert record["median_half_width"] == pytest.approx(
        np.median([np.median(w[result.support]) for w in width]), rel=1e-3
    )
    # The noise of 1% is estimated from ten views of 33 bins.
    assert 0.005 < record["noise"] < 0.03 and record["wedge_deg"] == pytest.approx(90, abs=1)


def test_the_scale_has_the_gradient_weight_of_the_table():
    result = quick()
    expected = reconstruct(prior(expected_error=table(gradient_weight=0.0)))
    x = result.volume / result.scale
    width, plain = ((r.upper - r.volume) / (FACTOR * result.scale) for r in (result, expected))
    inside = np.broadcast_to(result.support, x.shape)
    sharpened = np.asarray(sharpened_scale(plain, x, 0.4))
    np.testing.assert_allclose(width[inside], sharpened[inside], rtol=1e-3)
    assert np.abs(width / np.where(inside, plain, 1) - 1)[inside].max() > 0.1


@functools.cache
def quick_with_fixed_rho(factor=1.0):
    """Rounding changes the noise of ten views, and with it the automatic rho, by some percent."""
    return reconstruct(prior(expected_error=table()), scan(factor), rho=0.005)


def test_the_limits_have_the_unit_of_the_projections():
    scaled = quick_with_fixed_rho(100.0)
    for name in ("lower", "upper"):
        a, b = getattr(scaled, name) / 100, getattr(quick_with_fixed_rho(), name)
        assert np.linalg.norm(a - b) < 0.01 * np.linalg.norm(b)


def test_the_limits_turn_with_the_object():
    """A quarter turn of the angles turns the slices and their limits."""
    turned = pf.Scan.create(scan().projections, VIEWS + np.pi / 2, center=CENTER)
    result = reconstruct(prior(expected_error=table()), turned, rho=0.005)
    margin = (result.volume.shape[-1] - 1) / 2
    assert margin == int(margin)
    for name in ("volume", "upper"):
        a, b = getattr(result, name), np.rot90(getattr(quick_with_fixed_rho(), name), axes=(1, 2))
        assert np.linalg.norm(a - b) < 0.06 * np.linalg.norm(b)


def test_off_and_priors_without_a_table_have_no_limits():
    for mode, card in (("off", prior(expected_error=table())), ("quick", prior())):
        result = reconstruct(card, intervals=mode)
        assert result.lower is result.upper is result.intervals is None
        np.testing.assert_array_equal(result.volume, quick().volume)


@pytest.mark.parametrize(
    ("method", "more", "mode", "kind", "reason"),
    [
        ("pfitre", {"prior": lambda: prior()}, "quick", None, "'small' has no calibrated table"),
        ("pfitre", {"prior": lambda: prior(expected_error=table())}, "quick", "expected-error", ""),
        ("pfitre", {"prior": lambda: prior(expected_error=table())}, "full", None, "kind 'combined'"),
        ("pfitre", {"prior": lambda: prior(combined=table(7))}, "full", "combined", ""),
        ("cgls", {}, "quick", None, ""),
        ("cgls", {}, "full", None, "'cgls' has no calibrated table of the kind 'bootstrap'"),
        ("sirt", {}, "full", "bootstrap", ""),
        ("sirt", {}, "off", None, ""),
    ],
)
def test_the_choice_of_intervals(monkeypatch, method, more, mode, kind, reason):
    monkeypatch.setattr(intervals_module, "classical_tables", lambda: {"sirt": {"bootstrap": table(draws=5)}})
    settings = Settings.create(method, **{name: make() for name, make in more.items()})
    chosen, why = Intervals.choose(settings, mode)
    assert (None if chosen is None else chosen.kind) == kind
    assert reason in why and bool(why) == bool(reason)


def test_an_unknown_mode_and_full_without_a_table_are_refused():
    with pytest.raises(ValueError, match="intervals is 'wide'; expected 'quick', 'full', 'off'"):
        reconstruct(prior(), intervals="wide")
    with pytest.raises(ValueError, match="intervals='full', but the prior 'small' has no calibrated table"):
        reconstruct(prior(), intervals="full")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"wedge_deg": (20.0, 60.0)}, "the missing wedge is 90 degrees wide, and the table covers 20 to 60"),
        ({"noise": (0.1, 0.2)}, "% of the largest line integral, and the table covers 10 to 20%"),
    ],
)
def test_outside_of_the_table_the_intervals_do_not_hold(changes, reason):
    result = reconstruct(prior(expected_error=table(**changes)))
    assert not result.intervals["holds"]
    assert any(reason in text for text in result.intervals["reasons"])
    [warning] = [text for text in result.warnings if "the intervals do not hold" in text]
    assert reason in warning


def test_stated_settings_are_a_reason_and_the_domain_score_is_one():
    assert quick().intervals["reasons"] == ["the table was made with the automatic value of iterations"]
    fixed = dataclasses.replace(table(), calibration={"settings": {"support": "disc", "iterations": 2}})
    other = reconstruct(prior(expected_error=fixed), gains=True).intervals
    assert other["holds"] is False
    assert (
        "the table was made with support = disc, iterations = 2 and not with automatic values"
        in other["reasons"]
    )
    assert any("least squares without corrections" in reason for reason in other["reasons"])
    settings = Settings.create("pfitre", prior=prior(expected_error=table()), support="disc")
    # Not selected by held-out views, which takes long.
    settings = dataclasses.replace(settings, iterations=2, automatic_iterations=False)
    chosen, _ = Intervals.choose(settings, "quick")
    calibrated = make_plan(scan(), settings, 3, intervals=chosen).intervals
    assert calibrated.reasons == ()
    widths = np.array([0.1, np.nan, 0.3])
    assert calibrated.record(widths, widths, None)["holds"]
    assert calibrated.record(widths, widths, 0.7)["holds"]
    record = calibrated.record(widths, widths, 1.3)
    assert not record["holds"] and "domain score 1.30" in record["reasons"][0]
    assert record["median_half_width"] == pytest.approx(0.2)


class TestBootstrap:
    @pytest.fixture(autouse=True)
    def _tables(self, monkeypatch):
        monkeypatch.setattr(
            intervals_module, "classical_tables", lambda: {"sirt": {"bootstrap": table(draws=4)}}
        )

    def run(self, **more):
        return pf.reconstruct(scan(), "sirt", support="disc", iterations=30, intervals="full", **more)

    def test_does_not_change_the_result_and_does_not_depend_on_the_chunk(self):
        together, apart = self.run(), self.run(chunk=1)
        plain = pf.reconstruct(scan(), "sirt", support="disc", iterations=30)
        np.testing.assert_array_equal(together.volume, plain.volume)
        np.testing.assert_allclose(together.upper, apart.upper, rtol=2e-3, atol=1e-5)
        assert together.intervals["kind"] == "bootstrap" and together.intervals["draws"] == 4
        width = together.upper - together.volume
        # The edges of a disc blur along the beam, and its middle does not.
        middle = tuple(np.array(width.shape[1:]) // 2 + (3, 2))
        assert width[0].max() > 3 * width[0][middle]

    def test_a_resumed_run_has_the_same_limits(self, monkeypatch, tmp_path):
        monkeypatch.setattr("pfitre_jax.reconstruction.executor.CHUNK", 1)
        settings = Settings.create("sirt", support="disc", iterations=30)
        chosen, _ = Intervals.choose(settings, "full")
        identity = {"some": "run"}
        arguments = (identity, scan(), settings, slice(0, 3))

        def stop(done, *_):
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(resumable_run.Interrupted):
            resumable_run.reconstruct_to(
                tmp_path, *arguments, intervals=chosen, events=resumable_run.Events(solved=stop)
            )
        began = []
        events = resumable_run.Events(planned=lambda _, done: began.append(done))
        result = resumable_run.reconstruct_to(tmp_path, *arguments, intervals=chosen, events=events)
        assert began == [2]
        result.save(tmp_path)
        run_state.remove_partial(tmp_path)
        stored, whole = read_result(tmp_path / "recon.h5"), self.run(chunk=1)
        np.testing.assert_array_equal(stored.lower, whole.lower)
        np.testing.assert_array_equal(stored.upper, whole.upper)
        assert stored.intervals == whole.intervals
        with h5py.File(tmp_path / "recon.h5") as file:
            assert file["/trust/lower"].shape == whole.volume.shape
            assert file["/trust/upper"].attrs["units"] == "1/pixel"
        assert '"median_half_width"' in (tmp_path / "summary.json").read_text()


def test_a_row_without_data_has_no_limits():
    stack, mask = scan().projections, np.ones(scan().projections.shape, bool)
    mask[:, 1] = False
    result = reconstruct(
        prior(expected_error=table()), pf.Scan.create(stack, VIEWS, center=CENTER, mask=mask)
    )
    assert np.all(np.isnan(result.upper[1][result.support])) and np.all(np.isfinite(result.upper[[0, 2]]))
    assert np.isfinite(result.intervals["median_half_width"])
