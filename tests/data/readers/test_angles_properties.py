"""Files of angles are read back as they were written, in every unit, separator and number format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.readers.angles import read_angles

QUICK = settings(max_examples=50, deadline=None)

#: Degrees of a limited-angle scan, which no rule takes for radians.
degrees = st.lists(st.integers(-9000, 9000).map(lambda n: n / 100), min_size=1, max_size=30).filter(
    lambda values: max(map(abs, values)) > 7
)
HEADERS = {"deg": ("angle", "theta_deg", "Angle [deg]", "rotation (°)"), "rad": ("theta_rad", "phi [rad]")}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("angles") / "angles.csv"


@QUICK
@given(
    values=degrees,
    unit=st.sampled_from(["deg", "rad"]),
    separator=st.sampled_from([";", "\t", ","]),
    data=st.data(),
)
def test_one_column_among_others(path, values, unit, separator, data):
    stored = values if unit == "deg" else np.deg2rad(values).tolist()
    header = data.draw(st.sampled_from(HEADERS[unit]))
    column = data.draw(st.integers(0, 2))
    decimal = data.draw(st.sampled_from([".", ","])) if separator != "," else "."
    names = ["view", "exposure"]
    names.insert(column, header)
    lines = [separator.join(names)]
    for view, value in enumerate(stored):
        fields = [str(view), "0.5"]
        fields.insert(column, repr(float(value)).replace(".", decimal))
        lines.append(separator.join(fields))
    path.write_text("\n".join(lines) + "\n")
    np.testing.assert_allclose(read_angles(path), np.deg2rad(values), atol=1e-9)


@QUICK
@given(
    values=degrees,
    unit=st.sampled_from(["deg", "rad"]),
    blank=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_one_column_without_a_header(path, values, unit, blank, ending):
    stored = values if unit == "deg" else np.deg2rad(values).tolist()
    lines = ["# a comment", *map(repr, map(float, stored)), *[""] * blank]
    path.write_bytes(ending.join(lines).encode())
    np.testing.assert_allclose(read_angles(path, unit), np.deg2rad(values), atol=1e-9)


@QUICK
@given(
    values=degrees,
    word=st.text(st.characters(categories=("Lu", "Ll")), min_size=4, max_size=8),
    data=st.data(),
)
def test_a_word_among_the_angles_is_refused_with_its_line(path, values, word, data):
    if word.lower() == "infinity":
        return
    at = data.draw(st.integers(1, len(values)))
    lines = [*map(repr, values)]
    lines.insert(at, word)
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match=f"line {at + 1}: .* is not a number"):
        read_angles(path)


@QUICK
@given(values=st.lists(st.floats(0, 3.2), min_size=10, max_size=40).filter(lambda v: max(v) > 0.1))
def test_radians_without_a_unit_are_not_taken_for_degrees(path, values):
    path.write_text("\n".join(map(repr, values)))
    with pytest.raises(ValueError, match=r"look like radians.*--angle-unit rad"):
        read_angles(path)
