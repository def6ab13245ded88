"""The judge of priors: complete records, sums that add up, and no gain for a prior that does nothing new."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from pfitre_jax import evaluate as judge
from pfitre_jax.evaluate import WEIGHTS, EvaluationSettings
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.twin.scenes.heldout import KINDS

SETTINGS = EvaluationSettings(orientations=1, scenes=2, size=32, views=24, seed=1001, fista_iterations=8)
FIELDS = {
    "seed",
    "kind",
    "wedge_center_deg",
    "fbp",
    "first",
    "network_once",
    "pfitre",
    "fista_tv",
    "fista_tv_weight",
    "fista_tv_residual",
    "residual",
    "noise_residual",
    "disagreement",
    "statistics",
    "gain",
}


@pytest.fixture(scope="module")
def judged():
    """Records of an untrained network, which is the identity, and the progress told."""
    layout = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
    prior, told = NetworkPrior.create(layout, jax.random.key(0)), []
    records = judge.evaluate(prior, SETTINGS, rho=0.02, iterations=2, progress=lambda *n: told.append(n))
    return records, told


def made_up(**changes):
    record = dict.fromkeys(FIELDS, 1.0) | {"kind": KINDS[0], "seed": 1, "gain": 1.0, "statistics": [1.0] * 4}
    return record | changes


def test_every_scene_has_a_complete_record(judged):
    records, told = judged
    assert told == [(1, 1)]
    assert [record["seed"] for record in records] == [1001, 1002]
    for record in records:
        assert set(record) == FIELDS
        assert record["kind"] == KINDS[record["seed"] % len(KINDS)]
        assert record["wedge_center_deg"] == 0
        assert all(np.all(np.isfinite(value)) for name, value in record.items() if name != "kind")
        assert record["gain"] == record["pfitre"] - record["fista_tv"]
        assert record["fista_tv_weight"] in WEIGHTS


def test_the_identity_adds_nothing(judged):
    for record in judged[0]:
        assert record["network_once"] == pytest.approx(record["first"], abs=1e-4)
        assert record["disagreement"] == 0


def test_numbers_are_those_of_a_reconstruction(judged):
    for record in judged[0]:
        # 1% noise of the maximum; the norm is of all bins.
        assert 0.01 < record["noise_residual"] < 0.04
        assert record["noise_residual"] * 0.3 < record["residual"] < 0.3
        assert record["noise_residual"] * 0.3 < record["fista_tv_residual"] < 0.3
        for name in ("first", "pfitre", "fista_tv"):
            assert 10 < record[name] < 40
            assert record[name] > record["fbp"]


def test_summary_is_of_the_records(judged):
    records, _ = judged
    summary = judge.summarise(records)
    gains = [record["gain"] for record in records]
    assert summary["scenes"] == 2
    assert summary["gain"]["mean"] == pytest.approx(np.mean(gains))
    assert (summary["gain"]["smallest"], summary["gain"]["largest"]) == (min(gains), max(gains))
    psnr = summary["psnr"]
    assert psnr["pfitre"] - psnr["fista_tv"] == pytest.approx(summary["gain"]["mean"])


def test_summary_in_closed_form():
    records = [
        made_up(
            kind=KINDS[2], wedge_center_deg=0.0, gain=-1.0, pfitre=20.0, residual=0.02, noise_residual=0.01
        ),
        made_up(kind=KINDS[0], wedge_center_deg=22.5, gain=2.0, pfitre=22.0, disagreement=0.5),
        made_up(kind=KINDS[0], wedge_center_deg=22.5, gain=5.0, pfitre=27.0),
    ]
    summary = judge.summarise(records)
    assert summary["scenes"] == 3
    assert summary["gain"] == pytest.approx(
        {"mean": 2, "median": 2, "smallest": -1, "largest": 5, "share_below_0": 1 / 3}
    )
    assert summary["psnr"] == pytest.approx({"fbp": 1, "fista_tv": 1, "network_once": 1, "pfitre": 23})
    assert summary["gain_by_kind"] == {KINDS[0]: 3.5, KINDS[2]: -1.0}
    assert list(summary["gain_by_kind"]) == [KINDS[0], KINDS[2]]
    assert summary["gain_by_orientation_deg"] == {"0": -1.0, "22.5": 3.5}
    assert summary["residual_over_noise"] == pytest.approx({"mean": 4 / 3, "largest": 2})
    # 95% of the scenes stay below the limit.
    assert summary["disagreement"]["median"] == 1.0 and summary["disagreement"]["limit"] == 1.0


def test_seeds_of_the_scenes_are_all_different(monkeypatch):
    settings = EvaluationSettings(orientations=3, scenes=4, size=32, seed=100)
    drawn = []
    blank = np.zeros((64, 64), np.float32)
    monkeypatch.setattr(judge, "heldout", lambda seed, n: drawn.append((seed, n)) or (blank, KINDS[0]))

    def solve(prior, key, fine, orientation, rho, *, settings, iterations):
        names = ("fbp", "first", "network_once", "pfitre", "residual", "noise_residual", "disagreement")
        weights = jax.numpy.zeros((len(WEIGHTS), 4)).at[2].set(5.0)
        return {name: jax.numpy.full(4, 7.0) for name in names} | {
            "fista": weights,
            "fista_residual": weights / 10,
        }

    monkeypatch.setattr(judge, "_solve_all", solve)
    records = judge.evaluate(None, settings, rho=0.01, iterations=1)
    assert drawn == [(100 + i, 64) for i in range(12)]
    assert [record["seed"] for record in records] == list(range(100, 112))
    np.testing.assert_allclose(
        [r["wedge_center_deg"] for r in records], np.repeat([0, 60, 120], 4), atol=1e-4
    )
    for record in records:
        # The best weight, and what belongs to it.
        assert (record["fista_tv"], record["fista_tv_weight"]) == (5.0, WEIGHTS[2])
        assert record["fista_tv_residual"] == 0.5 and record["gain"] == 2.0


def test_what_is_saved_can_be_read(judged, tmp_path):
    records, _ = judged
    paths = judge.save(records, SETTINGS, {"rho": 0.02, "iterations": 2}, tmp_path / "new")
    assert sorted(path.name for path in paths) == ["evaluation.json", "evaluation.png"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["evaluation.json", "evaluation.png"]
    content = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert content["records"] == records
    assert content["settings"] == dataclasses.asdict(SETTINGS)
    assert content["parameters"] == {"rho": 0.02, "iterations": 2}
    assert content["summary"] == judge.summarise(records)
    assert (tmp_path / "new" / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_figure_shows_every_scene_and_kind():
    records = [made_up(kind=kind, fista_tv=20.0 + i, pfitre=22.0 + i) for i, kind in enumerate(KINDS[:3])]
    drawing = judge.figure(records, SETTINGS)
    assert isinstance(drawing, Figure)
    left, right = drawing.axes
    x, y = left.lines[1].get_data()
    np.testing.assert_array_equal(x, [20, 21, 22])
    np.testing.assert_array_equal(y, [22, 23, 24])
    assert [label.get_text() for label in right.get_xticklabels()] == list(KINDS[:3])
    assert "96 degrees" in left.get_title() and "24 views" in left.get_title() and "1.0%" in left.get_title()
