"""Tiny and huge line integrals: twice the data are twice the image, at any scale."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import CENTER, THETA, disc_image, disc_stack

import pfitre_jax as pf

DISCS = [(1.0, -2.0, 10.0, 1.0), (5.0, 3.0, 3.3, 2.0), (-4.0, -4.0, 2.5, -0.5)]
STACK = disc_stack([DISCS] * 3).astype(np.float64)
TRUTH = disc_image([(x, y, r, v) for x, y, r, v in DISCS], 33)


@pytest.mark.parametrize("method", ["fbp", "cgls"])
def test_images_scale_with_the_data(method):
    error = {}
    for level in (1.0, 1e-30, 1e30):
        scan = pf.Scan.create(np.float32(level * STACK), THETA, center=CENTER)
        iterations = None if method == "fbp" else 10
        result = pf.reconstruct(scan, method, rows="1:2", iterations=iterations, support="disc")
        image = result.volume[0].astype(float) / level
        error[level] = np.linalg.norm(image - TRUTH) / np.linalg.norm(TRUTH)
        assert result.scale / level == pytest.approx(3, rel=0.3)
    assert max(error.values()) < 0.3
    np.testing.assert_allclose(list(error.values()), error[1.0], rtol=1e-3)


@pytest.mark.parametrize("level", [1e-30, 1e30])
def test_the_centre_is_found_at_any_scale(level):
    """From the residual: 120 degrees have no opposite views."""
    few = THETA[:14]
    scan = pf.Scan.create(np.float32(level * STACK[:14]), few)
    assert pf.with_center(scan).center == pytest.approx(CENTER, abs=0.5)
