"""Selections: parsing, indices against NumPy's indexing, and ranges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.selection import format_ranges, parse_slice, resolve_indices

QUICK = settings(max_examples=50, deadline=None)


@st.composite
def valid_slices(draw, count: int):
    """A selection within 0:count that is not empty, and its text."""
    start = draw(st.integers(0, count - 1))
    stop = draw(st.integers(start + 1, count))
    step = draw(st.integers(1, count))
    text = f"{start}:{stop}" if step == 1 and draw(st.booleans()) else f"{start}:{stop}:{step}"
    return slice(start, stop, step), text


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("2:5", [2, 3, 4]),
        ("0:7:3", [0, 3, 6]),
        (":2", [0, 1]),
        ("5:", [5, 6]),
        ("::4", [0, 4]),
        (" 1 : 3 ", [1, 2]),
    ],
)
def test_parse_slice(text, indices):
    assert resolve_indices(parse_slice(text), 7, "rows").tolist() == indices


@pytest.mark.parametrize("text", ["", "3", "a:b", "1:2:3:4", "1.5:2", "-3:", "0:-1", "0:5:0", "1-5"])
def test_parse_slice_refuses(text):
    with pytest.raises(ValueError, match=r"expected|write"):
        parse_slice(text)


@QUICK
@given(
    start=st.none() | st.integers(0, 10**6), stop=st.none() | st.integers(0, 10**6), step=st.integers(1, 99)
)
def test_parse_slice_inverts_formatting(start, stop, step):
    text = f"{'' if start is None else start}:{'' if stop is None else stop}"
    assert parse_slice(text) == slice(start, stop)
    assert parse_slice(f" {text}:{step} ") == slice(start, stop, step)


@QUICK
@given(text=st.text("0123456789:-+.,e ab", max_size=12))
def test_parse_slice_accepts_whole_numbers_and_colons_only(text):
    parts = [part.strip() for part in text.strip().split(":")]
    numbers = all(part == "" or (part.isdecimal() and part.isascii()) for part in parts)
    valid = len(parts) in (2, 3) and numbers and not (len(parts) == 3 and parts[2] and int(parts[2]) == 0)
    if valid:
        assert isinstance(parse_slice(text), slice)
    else:
        with pytest.raises(ValueError, match=r"expected A:B|write"):
            parse_slice(text)


@QUICK
@given(data=st.data(), count=st.integers(1, 40))
def test_indices_agree_with_numpy(data, count):
    selection, text = data.draw(valid_slices(count))
    expected = np.arange(count)[selection]
    np.testing.assert_array_equal(resolve_indices(selection, count, "rows"), expected)
    np.testing.assert_array_equal(resolve_indices(text, count, "rows"), expected)


@QUICK
@given(start=st.integers(-5, 15), stop=st.integers(-5, 15), step=st.integers(-3, 3))
def test_indices_are_refused_where_numpy_would_shorten_or_reverse_them(start, stop, step):
    count = 10
    if 0 <= start < stop <= count and step > 0:
        assert resolve_indices(slice(start, stop, step), count, "rows").size > 0
    else:
        with pytest.raises(ValueError, match="expected A:B"):
            resolve_indices(slice(start, stop, step), count, "rows")


@QUICK
@given(numbers=st.sets(st.integers(0, 60), min_size=1))
def test_ranges_name_all_numbers(numbers):
    named = []
    for part in format_ranges(np.array(sorted(numbers))).split(", "):
        first, _, last = part.partition("-")
        named += range(int(first), int(last or first) + 1)
    assert named == sorted(numbers)
