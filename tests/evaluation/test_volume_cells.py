"""Priors of volumes are judged on volumes: one scan of all rows, beside the same rows one by one."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pfitre_jax.evaluation import (
    QUICK,
    EvaluationSettings,
    compared_methods,
    draw_evaluation,
    draw_worst,
    evaluate,
    finished_cells,
    list_cells,
    markdown,
    summarise,
    worst_scans,
)
from pfitre_jax.evaluation.compared_methods import TV_WEIGHTS, rows_settings
from pfitre_jax.evaluation.method_names import OF_VOLUMES
from pfitre_jax.evaluation.scans import scan_volume
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.twin.scenes.heldout3d import LAYERS

FEW = EvaluationSettings(
    orientations=1, scenes=1, size=32, views=24, seed=1001, fista_iterations=8, factor_orientations=1,
    wedges=(40.0,), rows=3, sources=(),
)  # fmt: skip
#: Those of the rows one by one.
LOOP = {name: rows_settings()[name] for name in ("rho", "iterations")}


def network(channels: int) -> NetworkPrior:
    """Untrained: the identity."""
    config = UNetConfig(
        channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=8, in_channels=channels
    )
    return NetworkPrior.create(config, jax.random.key(0))


@pytest.fixture(scope="module")
def records():
    """Records of an identity prior for volumes and an identity prior for rows."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (compared_methods, finished_cells):
            patch.setattr(module, "pretrained", lambda name: network(2))
        return evaluate(network(6), FEW, **LOOP, only="wedge")


@pytest.mark.slow
def test_identity_prior_gives_equal_results_for_a_volume_and_its_rows(records):
    assert [r["factor"] for r in records] == ["orientation", "wedge"]
    for r in records:
        assert set(r["methods"]) == set(OF_VOLUMES) and np.shape(r["statistics"]) == (4,)
        assert r["kind"] in LAYERS and np.any(np.isclose(r["fista_tv_weight"], TV_WEIGHTS))
        assert r["disagreement"] == 0
        for measure in ("psnr", "residual_over_noise"):
            ours, rows = (r["methods"][name][measure] for name in ("pfitre", "rows"))
            assert ours == pytest.approx(rows, rel=1e-3)
        assert r["methods"]["pfitre"]["psnr"] > r["methods"]["fbp"]["psnr"]
    assert records[1]["methods"]["pfitre"]["psnr"] > records[0]["methods"]["pfitre"]["psnr"]


@pytest.mark.slow
def test_tables_and_figure_state_the_number_of_rows(records):
    summary = summarise(records)
    assert summary["gain_over_rows"]["mean"] == pytest.approx(0, abs=0.01)
    assert "gain_by_angle_deg" not in summary
    report = markdown(summary, FEW, LOOP)
    assert "scans of 3 rows" in report and "over row by row" in report and "directional" not in report
    assert len(draw_evaluation(records, summary, FEW).axes) >= 3


def test_rows_of_a_scan_share_motion_but_not_noise():
    [cell] = [c for c in list_cells(FEW) if c.artifact == "shift"]
    fine = jnp.broadcast_to(jnp.zeros((64, 64)).at[20:40, 24:44].set(1.0), (2, 64, 64))
    quiet = scan_volume(dataclasses.replace(cell, noise=1e-9, strength=2.0), 5, fine)
    still = scan_volume(dataclasses.replace(cell, noise=1e-9, artifact=""), 5, fine)
    np.testing.assert_allclose(quiet.sinograms[0], quiet.sinograms[1], atol=1e-5)
    assert np.abs(quiet.sinograms - still.sinograms).max() > 1
    loud = scan_volume(cell, 5, fine)
    apart = np.linalg.norm(loud.sinograms[0] - loud.sinograms[1])
    assert apart == pytest.approx(np.hypot(*loud.noise), rel=0.2)


def test_volumes_come_from_generators_only():
    assert QUICK.of_volumes().sources == ("heldout", "circuits") and QUICK.of_volumes().rows > 1
    with pytest.raises(ValueError, match="unknown source of volumes 'tile'; expected one of heldout"):
        dataclasses.replace(FEW, source="tile")


def test_priors_and_scenes_of_different_dimension_are_refused():
    for prior, settings in ((network(2), FEW), (network(6), dataclasses.replace(FEW, rows=1))):
        with pytest.raises(ValueError, match="expected a prior for volumes with scenes of several rows"):
            evaluate(prior, settings, **LOOP)


@pytest.mark.slow
def test_the_worst_volume_is_drawn_by_its_middle_row(records):
    drawn = draw_worst(network(6), worst_scans(records), FEW, **LOOP)
    assert len([axis for axis in drawn.axes if axis.images]) == 3
