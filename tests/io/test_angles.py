"""Angles in text files, and their unit."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.io.angles import read_angles, to_radians


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
        "0,7,0\n1,7,45\n2,7,-90\n",
        "# made by hand\n\nindex; Angle [deg]\n0; 0\n1; 45\n2; -90\n",
        "0 0.0\n1 4.5e1\n2 -90\n",
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
        ("0\n45\n,\n", "deg", "line 3"),
        ("0,1\n45,\n", "deg", "line 2"),
        ("0\nnan\n", "deg", "angle of view 1"),
        ("0\ninf\n", "deg", "angle of view 1"),
        ("0\n45\n90\n", "rad", "look like degrees"),
        ("theta_rad\n0\n1\n", "deg", "'theta_rad' is in 'rad'.*--angle-unit rad"),
        ("theta_deg\n0\n1\n", "rad", "--angle-unit deg"),
        ("0\n45\n", "grad", "'deg' or 'rad'"),
        ("\n".join(str(k * np.pi / 60) for k in range(60)), "deg", "look like radians.*--angle-unit rad"),
    ],
)
def test_bad_files_are_refused_in_words(csv, text, unit, message):
    with pytest.raises(ValueError, match=message):
        read_angles(csv(text), unit)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "angles.csv"
    path.write_bytes(b"\x89HDF\r\n\x1a\n\xff\xfe")
    with pytest.raises(ValueError, match="not a text file"):
        read_angles(path)


def test_more_than_two_turns_of_a_goniometer_are_no_mistake():
    turned = to_radians([0.0, 90.0, 1000.0])
    np.testing.assert_allclose(np.exp(1j * turned), np.exp(1j * np.deg2rad([0.0, 90.0, 1000.0])), atol=1e-9)


def test_a_small_scan_of_small_angles_is_allowed():
    np.testing.assert_allclose(to_radians([-2.0, 0.0, 2.0]), np.deg2rad([-2.0, 0.0, 2.0]))
