"""Sums of made-up records in closed form, and what is shown of them."""

from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure

from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.figure import draw_evaluation
from pfitre_jax.evaluation.measures import MEASURES
from pfitre_jax.evaluation.method_names import ALL
from pfitre_jax.evaluation.report import REPORT_FILES, write_report
from pfitre_jax.evaluation.summary import summarise
from pfitre_jax.evaluation.tables import markdown
from pfitre_jax.twin.scenes.heldout import KINDS

SETTINGS = EvaluationSettings(orientations=2, scenes=1)


def made_up(factor="orientation", *, seed=1, tv=20.0, pfitre=22.0, without=(), **changes):
    methods = {name: dict.fromkeys(MEASURES, 1.0) for name in ALL if name not in without}
    for name, value in {"fista_tv": tv, "fista_dtv": tv + 0.5, "pfitre": pfitre}.items():
        if name in methods:
            methods[name]["psnr"] = value
    record = {"factor": factor, "seed": seed, "kind": KINDS[1], "wedge_center_deg": 0.0, "missing_deg": 96.0}
    record |= {"noise": 0.01, "views": 51, "source": "heldout", "artifact": "", "strength": 0.0}
    record |= {"methods": methods, "disagreement": 0.1, "gain": pfitre - tv, "wires_to_wedge_deg": 10.0}
    return record | changes


BASE = [
    made_up(seed=1, tv=20, pfitre=24, wires_to_wedge_deg=90.0, disagreement=0.5),
    made_up(seed=2, tv=20, pfitre=19, kind=KINDS[2], wedge_center_deg=22.5),
    made_up(seed=3, tv=18, pfitre=21, kind=KINDS[2], wedge_center_deg=22.5, wires_to_wedge_deg=None),
]
SOURCE = {"source": "rock", "kind": "rock", "wires_to_wedge_deg": None}
EVERY = [
    *BASE,
    made_up("wedge", seed=1, tv=30, pfitre=31, missing_deg=30.0),
    made_up("wedge", seed=1, tv=18, pfitre=19, missing_deg=120.0),
    made_up("noise", seed=1, tv=25, pfitre=27, noise=0.003),
    made_up("sources", seed=2, tv=10, pfitre=12, **SOURCE),
    made_up("artifacts", seed=1, tv=19, pfitre=22, artifact="gain", strength=0.03, without=["fista_dtv"]),
    made_up("artifacts", seed=2, tv=15, pfitre=17, artifact="blur", strength=0.5, without=["fista_dtv"]),
]


def test_summary_of_the_base_case_agrees_with_the_closed_form():
    summary = summarise(EVERY)
    assert summary["scenes"] == 3
    assert summary["gain"] == pytest.approx(
        {"mean": 2, "median": 3, "smallest": -1, "largest": 4, "share_below_0": 1 / 3, "scenes": 3}
    )
    assert summary["gain_over_directional"]["mean"] == pytest.approx(1.5)
    assert summary["psnr"]["pfitre"] == pytest.approx(64 / 3) and summary["psnr"]["fbp"] == 1
    assert summary["gain_by_kind"] == {KINDS[1]: 4, KINDS[2]: 1}
    assert list(summary["gain_by_kind"]) == [KINDS[1], KINDS[2]]
    assert summary["gain_by_orientation_deg"] == {"0": 4, "22.5": 1}
    angles = summary["gain_by_angle_deg"]
    assert {name: spread["mean"] for name, spread in angles.items()} == {"0-15": -1, "75-90": 4}
    assert summary["methods"]["pfitre"]["psnr"] == summary["psnr"]["pfitre"]
    assert set(summary["methods"]["fbp"]) == set(MEASURES)
    # 95% of the scans stay below the limit.
    assert summary["disagreement"] == pytest.approx({"median": 0.1, "limit": 0.46})


def test_kinds_with_two_wire_directions_have_no_angle():
    routed = [made_up(seed=seed, kind=kind) for seed, kind in ((1, "routed"), (2, "spiral"))]
    assert "gain_by_angle_deg" not in summarise(routed)
    assert summarise([*routed, made_up(seed=3)])["gain_by_angle_deg"]["0-15"]["scenes"] == 1


def test_factors_are_compared_on_the_same_scenes():
    summary = summarise(EVERY)
    wedge = summary["factors"]["wedge"]
    assert list(wedge) == ["30", "96", "120"]
    assert [row["gain"]["mean"] for row in wedge.values()] == [1, 4, 1]
    assert [row["scenes"] for row in wedge.values()] == [1, 1, 1]
    assert list(summary["factors"]["noise"]) == ["0.003", "0.01"]
    assert "views" not in summary["factors"]
    assert {name: row["gain"]["mean"] for name, row in summary["sources"].items()} == {
        "rock": 2,
        "heldout": -1,
    }


def test_artifact_summary_states_the_remaining_share_of_the_gain():
    artifacts = summarise(EVERY)["artifacts"]
    assert artifacts["gain"]["gain"] == {"clean": 4, "with": 3}
    assert artifacts["gain"]["kept"] == pytest.approx(0.75)
    assert artifacts["gain"]["fista_tv"] == {"clean": 20, "with": 19}
    # There was no gain to keep.
    assert artifacts["blur"]["kept"] is None


def test_a_partial_evaluation_is_summarised_and_drawn():
    summary = summarise(BASE)
    assert not {"factors", "sources", "artifacts"} & set(summary)
    assert len(draw_evaluation(BASE, summary, SETTINGS).axes) == 3
    assert "Artifacts" not in markdown(summary, SETTINGS, {})


def test_tables_hold_the_numbers():
    text = markdown(summarise(EVERY), SETTINGS, {"prior": "circuits", "rho": 0.005})
    assert "prior circuits, rho 0.005. Base case: heldout, 96 degrees missing, 51 views, 1.0% noise" in text
    assert "Gain +2.00 dB in the mean, +3.00 in the median, -1.0 to +4.0; 33% of the scans lose." in text
    assert "| gain | 0.03 | 1 | 20.00 -> 19.00 | 24.00 -> 22.00 | +4.00 -> +3.00 | 75% |" in text
    for line in text.splitlines():
        if line.startswith("| 30 "):
            assert "+1.00" in line and "30.00" in line
    # Every line of a table has as many cells as its header.
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_figure_shows_every_scan_and_factor():
    drawing = draw_evaluation(EVERY, summarise(EVERY), SETTINGS)
    assert isinstance(drawing, Figure)
    shown = {axis.get_title(loc="left"): axis for axis in drawing.axes}
    x, y = shown["3 scans of the base case"].lines[1].get_data()
    assert list(x) == [20, 20, 18] and list(y) == [24, 19, 21]
    labels = [label.get_text() for label in shown["kind of scene"].get_xticklabels()]
    assert labels == [KINDS[1], KINDS[2]]
    assert {"angle between wires and wedge", "noise", "each artifact alone", "source of the scenes"} <= set(
        shown
    )
    mean = shown["wedge"].lines[0].get_ydata()
    assert list(mean) == [1, 4, 1]


def test_saved_summary_can_be_loaded(tmp_path):
    paths = write_report(EVERY, SETTINGS, {"rho": 0.02}, tmp_path / "new")
    assert [path.name for path in paths] == list(REPORT_FILES)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(REPORT_FILES)
    content = json.loads(paths[0].read_text())
    assert content["records"] == EVERY and content["parameters"] == {"rho": 0.02}
    assert content["summary"] == summarise(EVERY)
    assert paths[2].read_bytes().startswith(b"\x89PNG")
