"""Scans in memory and scans that are read on demand: rows and views against NumPy's indexing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.raw import LazyStack, RawScan

QUICK = settings(max_examples=50, deadline=None)

VIEWS, ROWS, COLUMNS = 7, 9, 11
PROJECTIONS = np.random.default_rng(0).uniform(1, 2, (VIEWS, ROWS, COLUMNS)).astype(np.float32)
PROJECTIONS[2, :, 4] = 0
THETA = np.deg2rad(np.arange(VIEWS) * 12.0)


def in_memory():
    return to_scan(RawScan.create(PROJECTIONS, THETA), center=5.0)


def lazy():
    stack = LazyStack(PROJECTIONS.shape, PROJECTIONS.dtype, lambda rows: PROJECTIONS[:, rows].copy())
    return open_lazily(RawScan.create(stack, THETA), center=5.0, kept_rows=(1, 4), strongest_rows=2)


SCANS = {"in memory": in_memory(), "lazy": lazy()}
scans = st.sampled_from(list(SCANS))


@st.composite
def valid_slices(draw, count: int):
    """A selection within 0:count that is not empty, and its text."""
    start = draw(st.integers(0, count - 1))
    stop = draw(st.integers(start + 1, count))
    step = draw(st.integers(1, count))
    text = f"{start}:{stop}" if step == 1 and draw(st.booleans()) else f"{start}:{stop}:{step}"
    return slice(start, stop, step), text


@QUICK
@given(name=scans, data=st.data())
def test_select_rows_is_numpy_indexing(name, data):
    scan, whole = SCANS[name], SCANS["in memory"]
    start = data.draw(st.integers(0, ROWS - 1))
    stop = data.draw(st.integers(start + 1, ROWS))
    part = scan.select_rows(slice(start, stop))
    np.testing.assert_array_equal(part.projections, PROJECTIONS[:, start:stop] * whole.mask[:, start:stop])
    np.testing.assert_array_equal(part.mask, whole.mask[:, start:stop])
    assert (part.row0, part.rows, part.raw_rows) == (start, stop - start, ROWS)


@QUICK
@given(name=scans, data=st.data())
def test_select_views_is_numpy_indexing(name, data):
    scan, whole = SCANS[name], SCANS["in memory"]
    selection, text = data.draw(valid_slices(VIEWS))
    excluded, _ = data.draw(valid_slices(VIEWS))
    kept = np.setdiff1d(np.arange(VIEWS)[selection], np.arange(VIEWS)[excluded])
    if kept.size == 0:
        with pytest.raises(ValueError, match="no view is left"):
            scan.select_views(text, excluded)
        return
    part = scan.select_views(text, excluded)
    np.testing.assert_array_equal(part.projections, whole.projections[kept])
    np.testing.assert_array_equal(part.mask, whole.mask[kept])
    np.testing.assert_array_equal(part.theta_rad, THETA[kept])
    expected = in_memory().take_views(kept).overview
    # The noise of a row, and so its threshold, is that of all views.
    tolerances = {"excess": 0.5 * np.max(whole.projections)}
    for field in dataclasses.fields(expected):
        values = getattr(part.overview, field.name), getattr(expected, field.name)
        np.testing.assert_allclose(*values, rtol=1e-6, atol=tolerances.get(field.name, 0))


@QUICK
@given(name=scans, rows=st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=6))
def test_take_rows_is_numpy_indexing(name, rows):
    part, whole = SCANS[name].take_rows(rows), SCANS["in memory"]
    np.testing.assert_array_equal(part.projections, whole.projections[:, rows])
    np.testing.assert_array_equal(part.mask, whole.mask[:, rows])
    assert (part.row0, part.raw_rows) == (0, len(rows))


def test_only_the_kept_and_the_strongest_rows_of_a_lazy_scan_are_in_memory():
    energies = np.sum(SCANS["in memory"].projections.astype(float) ** 2, axis=(0, 2))
    strongest = {int(np.argmax(energies[:5])), 5 + int(np.argmax(energies[5:]))}
    scan = SCANS["lazy"]
    assert scan.source.rows_in_memory.tolist() == sorted({1, 4} | strongest)
    np.testing.assert_array_equal(
        scan.sample().projections, SCANS["in memory"].projections[:, scan.source.rows_in_memory]
    )
    # Their arrays are kept, not read again.
    assert scan.source.read(slice(4, 5))[0] is scan.source.read(slice(4, 5))[0]


def test_a_scan_in_memory_is_not_copied():
    scan = in_memory()
    assert np.shares_memory(scan.projections, scan.source.projections)
    assert np.shares_memory(scan.select_rows("2:5").projections, scan.source.projections)
