"""Cells of the evaluation: one factor is varied at a time, on scenes of the base case."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pfitre_jax.evaluation.cells import (
    FACTORS,
    FULL,
    QUICK,
    VARIED,
    EvaluationSettings,
    artifact_strengths,
    list_cells,
)
from pfitre_jax.evaluation.scenes import angle_to_wedge, draw_scene, kinds
from pfitre_jax.training.config_file import load_config
from pfitre_jax.twin.artifacts.registry import ARTIFACTS
from pfitre_jax.twin.scenes.heldout import KINDS

SCANNED = ("wedge_center_deg", "missing_deg", "views", "noise", "source", "seeds", "artifact")


@pytest.mark.parametrize("settings", [FULL, QUICK], ids=["full", "quick"])
def test_a_cell_differs_from_the_base_case_in_its_factor_only(settings):
    every = list_cells(settings)
    assert len({cell.name for cell in every}) == len(every)
    assert {cell.factor for cell in every} == set(FACTORS)
    base = {cell.wedge_center_deg: cell for cell in every if cell.factor == "orientation"}
    changed_by = VARIED | {"sources": "source", "artifacts": "artifact"}
    for cell in every:
        if cell.factor != "orientation":
            of = base[cell.wedge_center_deg]
            changed = [name for name in SCANNED if getattr(cell, name) != getattr(of, name)]
            assert changed == [changed_by[cell.factor]]
        assert {"fista_tv", "pfitre"} <= set(cell.methods)


def test_base_case_covers_all_orientations_with_distinct_scenes():
    base = list_cells(
        EvaluationSettings(orientations=3, scenes=4, seed=100, factor_orientations=1), "orientation"
    )
    np.testing.assert_allclose([cell.wedge_center_deg for cell in base], [0, 60, 120])
    assert [seed for cell in base for seed in cell.seeds] == list(range(100, 112))


def test_every_value_of_a_factor_has_a_cell():
    every = list_cells(QUICK)
    for factor, field in VARIED.items():
        tried = {getattr(cell, field) for cell in every if cell.factor in (factor, "orientation")}
        requested = {"wedge": QUICK.wedges, "noise": QUICK.noises, "views": QUICK.view_counts}[factor]
        assert tried == set(requested)
    assert {cell.artifact for cell in every if cell.artifact} == set(artifact_strengths())


def test_artifacts_are_within_the_training_range():
    trained = load_config("circuits").stages[-1].instrument
    for name, strength in artifact_strengths().items():
        low, high = getattr(trained, name)
        assert low < strength <= high
    trained_on = {a.name for a in ARTIFACTS.values() if a.name != "noise" and trained.has(a)}
    assert set(artifact_strengths()) == trained_on


def test_cells_can_be_restricted_to_one_factor():
    settings = dataclasses.replace(QUICK, factor_orientations=2)
    for factor in FACTORS:
        some = list_cells(settings, factor)
        assert {cell.factor for cell in some} == {factor, "orientation"}
    # Only the orientations that the factor is compared with are included.
    assert len([c for c in list_cells(settings, "wedge") if c.factor == "orientation"]) == 2
    assert len(list_cells(settings, "orientation")) == settings.orientations


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"scenes": 0}, "scenes is 0; expected at least 1"),
        ({"factor_orientations": 9}, "factor_orientations is 9; expected at most orientations, 8"),
        ({"missing_deg": 180.0}, "the missing wedge is 180; expected degrees between 0 and 180"),
        ({"noises": (0.0,)}, "noise is 0; expected a share"),
        ({"source": "moon"}, "unknown source 'moon'; expected one of heldout, circuits, ihp"),
    ],
)
def test_invalid_settings_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        EvaluationSettings(**changed)


def test_an_unknown_factor_is_refused():
    with pytest.raises(ValueError, match="unknown factor 'weather'; expected one of orientation, wedge"):
        list_cells(QUICK, "weather")


def test_scenes_record_kind_and_wire_direction():
    drawn = [draw_scene("heldout", seed, 16) for seed in range(3)]
    assert [scene.kind for scene in drawn] == list(KINDS[:3])
    assert all(scene.wires_deg is not None and scene.image.shape == (16, 16) for scene in drawn)
    assert kinds([{"kind": KINDS[2]}, {"kind": KINDS[0]}]) == [KINDS[0], KINDS[2]]


@pytest.mark.parametrize(
    ("wires", "center", "angle"),
    [(0, 0, 0), (90, 0, 90), (350, 10, 20), (10, 170, 20), (200, 0, 20), (45, 157.5, 67.5)],
)
def test_angle_to_wedge_is_between_lines(wires, center, angle):
    assert angle_to_wedge(wires, center) == pytest.approx(angle)
