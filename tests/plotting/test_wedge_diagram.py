import numpy as np
import pytest
from matplotlib.figure import Figure

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import draw_wedge

THETA = np.deg2rad(np.arange(-40.0, 41.0, 4.0))


def test_missing_angles_are_shaded_and_measured_angles_are_lines():
    axis = Figure().add_subplot(projection="polar")
    wedge = Wedge.from_angles(THETA)
    draw_wedge(axis, THETA, wedge)
    shaded = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    strokes = [line.get_xdata()[0] for line in axis.get_lines()]
    assert len(shaded) == 2 and len(strokes) == 2 * len(THETA)
    for low, high in shaded:
        inside = [np.mod(s - low, 2 * np.pi) < high - low - 1e-9 for s in strokes]
        assert not any(inside)
    assert sum(high - low for low, high in shaded) == pytest.approx(2 * wedge.width_rad)


def test_a_full_scan_has_no_shaded_sector():
    axis = Figure().add_subplot(projection="polar")
    draw_wedge(axis, np.linspace(0, np.pi, 30, endpoint=False), Wedge(0.0, 0.0))
    assert not axis.patches
