"""A tiny evaluation: complete records, no gain for a prior that does nothing, going on where it stopped."""

from __future__ import annotations

import dataclasses
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax import metrics
from pfitre_jax.estimation.support import image_support
from pfitre_jax.evaluation import (
    EvaluationSettings,
    check_evaluation,
    compared_methods,
    draw_worst,
    evaluate,
    evaluation_run,
    list_cells,
    summarise,
    worst,
    worst_scans,
    write_card,
)
from pfitre_jax.evaluation.compared_methods import TV_WEIGHTS
from pfitre_jax.evaluation.measures import MEASURES
from pfitre_jax.evaluation.method_names import ALL, WITH_ARTIFACTS, WITH_FACTORS
from pfitre_jax.evaluation.scans import scan_cell
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import files
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.twin.scenes.heldout import KINDS

SETTINGS = EvaluationSettings(
    orientations=1, scenes=2, size=32, views=24, seed=1001, fista_iterations=8, factor_orientations=1,
    wedges=(40.0,),
)  # fmt: skip
LOOP = {"rho": 0.02, "iterations": 2}


@pytest.fixture(scope="module")
def prior():
    """An untrained network, which is the identity."""
    layout = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
    return NetworkPrior.create(layout, jax.random.key(0))


@pytest.fixture(scope="module")
def evaluated(prior, tmp_path_factory):
    """Records, calls of the progress function, and the folder of the cells."""
    folder, progress_calls = tmp_path_factory.mktemp("evaluation"), []
    progress = lambda *numbers: progress_calls.append(numbers)  # noqa: E731
    records = evaluate(prior, SETTINGS, **LOOP, only="wedge", folder=folder, progress=progress)
    return records, progress_calls, folder


def test_every_scan_has_a_complete_record(evaluated):
    records, progress_calls, _ = evaluated
    assert progress_calls == [(0, 2), (1, 2), (2, 2)]
    assert [r["seed"] for r in records] == [1001, 1002, 1001, 1002]
    assert [(r["factor"], r["missing_deg"]) for r in records] == 2 * [("orientation", 96)] + 2 * [
        ("wedge", 40)
    ]
    for r in records:
        assert set(r["methods"]) == set(ALL if r["factor"] == "orientation" else WITH_FACTORS)
        assert r["kind"] == KINDS[r["seed"] % len(KINDS)] and 0 <= r["wires_to_wedge_deg"] <= 90
        assert r["gain"] == r["methods"]["pfitre"]["psnr"] - r["methods"]["fista_tv"]["psnr"]
        for name in ("fista_tv_weight", "fista_dtv_weight"):
            assert np.any(np.isclose(r[name], TV_WEIGHTS))
        for measures in r["methods"].values():
            assert set(measures) == set(MEASURES) and np.all(np.isfinite(list(measures.values())))


def test_records_agree_with_reconstructions(evaluated):
    records, _, _ = evaluated
    for r in records:
        # The identity adds nothing, and agrees with itself.
        assert r["methods"]["network_once"]["psnr"] == pytest.approx(r["methods"]["first"]["psnr"], abs=1e-4)
        assert r["disagreement"] == 0
        for name in ("fista_tv", "pfitre"):
            m = r["methods"][name]
            assert 10 < m["psnr"] < 40 and m["psnr"] > r["methods"]["fbp"]["psnr"]
            assert 0.3 < m["residual_over_noise"] < 10
        # The error of the measured component is smaller than that of the supplied one.
        m = r["methods"]["pfitre"]
        assert r["missing_deg"] < 96 or m["error_outside"] < m["error_inside"] < 1.3
    wide, narrow = records[:2], records[2:]
    for a, b in zip(wide, narrow, strict=True):
        assert b["methods"]["fista_tv"]["psnr"] > a["methods"]["fista_tv"]["psnr"]


def test_a_finished_cell_is_not_computed_again(evaluated, prior, monkeypatch, tmp_path):
    records, _, folder = evaluated
    copy = shutil.copytree(folder, tmp_path / "copy")
    computed = []
    monkeypatch.setattr(
        evaluation_run, "_evaluate_cell", lambda prior, cell, context, known: computed.append(cell.name) or []
    )
    assert evaluate(prior, SETTINGS, **LOOP, only="wedge", folder=copy) == records
    assert computed == []
    (copy / "cells" / "wedge-40-0.json").unlink()
    assert evaluate(prior, SETTINGS, **LOOP, only="wedge", folder=copy) == records[:2]
    assert computed == ["wedge-40-0"]


def test_cells_of_an_older_evaluation_are_recognised(evaluated, prior, monkeypatch, tmp_path):
    records, _, folder = evaluated
    copy = shutil.copytree(folder, tmp_path / "copy")
    for path in (copy / "cells").iterdir():
        content = json.loads(path.read_text())
        del content["context"]["rows"], content["context"]["rows_prior"]
        path.write_text(json.dumps(content))
    monkeypatch.setattr(evaluation_run, "_evaluate_cell", lambda *a: pytest.fail("computed again"))
    assert evaluate(prior, SETTINGS, **LOOP, only="wedge", folder=copy) == records


