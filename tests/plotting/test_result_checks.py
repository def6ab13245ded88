"""Plots of resolution and held-out views show the recorded numbers."""

from __future__ import annotations

import numpy as np
import pytest
from figures import all_text, axes_with

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import draw_held_out, draw_resolution
from pfitre_jax.plotting.result_checks import format_resolution
from pfitre_jax.plotting.style import new_figure
from pfitre_jax.trust import estimate_resolution

VALIDATION = {
    kind: {"error": error, "fista_tv": 0.3, "noise_floor": 0.05}
    for kind, error in (("interpolating", 0.1), ("extrapolating", 0.2))
}


def test_the_curves_and_the_resolution_are_drawn():
    random = np.random.default_rng(0)
    image = random.normal(size=(1, 32, 32))
    record = estimate_resolution(image, image, Wedge(0.0, 1.0), pixel_size=0.5).record()
    with new_figure(6, 4) as figure:
        draw_resolution(figure.subplots(), record)
    axis = axes_with(figure, "half sets agree to 2.00 pixels = 1 µm (half bit, the limit of the pixels)")
    curves = {line.get_label(): line.get_xydata() for line in axis.get_lines()}
    np.testing.assert_allclose(curves["all directions"][:, 1], record["rings"]["curve"]["correlation"])
    assert {"in the wedge", "half bit", "0.143"} < set(curves)


def test_no_resolution_is_stated():
    assert format_resolution({"pixels": {"half-bit": None}}) == "no resolution (half bit)"


@pytest.mark.parametrize("reference, bars", [(0.3, 4), (None, 2)])
def test_errors_are_drawn_as_bars(reference, bars):
    with new_figure(6, 4) as figure:
        content = {kind: {**entry, "fista_tv": reference} for kind, entry in VALIDATION.items()}
        draw_held_out(figure.subplots(), content, "pfitre")
    axis = axes_with(figure, "held-out views")
    assert [patch.get_height() for patch in axis.patches][:2] == [0.1, 0.2]
    assert len(axis.patches) == bars
    assert "interpolating views" in all_text(figure) and "0.2" in all_text(figure)
