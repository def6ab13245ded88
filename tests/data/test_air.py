"""Correction of the air beside the sample."""

from __future__ import annotations

import numpy as np
from blobs import projections

from pfitre_jax.data.air import subtract_edge_lines
from pfitre_jax.data.scan import Scan

THETA = np.deg2rad(np.arange(0.0, 180.0, 12.0))


def test_subtract_edge_lines_removes_a_slanted_offset_and_nothing_else():
    p = projections(THETA, columns=80, reach=16)
    drift = np.linspace(0.2, 0.5, THETA.size)[:, None, None] + 0.002 * np.arange(80)
    mask = np.ones(p.shape, bool)
    mask[:, :, 0] = False
    scan = subtract_edge_lines(Scan.create(p + drift, THETA, mask=mask))
    np.testing.assert_allclose(scan.projections[mask], p[mask], atol=1e-4)
    assert np.all(scan.projections[~mask] == 0)