def test_baselines_come_from_the_evaluation_of_another_prior(evaluated, prior, monkeypatch, tmp_path):
    records, _, folder = evaluated
    other = jax.tree.map(lambda p: p + 0.02, prior)
    monkeypatch.setattr(compared_methods, "_best_tv", lambda *a, **k: pytest.fail("computed again"))
    made = evaluate(other, SETTINGS, **LOOP, only="wedge", baselines=folder)
    for mine, theirs in zip(made, records, strict=True):
        assert set(mine) == set(theirs) and list(mine["methods"]) == list(theirs["methods"])
        for name in ("fista_tv", "fista_dtv"):
            assert mine["methods"][name] == theirs["methods"][name]
            assert mine[f"{name}_weight"] == theirs[f"{name}_weight"]
        assert mine["methods"]["pfitre"]["psnr"] != theirs["methods"]["pfitre"]["psnr"]
        assert mine["gain"] == mine["methods"]["pfitre"]["psnr"] - theirs["methods"]["fista_tv"]["psnr"]
    with pytest.raises(
        ValueError, match="holds no cell of this evaluation; expected the output folder of one"
    ):
        check_evaluation(other, SETTINGS, **LOOP, folder=tmp_path, baselines=tmp_path)


def test_cells_of_another_evaluation_are_refused(evaluated, prior, tmp_path):
    _, _, folder = evaluated
    check_evaluation(prior, SETTINGS, **LOOP, only="wedge", folder=folder)
    check_evaluation(prior, SETTINGS, **LOOP, folder=tmp_path / "new")
    other = jax.tree.map(lambda p: p + 1, prior)
    for evaluated_prior, settings, loop in (
        (other, SETTINGS, LOOP),
        (prior, dataclasses.replace(SETTINGS, noise=0.02), LOOP),
        (prior, SETTINGS, LOOP | {"rho": 0.01}),
    ):
        with pytest.raises(
            ValueError, match="of another prior or of other settings; use another output folder"
        ):
            check_evaluation(evaluated_prior, settings, **loop, folder=folder)
    copy = shutil.copytree(folder, tmp_path / "broken")
    (copy / "cells" / "wedge-40-0.json").write_text("{")
    with pytest.raises(ValueError, match="is not a finished cell of an evaluation"):
        check_evaluation(prior, SETTINGS, **LOOP, folder=copy)


def test_the_card_contains_the_scores(evaluated, prior, tmp_path):
    records, _, _ = evaluated
    path = tmp_path / "weights.npz"
    saved = files.save(path, dataclasses.replace(prior, card={"name": "tiny", "steps": 0}))
    # A few records are not enough to define a domain.
    write_card(path, saved, 3 * records, SETTINGS, LOOP, "pfitre evaluate --card")
    card, summary = files.load(path).info.card, json.loads(json.dumps(summarise(3 * records)))
    assert json.loads(path.with_suffix(".json").read_text()) == card
    assert card["name"] == "tiny" and {"disagreement", "likeness"} <= set(card)
    scores = card["scores"]
    assert scores["command"] == "pfitre evaluate --card" and scores["settings"]["missing_deg"] == 96
    for name in ("psnr", "gain", "gain_by_kind", "gain_by_orientation_deg", "residual_over_noise", "factors"):
        assert scores[name] == summary[name]


def test_noise_has_the_requested_level_and_is_shared_by_factors():
    """1% of each sinogram's maximum in every bin; an artifact comes on top, with the same noise."""
    base = list_cells(dataclasses.replace(SETTINGS, seed=1000), "orientation")[0]
    images = np.zeros((2, 64, 64), np.float32)
    images[:, 16:40, 20:50] = [[[0.5]], [[1.0]]]
    clean = scan_cell(base, jnp.asarray(images))
    sizes = np.linalg.norm(clean.sinograms, axis=(1, 2))
    np.testing.assert_allclose(clean.noise[1], 2 * clean.noise[0], rtol=0.1)
    top = np.asarray([clean.sinograms[1].max() / 2, clean.sinograms[1].max()])
    np.testing.assert_allclose(clean.noise, 0.01 * top * np.sqrt(24 * 32), rtol=0.1)
    dull = {"factor": "artifacts", "methods": WITH_ARTIFACTS, "artifact": "gain", "strength": 0.2}
    degraded = scan_cell(dataclasses.replace(base, **dull), jnp.asarray(images))
    np.testing.assert_allclose(degraded.truth, clean.truth)
    changed = np.linalg.norm(degraded.sinograms - clean.sinograms, axis=(1, 2)) / sizes
    # The gain's standard deviation, of 24 views; two scans with independent errors.
    assert np.all((0.1 < changed) & (changed < 0.35)) and changed[0] != changed[1]
    assert not np.any(degraded.masks == 0)


def test_the_worst_scans_are_reproduced(evaluated, prior):
    records, _, _ = evaluated
    picked = worst_scans(records, 1)
    base = [r for r in records if r["factor"] == "orientation"]
    assert picked == [min(base, key=lambda r: r["gain"])]
    [images] = worst._reconstruct_again(prior, picked, SETTINGS, **LOOP)
    support = ParallelGeometry.create(np.zeros(1), SETTINGS.size)
    inside = image_support(support) > 0
    for name in ("fista_tv", "pfitre"):
        score = metrics.psnr(images[name], images["truth"], inside)
        assert score == pytest.approx(picked[0]["methods"][name]["psnr"], abs=0.01)
    drawn = draw_worst(prior, picked, SETTINGS, **LOOP)
    assert len([axis for axis in drawn.axes if axis.images]) == 3
