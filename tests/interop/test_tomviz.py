"""The operator for tomviz: axis orders, orientation, and its run by tomviz."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import sys
import types

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, ROWS, THETA, THETA_DEG, disc_image, disc_stack

import pfitre_jax as pf
from pfitre_jax.interop import tomviz as interop_tomviz
from pfitre_jax.interop.tomviz import OPERATOR, copy_operator, reconstruct_dataset
from pfitre_jax.reconstruction.methods import METHODS

DISCS = [[(4.0, 5.0, 4.0, 1.0)], [(-6.0, 2.0, 3.0, 0.8)], [(2.0, -7.0, 3.5, 1.2), (-4.0, -4.0, 2.0, 0.5)]]
OPTIONS = {"iterations": 40, "support": "disc"}
OFFSET = CENTER - (COLUMNS - 1) / 2


class Dataset:
    """The part of tomviz's dataset that operators use, see ``tomviz/dataset.py``."""

    def __init__(self, scalars=None, tilt_angles=None, tilt_axis=None):
        self.active_scalars, self.tilt_angles, self.tilt_axis = scalars, tilt_angles, tilt_axis

    def create_child_dataset(self):
        return Dataset()


@pytest.fixture(scope="module", name="direct")
def _direct():
    return pf.reconstruct(pf.Scan.create(disc_stack(DISCS), THETA, center=CENTER), "sirt", **OPTIONS).volume


def series(tilt_axis=2):
    """The projections in the order of tomviz: (x, y, view), or (view, rows, columns)."""
    stack = disc_stack(DISCS)
    scalars = np.asfortranarray(stack.transpose(1, 2, 0)) if tilt_axis == 2 else stack
    return Dataset(scalars, THETA_DEG, tilt_axis)


@pytest.mark.parametrize("tilt_axis", [2, 0])
def test_the_volume_is_that_of_the_direct_call(direct, tilt_axis):
    done = []
    child = reconstruct_dataset(
        series(tilt_axis),
        "sirt",
        offset=OFFSET,
        subtract_air=False,
        progress=lambda *c: done.append(c),
        **OPTIONS,
    )
    expected = direct if tilt_axis == 2 else direct.transpose(2, 1, 0)
    np.testing.assert_array_equal(child.active_scalars, expected)
    assert child.tilt_angles is None and child.active_scalars.flags.f_contiguous
    assert done[-1] == (ROWS, ROWS)


def test_slices_have_the_orientation_of_the_operators_of_tomviz(direct):
    """``Recon_WBP.py``: ``t = j cos(angle) - i sin(angle)``, with i and j from the middle of the slice."""
    for image, discs in zip(direct, DISCS, strict=True):
        truth = disc_image(discs, COLUMNS)
        assert np.linalg.norm(image - truth) < 0.35 * np.linalg.norm(truth)
        for turned in (image[::-1], image[:, ::-1], image.T):
            assert np.linalg.norm(turned - truth) > 0.8 * np.linalg.norm(truth)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"tilt_angles": None}, {}, "has no tilt angles"),
        ({"tilt_angles": THETA_DEG[:-1]}, {}, "20"),
        ({}, {"center": "left"}, "center is 'left'"),
    ],
)
def test_invalid_datasets_are_refused(changes, options, message):
    dataset = series()
    vars(dataset).update(changes)
    with pytest.raises(ValueError, match=message):
        reconstruct_dataset(dataset, "sirt", **options)


