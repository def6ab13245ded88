"""Correction of displaced views, and its inverse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_sinogram
from scipy import ndimage

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.roll import apply_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector

VIEWS, ROWS = 6, 24
ANGLES = np.linspace(0, 1, VIEWS)


def rng(seed=0):
    return np.random.default_rng(seed)


def bumps() -> np.ndarray:
    """Smooth views (views, rows, columns), empty at their borders."""
    i, k = np.mgrid[:ROWS, :COLUMNS].astype(float)
    views = [
        np.exp(-((i - 11 - v / 3) ** 2 + (k - 14 - v) ** 2) / 18)
        + 0.5 * np.exp(-((i - 13) ** 2 + (k - 20) ** 2) / 8)
        for v in range(VIEWS)
    ]
    return np.stack(views).astype(np.float32)


def motion(**changes) -> Motion:
    g = rng()
    default = Motion(
        ANGLES,
        g.normal(0, 1.5, VIEWS), g.normal(0, 1, VIEWS), 1 + g.normal(0, 0.1, VIEWS), g.normal(0, 0.05, VIEWS),
        2.0, CENTER,
    )  # fmt: skip
    return dataclasses.replace(default, **changes)


def everywhere(array) -> np.ndarray:
    return np.ones(array.shape, bool)


def test_correct_inverts_undo():
    ideal = bumps()
    raw, raw_known = motion().undo(ideal)
    again, known = motion().correct(raw, raw_known)
    assert known[:, 6:-6, 6:-6].all() and not known.all()
    np.testing.assert_allclose(again[known], ideal[known], atol=0.01)


def test_no_motion_changes_nothing():
    values, mask = bumps(), rng().random((VIEWS, ROWS, COLUMNS)) > 0.1
    out, good = Motion.none(ANGLES, CENTER).correct(values, mask)
    np.testing.assert_array_equal(good, mask)
    np.testing.assert_allclose(out, np.where(mask, values, 0), atol=1e-5)


def test_a_roll_alone_agrees_with_apply_roll():
    out, good = Motion.none(ANGLES, CENTER, 2.0).correct(bumps(), everywhere(bumps()))
    turned, known = apply_roll(bumps(), None, 2.0)
    np.testing.assert_array_equal(good, known)
    # apply_roll interpolates linearly, Motion by cubic splines.
    np.testing.assert_allclose(out[good], turned[good], atol=0.03)
    # SciPy's rotation of the same order.
    expected = ndimage.rotate(bumps()[0], 2.0, order=3, reshape=False, mode="nearest")
    np.testing.assert_allclose(out[0][good[0]], expected[good[0]], atol=1e-4)


def test_shifts_have_the_sign_of_the_geometry():
    """A view displaced along the columns is moved back; the shifts of the projector have the same sign."""
    discs, shifts = [(2.0, 1.0, 6.0, 1.0)], rng().normal(0, 1.5, THETA.size)
    ideal = disc_sinogram(discs)
    raw = np.stack(
        [disc_sinogram(discs, THETA[v : v + 1], center=CENTER + shifts[v])[0] for v in range(THETA.size)]
    )
    moved = dataclasses.replace(Motion.none(THETA, CENTER), shifts=shifts)
    out, good = moved.correct(raw[:, None], everywhere(raw[:, None]))
    assert np.linalg.norm((out[:, 0] - ideal)[good[:, 0]]) < 0.03 * np.linalg.norm(ideal)
    image = np.zeros((COLUMNS, COLUMNS), np.float32)
    image[12:20, 14:21] = 1.0
    straight, displaced = (
        np.asarray(Projector(ParallelGeometry.create(THETA, COLUMNS, CENTER, s))(image))
        for s in (None, shifts)
    )
    out, good = moved.correct(displaced[:, None], everywhere(displaced[:, None]))
    assert np.linalg.norm((out[:, 0] - straight)[good[:, 0]]) < 0.04 * np.linalg.norm(straight)


def test_an_invalid_bin_invalidates_only_the_bins_interpolated_from_it():
    values, mask = bumps(), everywhere(bumps())
    expected, _ = motion().correct(values, mask)
    mask[2, 12, 15] = False
    corrupted = np.where(mask, values, 1e6).astype(np.float32)
    out, good = motion().correct(corrupted, mask)
    assert (~good[2]).sum() > (~good[1]).sum() - 60 and np.abs(out).max() < 3
    np.testing.assert_allclose(out[good], expected[good], atol=0.05)


def test_a_saved_motion_is_loaded_unchanged(tmp_path):
    path = tmp_path / "alignment.csv"
    motion().save(path)
    back = Motion.load(path)
    fields = {field.name: field for field in dataclasses.fields(Motion)}
    assert fields.pop("element") and back.element is None
    for field in fields.values():
        np.testing.assert_allclose(getattr(back, field.name), getattr(motion(), field.name), rtol=1e-7)
    # Saving a loaded motion gives the same file.
    back.save(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == path.read_text()


def test_gains_belong_to_the_element_that_the_file_states(tmp_path):
    path = tmp_path / "alignment.csv"
    known = dataclasses.replace(motion(), element='Cu "K", 1')
    known.save(path)
    back = Motion.load(path)
    assert back.element == known.element
    kept, notes = back.of_element(known.element)
    assert kept is back and notes == ()
    motion().save(path)
    for stored, element in ((back, "Fe_K"), (back, None), (Motion.load(path), "Fe_K")):
        dropped, [note] = stored.of_element(element)
        assert "gains and offsets of the alignment were left out" in note
        np.testing.assert_array_equal(dropped.gain, 1)
        np.testing.assert_array_equal(dropped.offset, 0)
        np.testing.assert_array_equal(dropped.shifts, stored.shifts)
        # Without gains it is that of all elements.
        assert dropped.of_element("Zn_K") == (dropped, ())
    known.save(path)
    path.write_text(path.read_text().replace('1"', '2"', 1))
    with pytest.raises(ValueError, match="more than one element"):
        Motion.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "view,theta_deg\n0,1\n", "\x00\x01", "{}\n"],
    ids=["empty", "columns", "binary", "JSON"],
)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "alignment.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"expected the alignment.csv of pfitre recon --align"):
        Motion.load(path)


@pytest.mark.parametrize(("name", "value"), [("gain", "0"), ("shift_rows", "nan"), ("roll_deg", "3")])
def test_invalid_values_are_refused(tmp_path, name, value):
    path = tmp_path / "alignment.csv"
    motion().save(path)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[2][lines[0].index(name)] = value
    path.write_text("\n".join(map(",".join, lines)))
    with pytest.raises(ValueError, match="not finite, gains that are not positive, or more than one roll"):
        Motion.load(path)


def test_only_a_whole_scan_is_corrected():
    scan = Scan.create(bumps(), np.linspace(0, 1, VIEWS), center=10.0)
    corrected = motion().corrected(scan)
    assert corrected.center == CENTER and corrected.roll_deg == 2.0
    with pytest.raises(ValueError, match="has 6 views, the scan has 5"):
        motion().corrected(scan.select_views("0:5"))
    turned = dataclasses.replace(scan, theta_rad=scan.theta_rad + 0.1)
    with pytest.raises(ValueError, match=r"has view 0 at 0 degrees, the scan at 5\.7"):
        motion().corrected(turned)
    with pytest.raises(ValueError, match="align before selecting rows"):
        motion().corrected(scan.select_rows("0:5"))


def test_rows_without_a_valid_bin_do_not_affect_their_neighbours():
    values, mask = np.ones((1, 20, 12), np.float32), np.zeros((1, 20, 12), bool)
    mask[:, 8:13] = True
    half = dataclasses.replace(Motion.none([0.0], 5.5), row_shifts=np.array([0.5]))
    out, good = half.correct(np.where(mask, values, 0), mask)
    assert good.any() and np.allclose(out[good], 1, atol=1e-5)
