"""Angles in text files, and their unit."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfitre_jax.data.readers.angle_units import RADIANS, AngleUnit, find_unit, to_radians
from pfitre_jax.data.readers.angles import read_angle_file, read_angles


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
        ("theta_mrad\n0\n1000\n", "deg", "'theta_mrad' is in 'mrad'.*angle_unit='mrad'"),
        ("theta_deg\n0\n1\n", "rad", "angle_unit='deg'"),
        ("0\n45\n", "grad", "'deg', 'rad'.* or 'gon'"),
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
        "view,angle\n0,-72,00\n1,-70,50\n",
        "view,angle\n0,10,00\n1,12,50\n",
        "-72,5\n-70,5\n",
        "1,047\n1,222\n1,500\n",
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
        ("0 0.0\n1 45\n1 90\n", "2 columns, separated by blanks, and no header"),
        ("1 0\n2 1\n3 2\n", "2 columns, separated by blanks, and no header"),
        ("0 100.5\n1 100.4\n2 100.3\n", "no header"),
        ("0 0.5\n1 0.5\n2 0.5\n", "no header"),
        ("0,45,90\n", "expected one angle per line"),
    ],
)
def test_a_column_is_never_guessed(csv, text, message):
    with pytest.raises(ValueError, match=message):
        read_angles(csv(text))


@pytest.mark.parametrize("word", ["-72.O", '"-72.O"', "7 2", "+-3", ".", "12*"])
def test_a_typing_error_in_the_first_line_is_not_a_header(csv, word):
    with pytest.raises(ValueError, match=re.escape(f"line 1: {word.strip(chr(34))!r} is not a number")):
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


def test_small_angles_need_a_unit_that_the_caller_requests():
    np.testing.assert_allclose(to_radians([-2.0, 0.0, 2.0], "deg"), np.deg2rad([-2.0, 0.0, 2.0]))
    for unit in (None, AngleUnit("deg", "stated")):
        with pytest.raises(ValueError, match=r"look like radians: .*angle_unit='deg' if they are right"):
            to_radians([-2.0, 0.0, 2.0], unit)


@pytest.mark.parametrize(
    "text",
    [
        "-72,00\n-70,50\n-69,00\n",
        "Winkel\n-72,0\n-70,5\n-69,0\n",
        "view angle\n0 -72,00\n1 -70,50\n2 -69,00\n",
        '"view","angle"\n"0","-72,00"\n"1","-70,5"\n"2","-69"\n',
        "-72\n-70,5\n-69\n",
        "theta [deg]\n-72,0\n-70,5\n-69\n",
        "-72,00°\n-70,50°\n-69,0°\n",
        "-72,000\n-70,500\n-69,000\n-0,500\n",
    ],
)
def test_decimal_commas_are_read_where_they_can_mean_nothing_else(csv, text):
    angles = np.rad2deg(read_angles(csv(text), "deg"))
    np.testing.assert_allclose(angles[:3], [-72, -70.5, -69])


@pytest.mark.parametrize(
    "text",
    [
        "0 -72.0\n1 -70.5\n2 72\n",
        "1,-72\n2,-70.5\n3,72\n",
        "-72;1\n-70,5;2\n72;3\n",
        "# index theta\n0 -72.0\n1 -70.5\n2 72\n",
        "# index, theta [deg]\n0.0e+00 -7.2e+01\n1.0e+00 -7.05e+01\n2.0e+00 7.2e+01\n",
        "# savetxt of the scan\n# theta;current\n-72;100.3\n-70.5;100.2\n72;100.1\n",
        "% theta\n-72\n-70.5\n72\n",
    ],
)
def test_columns_without_a_header_line(csv, text):
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), [-72, -70.5, 72])
    guessed = "#" not in text and "%" not in text
    assert any("counts the views" in w for w in read_angle_file(csv(text)).warnings) == guessed


#: How headers, values and comments state a unit; {} is the unit.
SPELLINGS = {
    "deg": ("deg", "degrees", "Degree", "°", "DEG"),
    "rad": ("rad", "radians", "Radian", "RAD"),
    "mrad": ("mrad", "milliradians", "milli-radian", "mRad"),
    "mdeg": ("mdeg", "millidegrees", "milli degrees", "m°"),
    "urad": ("urad", "µrad", "microradians", "micro-rad"),
    "arcmin": ("arcmin", "arc minutes", "arcminute"),
    "arcsec": ("arcsec", "arc seconds", "arcseconds"),
    "turn": ("turn", "turns", "revolutions", "rev"),
    "gon": ("gon", "gradians"),
}
RANGE = np.array([-75.0, -21.5, 30.0, 44.25, 75.0])


@pytest.mark.parametrize("unit", SPELLINGS)
@pytest.mark.parametrize(
    "header",
    [
        "theta [{}]",
        "theta ({})",
        "angle / {}",
        "tilt in {}",
        "tilt_{}",
        "Theta {}",
        "# theta_{}",
        "# theta [{}]",
        "% angle ({})",
    ],
)
def test_every_unit_in_a_header_is_converted(csv, unit, header):
    values = np.deg2rad(RANGE) / RADIANS[unit]
    for name in SPELLINGS[unit]:
        if header in ("tilt in {}",) and " " in name:
            continue
        text = header.format(name) + "\n" + "\n".join(f"{value:.12g}" for value in values) + "\n"
        np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), RANGE, atol=1e-6, err_msg=text)


@pytest.mark.parametrize("unit", SPELLINGS)
def test_every_unit_of_a_caller_or_an_attribute_is_converted(unit):
    values = np.deg2rad(RANGE) / RADIANS[unit]
    np.testing.assert_allclose(np.rad2deg(to_radians(values, unit)), RANGE, atol=1e-9)
    assert {find_unit(name) for name in SPELLINGS[unit]} == {unit}


@pytest.mark.parametrize("word", ["-75°", "-75.0 deg", "-75 degrees", "−75 °", '"-75 deg"'])
def test_values_with_a_unit(csv, word):
    text = "\n".join([word, *(f"{v} {word.strip(chr(34)).lstrip('-75.0' + chr(0x2212))}" for v in RANGE[1:])])
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text))), RANGE, atol=1e-9)
    with pytest.raises(ValueError, match="expected one unit"):
        read_angles(csv(text + "\n80\n"))


@pytest.mark.parametrize(
    "text",
    [
        "theta [counts]\n{}",
        "theta_counts\n{}",
        "# theta [steps]\n{}",
        "# units: encoder\n{}",
        "angle (a.u.)\n{}",
        "Winkel [Grad]\n{}",
        "theta / mm\n{}",
        "exposure [s]\n{}",
        "index,theta [V]\n" + "\n".join(f"{k},{v}" for k, v in enumerate(RANGE)),
    ],
)
def test_a_stated_unit_that_is_no_angle_is_refused(csv, text):
    text = text.format("\n".join(map(str, RANGE)))
    with pytest.raises(ValueError, match=r"which is no known unit of angles.*angle_unit='deg'"):
        read_angles(csv(text))
    np.testing.assert_allclose(np.rad2deg(read_angles(csv(text), "deg")), RANGE)


def test_comments_that_name_two_units_are_refused(csv):
    text = "# angles in rad, converted from degrees\n0\n1\n2\n"
    with pytest.raises(ValueError, match="comments name the units 'deg', 'rad'"):
        read_angles(csv(text))
    np.testing.assert_allclose(read_angles(csv(text), "rad"), [0, 1, 2])
    np.testing.assert_allclose(read_angles(csv("# angles in rad\n0\n1\n2\n")), [0, 1, 2])
    np.testing.assert_allclose(read_angles(csv("# from degrees\ntheta_rad\n0\n1\n2\n")), [0, 1, 2])


@pytest.mark.parametrize("views", [1, 2, 5, 9, 10, 60])
@pytest.mark.parametrize("unit", ["rad", "mdeg", "urad", "arcsec", "turn"])
def test_other_units_are_never_read_as_degrees(views, unit):
    """At every number of views; the range of mrad, arcmin and gon may be one of degrees."""
    values = np.deg2rad(np.linspace(-75, 75, views) if views > 1 else [75.0]) / RADIANS[unit]
    if views == 1 and unit not in ("rad", "turn"):
        return  # a goniometer may have turned often before
    with pytest.raises(ValueError, match="the angles reach from"):
        to_radians(values)
    if views > 1:
        with pytest.raises(ValueError, match="the angles reach from"):
            to_radians(values, AngleUnit("deg", "stated"))


def test_several_turns_without_a_unit_are_reported(csv):
    text = "\n".join(map(str, np.linspace(0, 1047, 25)))
    (warning,) = read_angle_file(csv(text)).warnings
    assert "extend over 2.9 turns and their unit is not stated" in warning
    assert read_angle_file(csv(text), "deg").warnings == ()


def test_views_of_one_angle_are_refused():
    with pytest.raises(ValueError, match="all 20 views have the same angle, 30 degrees"):
        to_radians(np.full(20, 30.0))
    assert to_radians([30.0]) == pytest.approx(np.pi / 6)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.uint32])
def test_integers_that_wrapped_around_are_refused(kind):
    bits = 8 * np.dtype(kind).itemsize
    degrees = np.arange(-75, 76, 3) if np.dtype(kind).kind == "u" else np.arange(0, 361, 3)
    factor = {8: 1, 16: 300, 32: 20_000_000}[bits] if np.dtype(kind).kind == "i" else 1
    stored = (degrees * factor).astype(np.int64).astype(kind)
    assert not np.array_equal(stored, degrees * factor)
    for values in (stored, stored.astype(float)) if bits > 8 else (stored,):
        with pytest.raises(ValueError, match="wrap around"):
            to_radians(values, AngleUnit("deg", "stated"))


def test_negative_angles_in_unsigned_integers_are_refused():
    with pytest.raises(ValueError, match="negative numbers stored as unsigned integers of 16 bits"):
        to_radians(np.arange(-75, -1, 3).astype(np.uint16))


def test_integers_that_did_not_wrap_around_are_read():
    sweeps = np.tile(np.arange(0, 180, 3), 2)
    for kind in (np.uint8, np.uint16, np.int16, float):
        np.testing.assert_allclose(np.rad2deg(to_radians(sweeps.astype(kind))), sweeps, atol=1e-9)


QUICK = settings(max_examples=50, deadline=None)

#: Degrees of a limited-angle scan, which no rule takes for radians.
degrees = st.lists(st.integers(-9000, 9000).map(lambda n: n / 100), min_size=1, max_size=30).filter(
    lambda values: (
        max(map(abs, values)) > 13 and (len(values) == 1 or np.ptp(values) > (13 if len(values) > 9 else 0))
    )
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


def test_a_field_beyond_the_limit_of_the_csv_module_is_refused(tmp_path):
    path = tmp_path / "angles.csv"
    path.write_text('"' + "a" * 200_000 + '",angle\n1,2\n')
    with pytest.raises(ValueError, match="no table of angles"):
        read_angles(path)
