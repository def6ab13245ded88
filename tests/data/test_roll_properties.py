"""The roll of the axis: its correction undone, and rows read apart against rows read together."""

from __future__ import annotations

import numpy as np
from blobs import projections
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.roll import apply_roll, raw_rows_for, undo_roll

THETA = np.deg2rad(np.arange(0.0, 180.0, 30.0))
SMOOTH = projections(THETA)
MASK = np.random.default_rng(0).random(SMOOTH.shape) > 0.02

rolls = st.integers(-600, 600).map(lambda n: n / 100)


@settings(max_examples=20, deadline=None)
@given(roll=rolls)
def test_there_and_back(roll):
    """Two linear interpolations of a smooth scan lose little, and nothing is known from outside the frame."""
    corrected, mask = apply_roll(SMOOTH, None, roll)
    back, known = undo_roll(corrected, roll)
    inside, valid = apply_roll(mask.astype(np.float32), None, -roll)
    both = known & valid & (inside > 0.999)
    assert both.mean() > 0.7
    assert np.abs(back - SMOOTH)[both].max() < 0.12 * SMOOTH.max()


@settings(max_examples=30, deadline=None)
@given(roll=rolls, data=st.data())
def test_rows_corrected_apart_are_those_corrected_together(roll, data):
    raw_rows, columns = SMOOTH.shape[1:]
    start = data.draw(st.integers(0, raw_rows - 1))
    rows = slice(start, data.draw(st.integers(start + 1, raw_rows)))
    whole, mask = apply_roll(SMOOTH, MASK, roll)
    needed = raw_rows_for(rows, roll, columns, raw_rows)
    part, part_mask = apply_roll(
        SMOOTH[:, needed], MASK[:, needed], roll, rows=rows, row0=needed.start, raw_rows=raw_rows
    )
    np.testing.assert_array_equal(part_mask, mask[:, rows])
    np.testing.assert_allclose(part, whole[:, rows], atol=1e-5 * SMOOTH.max())
