"""Angles in text files, and their unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.readers.angles import read_angles, to_radians


@pytest.fixture
def csv(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "angles.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "0\n45\n-90\n",
        "angle\n0\n45\n-90\n",
        "theta_deg\r\n0\r\n45\r\n-90\r\n",
        "view,angle,exposure\n0,0,5\n1,45,5\n2,-90,5\n",
        "view,current,rotation\n0,7.5,0\n1,7.4,45\n2,7.3,-90\n",
        "# made by hand\n\nindex; Angle [deg]\n0; 0\n1; 45\n2; -90\n",
        "view angle (deg)\n0 0.0\n1 4.5e1\n2 -90\n",
        "Tilt of the stage\n0\n45\n-90\n",
        ",angle\n0,0\n1,45\n2,-90\n",
        "\tangle\n0\t0\n1\t45\n2\t-90\n",
        "0,\n45,\n-90,\n",
        "\ufeffangle\n0\n45\n-90",
        '"angle"\n"0"\n"45"\n"-90"\n',
    ],
)
def test_read_angles(csv, text):
    np.testing.assert_allclose(read_angles(csv(text)), [0, np.pi / 4, -np.pi / 2], atol=1e-12)


def test_radians_are_taken_as_they_are(csv):
    np.testing.assert_allclose(read_angles(csv("theta\n0\n1.5\n3\n"), "rad"), [0, 1.5, 3])
    np.testing.assert_allclose(read_angles(csv("theta_rad\n0\n1.5\n3\n"), "rad"), [0, 1.5, 3])


@pytest.mark.parametrize("header", ["theta_rad", "Angle [radians]", "view;rotation_angle(rad)"])
def test_the_header_names_the_unit(csv, header):
    rows = "1;0\n2;1.5\n3;3\n" if ";" in header else "0\n1.5\n3\n"
    np.testing.assert_allclose(read_angles(csv(f"{header}\n{rows}")), [0, 1.5, 3])


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("", "deg", "holds no angles"),
        ("angle\n", "deg", "header but no angles"),
        ("angle\n0\nforty\n", "deg", "line 3: 'forty' is not a number"),
        ("0\n45\n,\n", "deg", "line 3: found 2 fields, separated by commas; expected 1 as in line 1"),
        ("view,angle\n0,1\n45,\n", "deg", "line 3: '' is not a number"),
        ("view;angle\n0;1\n1;2;3\n", "deg", "line 3: found 3 fields, separated by semicolons; expected 2"),
        (",\n0,\n", "deg", "line 1: '' is not a number"),
        ("0\nnan\n", "deg", "angle of view 1"),
        ("0\ninf\n", "deg", "angle of view 1"),
        ("0\n45\n90\n", "rad", "look like degrees"),
        ("theta_rad\n0\n1\n", "deg", "'theta_rad' is in 'rad'.*angle_unit='rad'"),
        ("theta_deg\n0\n1\n", "rad", "angle_unit='deg'"),
        ("0\n45\n", "grad", "'deg' or 'rad'"),
        ("\n".join(str(k * np.pi / 60) for k in range(60)), "deg", "look like radians.*angle_unit='rad'"),
    ],
)
def test_invalid_files_are_refused_with_a_message(csv, text, unit, message):
    with pytest.raises(ValueError, match=message):
        read_angles(csv(text), unit)


@pytest.mark.parametrize("text", ["view;angle\n0;-72,00\n1;-70,50\n", "view\tangle\n0\t-72,00\n1\t-70,5\n"])
def test_decimal_commas_between_semicolons_or_tabs_are_read(csv, text):
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), [-72, -70.5])


@pytest.mark.parametrize(
    "text",
    [
        "-72,00\n-70,50\n",
        "Winkel\n-72,00\n-70,50\n",
        "view,angle\n0,-72,00\n1,-70,50\n",
        "view angle\n0 -72,00\n1 -70,50\n",
        '"view","angle"\n"0","-72,00"\n',
        "-72\n-71,5\n",
    ],
)
def test_commas_that_may_be_decimal_or_separate_are_refused(csv, text):
    with pytest.raises(ValueError, match="save the numbers with decimal points"):
        read_angles(csv(text))


@pytest.mark.parametrize(
    "name",
    [
        "rotation",
        "Rot",
        "phi",
        "omega",
        "theta",
        "angle (deg)",
        "angle (°)",
        "theta [deg]",
        "rotation_deg",
        "rot angle",
    ],
)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_column_is_selected_by_its_name(csv, name, separator):
    rows = [("frame", name, "current"), (0, -72, 100.25), (1, -70, 100.5)]
    text = "\n".join(separator.join(map(str, row)) for row in rows)
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), [-72, -70])


def test_the_column_called_angle_comes_before_those_of_other_axes(csv):
    text = "phi,angle,theta\n0,45,3\n1,46,3\n"
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), [45, 46])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "frame,motor,current\n0,1,2\n",
            "columns 'frame', 'motor', 'current', and none .* name it 'angle'",
        ),
        ("angle_index,angle_radius\n0,1\n", "and none"),
        ("phi,theta\n0,1\n", "columns 'phi', 'theta', and more than one .* name it 'angle'"),
        ("0,7,0\n1,7,45\n", "3 columns, separated by commas, and no header; .* one of the columns 'angle'"),
        ("0 0.0\n1 45\n", "2 columns, separated by blanks, and no header"),
        ("0,45,90\n", "expected one angle per line"),
    ],
)
def test_a_column_is_never_guessed(csv, text, message):
    with pytest.raises(ValueError, match=message):
        read_angles(csv(text))


@pytest.mark.parametrize("word", ["-72.O", '"-72.O"', "7 2", "+-3", ".", "12°"])
def test_a_typing_error_in_the_first_line_is_not_a_header(csv, word):
    with pytest.raises(
        ValueError, match=f"line 1: {word.strip(chr(34))!r} is not a number".replace("+", r"\+")
    ):
        read_angles(csv(f"{word}\n-70\n-68\n"))


def test_windows_encoding_is_read(csv):
    text = "view;angle (°)\r\n0;-72,00\r\n1;-70,00\r\n"
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text, "cp1252"))), [-72, -70])
    with pytest.raises(ValueError, match="is in 'deg' but the angle unit is 'rad'"):
        read_angles(csv(text, "cp1252"), "rad")


@pytest.mark.parametrize(
    "content", [b"\x89HDF\r\n\x1a\n\xff\xfe", b"\xb0\x00\x01", bytes(20), "angle\n0\n".encode("utf-16")]
)
def test_a_file_that_is_not_text_is_refused(tmp_path, content):
    path = tmp_path / "angles.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a text file"):
        read_angles(path)


def test_more_than_two_turns_are_accepted():
    turned = to_radians([0.0, 90.0, 1000.0])
    np.testing.assert_allclose(np.exp(1j * turned), np.exp(1j * np.deg2rad([0.0, 90.0, 1000.0])), atol=1e-9)


def test_a_small_scan_of_small_angles_is_allowed():
    np.testing.assert_allclose(to_radians([-2.0, 0.0, 2.0]), np.deg2rad([-2.0, 0.0, 2.0]))


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
    with pytest.raises(ValueError, match=r"look like radians.*angle_unit='rad'"):
        read_angles(path)
