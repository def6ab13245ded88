"""Tilt series: the alignment of IMOD and AreTomo, angles beside the file, and damaged files."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from field_files import write_mrc

import pfitre_jax as pf
from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.readers.registry import open_raw, read_raw
from pfitre_jax.estimation.estimate import Estimate
from pfitre_jax.reconstruction import scan_loading
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.run_identity import identify

SHAPE = 6, 24, 28
TILT = np.arange(-50.0, 70.0, 20.0)
ROTATION = np.deg2rad([3.0, -4.0, 5.0, 2.0, -2.0, 6.0])
SHIFT = np.array([[2.5, -1.0], [-3.0, 2.0], [0.5, 0.5], [1.0, 3.0], [-2.0, -2.0], [4.0, 1.0]])  # x, y


def blobs(middle_xy) -> np.ndarray:
    """Views with a Gaussian at these positions (views, 2) from the middle."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    y, x = y - (SHAPE[1] - 1) / 2, x - (SHAPE[2] - 1) / 2
    return np.array([np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) for u, v in middle_xy])


def positions(stack, mask) -> np.ndarray:
    """Centres of mass (views, 2) of the views, x and y from the middle."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    weight = np.where(mask, stack, 0) ** 4
    moments = [(weight * axis).sum(axis=(1, 2)) / weight.sum(axis=(1, 2)) for axis in (x, y)]
    return np.stack(moments, axis=1) - [(SHAPE[2] - 1) / 2, (SHAPE[1] - 1) / 2]


STORED = np.array([[2.0, 1.0], [-3.0, 0.5], [4.0, -2.0], [0.0, 3.0], [1.5, -1.5], [-2.0, 2.0]])


def forward() -> np.ndarray:
    """Matrices (views, 2, 2) of the alignment: a rotation, x to the right and y upwards."""
    cos, sin = np.cos(ROTATION), np.sin(ROTATION)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=1)


def expected() -> np.ndarray:
    """Aligned positions by the formula of IMOD, ``x' = A x + D``."""
    return np.einsum("vij,vj->vi", forward(), STORED) + SHIFT


def write_xf(path):
    rows = np.concatenate([forward().reshape(-1, 4), SHIFT], axis=1)
    path.write_text("".join("".join(f"{value:12.7f}" for value in row) + "\n" for row in rows))


def write_aln(path, first=1, dark=()):
    """AreTomo: ``(DX, DY) = -A (TX, TY)`` with ``A = R(-ROT)``."""
    shift = -np.einsum("vji,vj->vi", forward(), SHIFT)
    lines = ["# AreTomo Alignment / Priims bprmMn", f"# RawSize = {SHAPE[2]} {SHAPE[1]} {SHAPE[0]}"]
    lines += [
        "# NumPatches = 0",
        "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE",
    ]
    lines += [f"# DarkFrame = {view} {view + first} {TILT[view]:.2f}" for view in dark]
    for view in range(SHAPE[0]):
        if view not in dark:
            numbers = [-np.rad2deg(ROTATION[view]), 1.0, *shift[view], 1.0, 1.0, 1.0, 0.0, TILT[view]]
            lines.append(f"{view + first:5d}" + "".join(f"{number:12.5f}" for number in numbers))
    path.write_text("\n".join([*lines, "# Local Alignment", "0 0 1 2 3"]) + "\n")


@pytest.fixture(name="series")
def _series(tmp_path):
    path = write_mrc(tmp_path / "scan.st", blobs(STORED))
    (tmp_path / "scan.tlt").write_text("\n".join(map(str, TILT)))
    return path


def load(path, **options):
    return pf.load_scan(path, center=13.5, air=None, **options)


@pytest.mark.parametrize("first", [0, 1])
def test_alignments_of_imod_and_aretomo(series, first):
    write_xf(series.with_suffix(".xf"))
    scan = load(series)
    assert scan.provenance["alignment of the file"] == "scan.xf"
    np.testing.assert_allclose(positions(scan.projections, scan.mask), expected(), atol=0.05)
    series.with_suffix(".xf").unlink()
    series.with_suffix(".tlt").unlink()
    write_aln(series.with_suffix(".aln"), first)
    other = load(series)
    np.testing.assert_allclose(other.projections, scan.projections, atol=1e-5)
    np.testing.assert_allclose(np.rad2deg(other.theta_rad), TILT, atol=1e-6)
    write_aln(series.with_suffix(".aln"), first, dark=(2,))
    part = load(series)
    np.testing.assert_allclose(part.projections, np.delete(scan.projections, 2, axis=0), atol=1e-5)
    assert any("1 dark view" in warning for warning in part.warnings)
    write_aln(series.with_suffix(".aln"), first, dark=(0,))
    np.testing.assert_allclose(load(series).projections, scan.projections[1:], atol=1e-5)


