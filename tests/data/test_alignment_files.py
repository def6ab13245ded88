"""Alignments as files of IMOD and AreTomo: written by their definitions, and read back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, THETA_DEG, disc_sinogram, disc_stack
from scipy import ndimage

from pfitre_jax.data.alignment_files import read_alignment, write_aln, write_xf
from pfitre_jax.data.motion import Motion
from pfitre_jax.data.readers.tilt_alignment import read_aln
from pfitre_jax.data.scan import Scan
from pfitre_jax.runtime.file_mark import has_mark

VIEWS, ROWS = len(THETA), 24
MIDDLE = (COLUMNS - 1) / 2
#: Discs whose size changes slowly with the row.
DISCS = [[(2.0, 1.0, 6 + 2 * np.cos(r / 5), 1.0)] for r in range(ROWS)]


def motion(roll_deg: float = 0.0, center: float = CENTER) -> Motion:
    rng = np.random.default_rng(2)
    still = Motion.none(THETA, center, roll_deg)
    return dataclasses.replace(
        still,
        shifts=rng.normal(0.4, 1.0, VIEWS),
        row_shifts=rng.normal(0, 0.8, VIEWS),
        gain=1 + rng.normal(0, 0.05, VIEWS),
    )


def newstack(stack: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Views transformed by the lines (views, 6) of an .xf file as the manual of IMOD's newstack defines them.

    ``X' = A11 (X - Xci) + A12 (Y - Yci) + DX + Xco`` with the centres of input and output image, and Y'
    accordingly; pixel coordinates, x along the lines of the image.
    """
    moved = np.zeros_like(stack)
    rows, columns = stack.shape[1:]
    y_out, x_out = np.mgrid[:rows, :columns].astype(float)
    xc, yc = columns / 2 - 0.5, rows / 2 - 0.5
    for v, (a11, a12, a21, a22, dx, dy) in enumerate(lines):
        u, w = x_out - xc - dx, y_out - yc - dy
        determinant = a11 * a22 - a12 * a21
        x = (a22 * u - a12 * w) / determinant + xc
        y = (a11 * w - a21 * u) / determinant + yc
        moved[v] = ndimage.map_coordinates(stack[v], [y, x], order=3, mode="nearest")
    return moved


