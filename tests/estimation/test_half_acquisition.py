"""Half acquisition: the axis near the detector's edge, views over a whole turn, and a known object."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_image, disc_sinogram

import pfitre_jax as pf
from pfitre_jax.data.truncation import completed_side, truncated_views
from pfitre_jax.estimation.support import FieldOfView, SupportShape

COLUMNS = 36
TURN = np.linspace(0, 2 * np.pi, 90, endpoint=False)
#: The object reaches 31.7 bins from the axis; the detector sees 33.5.
DISCS = [(2.0, -4.0, 27.0, 0.02), (15.6, 5.8, 6.4, 0.04), (-11.7, -9.8, 4.9, -0.015)]


def scan(center: float, discs=DISCS, theta=TURN) -> pf.Scan:
    """Two rows of the object."""
    row = disc_sinogram(discs, theta, COLUMNS, center)
    return pf.Scan.create(np.stack([row, 1.3 * row], axis=1), theta, center=center)


@pytest.mark.parametrize(("center", "side"), [(2.0, 0), (33.0, 1)])
def test_the_field_of_view_is_that_of_the_farther_side(center, side):
    loaded = scan(center)
    field = FieldOfView.from_scan(loaded)
    assert completed_side(loaded) == side and truncated_views(loaded).size == 0
    assert field.half_acquisition and not field.beyond_disc and field.radius == 33.5
    support = field.support(SupportShape()).image
    truth = disc_image(DISCS, len(support))
    assert np.all(support[truth != 0] == 1)
    # The outline follows the object beyond the detector's width.
    outline = field.support(SupportShape(outlined=True)).image
    truth = disc_image(DISCS, len(outline))
    assert np.all(outline[truth != 0] == 1) and outline.sum() < 0.95 * support.sum()


def test_an_object_beyond_the_farther_side_is_truncated():
    field = FieldOfView.from_scan(scan(2.0, [(0.0, 0.0, 36.0, 0.02)]))
    assert field.half_acquisition and field.truncated.all() and field.beyond_disc


@pytest.mark.parametrize("theta", [TURN[:45], TURN[:75]])
def test_less_than_a_turn_completes_nothing(theta):
    loaded = scan(2.0, theta=theta)
    assert completed_side(loaded) is None and not FieldOfView.from_scan(loaded).half_acquisition


def test_an_object_within_the_nearer_side_keeps_its_image():
    loaded = scan(12.0, [(1.0, 0.0, 8.0, 0.02)])
    field = FieldOfView.from_scan(loaded)
    assert not field.half_acquisition
    assert field.support(SupportShape()).image.shape == (COLUMNS, COLUMNS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fbp", "cgls"])
def test_the_whole_object_is_reconstructed(method):
    iterations = 20 if method == "cgls" else None
    result = pf.reconstruct(scan(2.0), method, rows="0:1", iterations=iterations)
    image = result.volume[0]
    truth = disc_image(DISCS, len(image))
    assert np.linalg.norm(image - truth) < 0.12 * np.linalg.norm(truth)
    assert not any("field of view" in text for text in result.warnings)