def operator_class(monkeypatch):
    """The class in the script, imported as tomviz does, with a stand-in for ``tomviz.operators``."""
    operators = types.ModuleType("tomviz.operators")
    operators.CancelableOperator = type("CancelableOperator", (), {})
    package = types.ModuleType("tomviz")
    package.operators = operators
    monkeypatch.setitem(sys.modules, "tomviz", package)
    monkeypatch.setitem(sys.modules, "tomviz.operators", operators)
    spec = importlib.util.spec_from_file_location("Recon_PFITRE", OPERATOR / "Recon_PFITRE.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ReconPfitreOperator


def test_the_operator_calls_the_reconstruction_and_can_be_canceled(monkeypatch, direct):
    # Held-out views would choose the support, which takes longer.
    monkeypatch.setattr(interop_tomviz, "reconstruct", functools.partial(pf.reconstruct, support="disc"))
    operator = operator_class(monkeypatch)()
    operator.progress, operator.canceled = types.SimpleNamespace(), False
    arguments = dict(method="sirt", iterations=40, offset=OFFSET, subtract_air=False)
    result = operator.transform(series(), **arguments)
    np.testing.assert_array_equal(result["reconstruction"].active_scalars, direct)
    assert operator.progress.maximum == operator.progress.value == ROWS
    operator.canceled = True
    assert operator.transform(series(), **arguments) is None


def test_the_description_has_the_parameters_of_the_operator(monkeypatch):
    description = json.loads((OPERATOR / "Recon_PFITRE.json").read_text())
    signature = inspect.signature(operator_class(monkeypatch).transform)
    defaults = {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}
    stated = {}
    for parameter in description["parameters"]:
        value = parameter["default"]
        if parameter["type"] == "enumeration":
            [value] = parameter["options"][value].values()
        stated[parameter["name"]] = value
    assert stated == defaults
    assert {name for option in description["parameters"][0]["options"] for name in option.values()} <= set(
        METHODS
    )


def test_the_operator_is_copied_where_tomviz_finds_it(tmp_path):
    copies = copy_operator(tmp_path / "new")
    assert [path.name for path in copies] == ["Recon_PFITRE.json", "Recon_PFITRE.py"]
    assert copies[1].read_text() == (OPERATOR / "Recon_PFITRE.py").read_text()


def run_in_tomviz(folder, name, **parameters):
    """A node of tomviz's pipeline with one of its kernels, or with ours, on the tilt series."""
    from tomviz_pipeline.core import PortData
    from tomviz_pipeline.dataset import Dataset as PipelineDataset
    from tomviz_pipeline.nodes.transforms.legacy_scriptable import LegacyScriptableTransformNode

    dataset = PipelineDataset({"intensity": series().active_scalars})
    dataset.tilt_angles, dataset.tilt_axis, dataset.spacing = THETA_DEG, 2, [1.0, 1.0, 1.0]
    node = LegacyScriptableTransformNode()
    node.set_json_description((folder / f"{name}.json").read_text())
    node.script = (folder / f"{name}.py").read_text()
    node.set_parameters(**parameters)
    [output] = node.transform({"volume": PortData(dataset, "TiltSeries")}).values()
    return output.payload.active_scalars


def test_tomviz_runs_the_operator(tmp_path, direct, monkeypatch):
    """In the pipeline of tomviz, beside one of its own reconstructions."""
    monkeypatch.setattr(interop_tomviz, "reconstruct", functools.partial(pf.reconstruct, support="disc"))
    pytest.importorskip("tomviz_pipeline", reason="tomviz-pipeline is not installed")
    kernels = pytest.importorskip("tomviz_kernels", reason="tomviz-kernels is not installed")
    copy_operator(tmp_path)
    ours = run_in_tomviz(
        tmp_path, "Recon_PFITRE", method="sirt", iterations=40, offset=OFFSET, subtract_air=False
    )
    np.testing.assert_array_equal(ours, direct)
    theirs = run_in_tomviz(kernels.directory(), "Recon_WBP", Nrecon=COLUMNS, filter=1, interp=0, Nupdates=0)
    # Its axis is at the bin COLUMNS // 2, which is one bin before ours: compare places to two pixels.
    for row in range(ROWS):
        place = np.unravel_index(np.argmax(theirs[row]), theirs[row].shape)
        shifted = np.hypot(*(np.argwhere(ours[row] > 0.5 * ours[row].max()) - place).T)
        assert shifted.min() <= 2