def aretomo(stack: np.ndarray, path) -> np.ndarray:
    """Views aligned by an .aln file: shifted by -TX, -TY, then rotated by -ROT about the middle."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    moved = np.zeros_like(stack)
    for line in lines:
        section, rot, tx, ty = int(line[0]) - 1, *(float(line[k]) for k in (1, 3, 4))
        shifted = ndimage.shift(stack[section], (-ty, -tx), order=3, mode="nearest")
        # scipy turns from the first to the second axis, from y to x: by +ROT, which is -ROT from x to y.
        moved[section] = ndimage.rotate(shifted, rot, reshape=False, order=3, mode="nearest")
    return moved


def displaced(known: Motion) -> np.ndarray:
    """Raw views of the discs under a motion, without gain, and no view at the edge of the field."""
    return known.without_gain().undo(disc_stack(DISCS))[0]


@pytest.mark.parametrize("roll_deg", [0.0, 3.0])
def test_the_xf_file_applied_by_the_definition_of_imod_aligns_the_views(tmp_path, roll_deg):
    known = motion(roll_deg)
    raw = displaced(known)
    write_xf(tmp_path / "alignment.xf", known, COLUMNS)
    lines = np.loadtxt(tmp_path / "alignment.xf")
    assert lines.shape == (VIEWS, 6)
    aligned = newstack(raw, lines)
    # The rotation axis is the middle column, where tilt of IMOD expects it.
    inner = np.s_[:, 5:-5, 4:-4]
    expected = np.stack([disc_sinogram(discs, center=MIDDLE) for discs in DISCS], axis=1)
    error = np.linalg.norm((aligned - expected)[inner]) / np.linalg.norm(expected[inner])
    assert error < 0.03, error
    # The same views as ours, but for the interpolation.
    centered = dataclasses.replace(known.without_gain(), center=CENTER)
    ours, valid = centered.correct(raw, np.ones(raw.shape, bool))
    shifted = ndimage.shift(ours, (0, 0, MIDDLE - CENTER), order=3)
    assert np.abs(shifted - aligned)[inner].max() < 0.05 * np.abs(ours).max() and valid[inner].all()


@pytest.mark.parametrize("roll_deg", [0.0, 3.0])
def test_the_aln_file_applied_by_the_definition_of_aretomo_aligns_the_views(tmp_path, roll_deg):
    known = motion(roll_deg)
    raw = displaced(known)
    write_aln(tmp_path / "alignment.aln", known, ROWS, COLUMNS)
    aligned = aretomo(raw, tmp_path / "alignment.aln")
    expected = np.stack([disc_sinogram(discs, center=MIDDLE) for discs in DISCS], axis=1)
    inner = np.s_[:, 5:-5, 4:-4]
    assert np.linalg.norm((aligned - expected)[inner]) < 0.04 * np.linalg.norm(expected[inner])
    np.testing.assert_allclose(read_aln(tmp_path / "alignment.aln").tilt_deg, THETA_DEG, atol=1e-4)


def write(path, known: Motion) -> None:
    writers = {
        ".csv": known.save,
        ".xf": lambda target: write_xf(target, known, COLUMNS),
        ".aln": lambda target: write_aln(target, known, ROWS, COLUMNS),
    }
    writers[path.suffix](path)


@pytest.mark.parametrize("suffix", [".csv", ".xf", ".aln"])
@pytest.mark.parametrize("roll_deg", [0.0, 2.0])
def test_an_alignment_is_read_back(tmp_path, suffix, roll_deg):
    """All three files align the same views, about an axis that may be displaced with them."""
    known = motion(roll_deg)
    raw = displaced(known)
    path = tmp_path / f"alignment{suffix}"
    write(path, known)
    back = read_alignment(path).motion(THETA, COLUMNS)
    assert abs(back.roll_deg - roll_deg) < 1e-4
    np.testing.assert_allclose(back.gain, known.gain if suffix == ".csv" else 1)
    # What one moves to the centre, the other leaves in the shifts.
    moved = back.center - known.center
    np.testing.assert_allclose(back.shifts + moved * np.cos(np.deg2rad(roll_deg)), known.shifts, atol=1e-4)
    scan = back.without_gain().corrected(Scan.create(raw, THETA, center=CENTER))
    expected = np.stack([disc_sinogram(discs, center=back.center) for discs in DISCS], axis=1)
    inner = np.s_[:, 5:-5, 4:-4]
    error = np.linalg.norm((scan.projections - expected)[inner]) / np.linalg.norm(expected[inner])
    assert scan.center == back.center and error < 0.03


def sort_by_tilt(path, tilt_deg, dark=()) -> None:
    """Sorts an .aln file by tilt angle and lists dark views, as AreTomo does."""
    lines = path.read_text().splitlines()
    head, body = lines[:5], lines[5:]
    body = [f"{line.rsplit(maxsplit=1)[0]} {tilt}" for line, tilt in zip(body, tilt_deg, strict=True)]
    head += [f"# DarkFrame = {k} {k + 1} {tilt_deg[k]}" for k in dark]
    kept = sorted(set(range(len(body))) - set(dark), key=lambda k: tilt_deg[k])
    path.write_text("\n".join([*head, *(body[k] for k in kept)]) + "\n")


def test_shifts_of_aretomo_belong_to_the_view_of_their_section(tmp_path):
    """A dose-symmetric scan: 0, 9, -9, 18, -18 ... degrees, whose file is sorted by angle."""
    tilt_deg = np.array([(-1) ** (k + 1) * 9.0 * ((k + 1) // 2) for k in range(VIEWS)])
    known = dataclasses.replace(motion(), theta_rad=np.deg2rad(tilt_deg))
    path = tmp_path / "a.aln"
    write_aln(path, known, ROWS, COLUMNS)
    # Refined angles differ a little.
    sort_by_tilt(path, tilt_deg + 0.7)
    back = read_alignment(path).motion(known.theta_rad, COLUMNS)
    np.testing.assert_allclose(back.shifts + back.center - known.center, known.shifts, atol=1e-4)
    with pytest.raises(ValueError, match=r"view 18 of the scan at -80.3 degrees, the scan at 170.5"):
        read_alignment(path).motion(np.linspace(0, np.pi, VIEWS), COLUMNS)
    dark = (3, 7)
    write_aln(path, known, ROWS, COLUMNS)
    sort_by_tilt(path, tilt_deg, dark)
    with pytest.raises(ValueError, match=r"does not align the dark views 3, 7 .* the same views excluded"):
        read_alignment(path).motion(known.theta_rad, COLUMNS)
    kept = known.take_views(np.setdiff1d(np.arange(VIEWS), dark))
    back = read_alignment(path).motion(kept.theta_rad, COLUMNS)
    np.testing.assert_allclose(back.shifts + back.center - kept.center, kept.shifts, atol=1e-4)


def test_the_files_are_marked_as_ours(tmp_path):
    for suffix in (".csv", ".xf", ".aln"):
        write(tmp_path / f"alignment{suffix}", motion())
        assert has_mark(tmp_path / f"alignment{suffix}")
    # An .xf file has no place for a mark; without the table beside it, it may be anybody's.
    write(tmp_path / "scan.xf", motion())
    assert not has_mark(tmp_path / "scan.xf")
    # The user's own file beside our table: as IMOD writes it, or of another number of views.
    imod = "".join(f"{1:12.7f}{0:12.7f}{0:12.7f}{1:12.7f}{2.5:12.3f}{v:12.3f}\n" for v in range(VIEWS))
    ours = (tmp_path / "scan.xf").read_text()
    for text in (imod, ours[: len(ours) // 2], ours + ours, ""):
        (tmp_path / "alignment.xf").write_text(text)
        assert not has_mark(tmp_path / "alignment.xf")


ROTATED = "0.9 0.1 -0.1 0.9 0 0\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xf", "1 0 0 1 0 0\n" * 5, "has 5 views, the scan has 20"),
        ("a.xf", "1 0 0 1 0 0\n" * 19 + ROTATED, "transforms view 19 by the matrix"),
        ("a.xf", "1.1 0 0 1.1 0 0\n" * 20, "without magnification"),
        ("a.xf", "0 1 -1 0 0 0\n" * 20, "less than 90 degrees"),
        ("a.xf", "1 0 0 1 0\n" * 20, "expected 6 finite numbers"),
        ("a.xf", "", "is empty"),
        ("a.aln", "1 0 0 1 0 0\n", "does not begin with '# AreTomo Alignment'"),
        ("a.txt", "1 0 0 1 0 0\n", "expected the alignment.csv"),
    ],
)
def test_other_alignments_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_alignment(tmp_path / name).motion(THETA, COLUMNS)