@pytest.mark.parametrize("roll", [0.0, 3.0])
def test_rows_are_aligned_when_they_are_read(series, roll):
    """A lazy scan equals one in memory, and the roll is part of the same interpolation."""
    write_xf(series.with_suffix(".xf"))
    scan = load(series, roll=roll)
    lazy = open_lazily(open_raw(series), center=13.5, roll_deg=roll, used_views=np.array([0, 2, 5]))
    for rows in (slice(0, 3), slice(10, 11), slice(20, 24)):
        projections, mask = lazy.source.read(rows)
        np.testing.assert_allclose(projections, scan.projections[[0, 2, 5], rows], atol=1e-6)
        np.testing.assert_array_equal(mask, scan.mask[[0, 2, 5], rows])
    # The sign of apply_roll: what lies at angle a moves to a + roll, x to the right and rows downwards.
    angle = -np.deg2rad(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(positions(scan.projections, scan.mask), expected() @ turn.T, atol=0.05)


def test_an_aligned_stack_is_not_aligned_again(tmp_path):
    path = write_mrc(tmp_path / "scan.ali", blobs(STORED))
    (tmp_path / "scan.rawtlt").write_text("\n".join(map(str, TILT)))
    write_xf(tmp_path / "scan.xf")
    scan = load(path)
    np.testing.assert_allclose(positions(scan.projections, scan.mask), STORED, atol=0.01)
    assert any("not applied" in warning for warning in scan.warnings)


def test_angles_beside_the_file(series):
    series.with_suffix(".rawtlt").write_text("\n".join(map(str, TILT + 1)))
    np.testing.assert_allclose(np.rad2deg(open_raw(series).theta_rad), TILT)
    series.with_suffix(".tlt").unlink()
    np.testing.assert_allclose(np.rad2deg(open_raw(series).theta_rad), TILT + 1)
    series.with_suffix(".rawtlt").unlink()
    with pytest.raises(ValueError, match=r"no angles in a file \.tlt or \.rawtlt.*angles='angles\.csv'"):
        open_raw(series)


def test_a_missing_package_is_named(series, monkeypatch):
    monkeypatch.setitem(sys.modules, "mrcfile", None)
    with pytest.raises(
        ValueError, match=r"needs the package mrcfile: pip install mrcfile.*'\.\[formats\]' in a copy"
    ):
        open_raw(series)


def _header(offset: int, value: bytes):
    def damage(series):
        content = bytearray(series.read_bytes())
        content[offset : offset + len(value)] = value
        series.write_bytes(content)

    return damage


def _text(suffix: str, content: str):
    return lambda series: series.with_suffix(suffix).write_text(content)


MALFORMED = {
    "a part of the header": (lambda series: series.write_bytes(series.read_bytes()[:700]), "scan.st"),
    "half of it": (lambda series: series.write_bytes(series.read_bytes()[:4000]), "scan.st"),
    "text": (lambda series: series.write_text("words"), "scan.st"),
    "huge": (_header(0, b"\xff\xff\xff\x7f" * 3), "scan.st"),
    "negative sizes": (_header(0, b"\xff\xff\xff\xff"), "scan.st"),
    "an unknown mode": (_header(12, b"\x63\x00\x00\x00"), "scan.st"),
    "one section": (lambda series: write_mrc(series, blobs(STORED)[:1]), "views"),
    "angles of another scan": (_text(".tlt", "0\n20\n40\n"), "3 angles for 6 views"),
    "angles that are words": (_text(".tlt", "left\nright\n"), "scan.tlt"),
    "an alignment of five views": (_text(".xf", "1 0 0 1 0 0\n" * 5), "has 5 views"),
    "an alignment with words": (_text(".xf", "1 0 0 1 0 zero\n" * 6), "scan.xf, line 1"),
    "a singular alignment": (_text(".xf", "1 0 0 0 0 0\n" * 6), "scan.xf, line 1"),
    "an empty alignment": (_text(".xf", ""), "scan.xf"),
    "an alignment that is none": (_text(".aln", "words"), "scan.aln"),
    "an alignment without views": (_text(".aln", "# AreTomo Alignment\n"), "scan.aln"),
    "views beyond the file": (
        _text(".aln", "# AreTomo Alignment\n" + "9 0 1 0 0 1 1 1 0 0\n"),
        "has 9 views",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_series_are_refused(series, case):
    damage, message = MALFORMED[case]
    damage(series)
    with pytest.raises(ValueError, match=message):
        read_raw(series)


def test_files_beside_the_series_belong_to_the_identity_of_a_run(series):
    """Another alignment is another result."""
    settings = Settings.create("fbp")

    def identity():
        return identify({"scan": series, "angles": None}, {}, settings)["scan"]

    first = identity()
    assert identity() == first
    write_xf(series.with_suffix(".xf"))
    assert identity() != first


def test_an_estimated_roll_is_part_of_the_same_interpolation(series, monkeypatch):
    write_xf(series.with_suffix(".xf"))
    monkeypatch.setattr(
        scan_loading, "find_roll", lambda scan: Estimate(3.0, "a test", 0.1, np.zeros(1), np.zeros(1), 0.0)
    )
    scan, expected_scan = load(series, roll="auto"), load(series, roll=3.0)
    np.testing.assert_array_equal(scan.projections, expected_scan.projections)
    assert scan.roll_deg == 3.0 and "estimated from a test" in scan.provenance["roll"]
