"""Statements of a report that can be checked against the physics or known numbers."""

import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.reporting.assessment import edge_direction, unusual_rows

N = 48


@pytest.mark.parametrize("middle_deg", [0.0, 60.0])
def test_the_named_edges_are_the_ones_that_the_views_do_not_show(middle_deg):
    """A disc has edges of all directions; the named ones are the weakest after filtered backprojection."""
    theta = np.deg2rad(middle_deg) + np.pi / 4 + np.linspace(0, np.pi / 2, 45)
    wedge = pf.Wedge.from_angles(theta)
    y, x = (N - 1) / 2 - np.mgrid[:N, :N][0], np.mgrid[:N, :N][1] - (N - 1) / 2
    disc = (x**2 + y**2 < (N / 4) ** 2).astype(np.float32)
    A = pf.Projector(pf.ParallelGeometry.create(theta, N))
    image = np.asarray(pf.fbp(A, A(disc)))
    down, right = np.gradient(image)
    edge = np.abs(np.hypot(x, y) - N / 4) < 1.5

    def strength(normal_deg: float) -> float:
        """Mean gradient along the normal, at the edges of the disc with that normal."""
        direction = np.deg2rad(normal_deg)
        off = np.angle(np.exp(2j * (np.arctan2(y, x) - direction))) / 2
        chosen = edge & (np.abs(off) < np.deg2rad(10))
        # y points up, rows go down.
        return float(np.abs(right * np.cos(direction) - down * np.sin(direction))[chosen].mean())

    weakest = min(range(0, 180, 15), key=strength)
    run_along = float(edge_direction(wedge.center_deg).split("(")[1].split()[0])
    off = (weakest + 90 - run_along + 90) % 180 - 90
    assert abs(off) <= 30


@pytest.mark.parametrize(
    "normal, words",
    [
        (0.0, "vertically (90"),
        (90.0, "horizontally (0"),
        (135.0, "from the lower left to the upper right (45"),
        (45.0, "from the upper left to the lower right (135"),
        (170.0, "vertically (80"),
    ],
)
def test_directions_in_words(normal, words):
    assert edge_direction(normal).startswith(words)


def test_rows_with_a_large_residual_are_named():
    residual = np.full(40, 0.1)
    residual[[0, 1, 2, 30]] = 0.5
    assert unusual_rows(np.arange(100, 140), residual) == "100-102, 130"
    assert unusual_rows(np.arange(3), np.full(3, np.nan)) == ""
    assert unusual_rows(np.arange(40), np.full(40, 0.1)) == ""
