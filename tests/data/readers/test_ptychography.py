"""Phase of ptychographic views: ramps, wraps, size, and damaged files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from field_files import PHASE, ptychography, scan_content

from pfitre_jax.data.readers.phase import unwrapped_phase
from pfitre_jax.data.readers.registry import open_raw, read_raw

CONTENT = scan_content()
COPPER = CONTENT.maps["Cu_K"]


def hill(height: float, size: int = 48) -> np.ndarray:
    """A phase of several turns, 0 at the border."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return height * np.exp(-(x**2 + 2 * y**2) / 60)


@pytest.mark.parametrize("height", [0.5, 9.0, -14.0])
def test_a_phase_of_several_turns_is_recovered(height):
    """The ramp that is removed is the mean step, so that it is exact for a phase that is even."""
    phase = hill(height)
    y, x = np.mgrid[: phase.shape[0], : phase.shape[1]]
    image = 0.8 * np.exp(1j * (phase + 0.31 * x - 0.87 * y + 2))
    np.testing.assert_allclose(unwrapped_phase(image), phase, atol=1e-6)


def test_the_projections_are_the_phase(tmp_path):
    """Columns of discs: values up to the offset and the ramp, which the air beside the discs determines."""
    path, options = ptychography(tmp_path, CONTENT)
    raw = read_raw(path, **options)
    assert raw.provenance["format"] == "ptychography" and raw.pixel_size == pytest.approx(CONTENT.pixel_um)
    assert raw.projections.shape == COPPER.shape
    np.testing.assert_allclose(np.rad2deg(raw.theta_rad), CONTENT.degrees)
    y, x = np.mgrid[: COPPER.shape[1], : COPPER.shape[2]]
    design = np.stack([np.ones(y.size), y.ravel(), x.ravel()], axis=1)
    difference = raw.projections.reshape(len(COPPER), -1).T / PHASE - COPPER.reshape(len(COPPER), -1).T
    rest = difference - design @ np.linalg.lstsq(design, difference, rcond=None)[0]
    assert np.abs(rest).max() < 1e-5


def test_views_of_different_size_are_cut(tmp_path):
    path, options = ptychography(tmp_path, CONTENT)
    rewrite(path, lambda values: np.pad(values, ((1, 1), (0, 0)), mode="edge"))
    raw = read_raw(path, **options)
    assert raw.projections.shape == COPPER.shape
    assert any("cut to 3 x 33" in note for note in raw.warnings)


def rewrite(path, change, name="reconstruction/object"):
    with h5py.File(sorted(path.iterdir())[3], "a") as file:
        values = file[name][()]
        del file[name]
        new = change(values)
        if new is not None:
            file[name] = new


def cut(share):
    def damage(path):
        file = sorted(path.iterdir())[3]
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])

    return damage


MALFORMED = {
    "a part of the text": (cut(0.01), "S00101_MLc.mat"),
    "half of it": (cut(0.5), "S00101_MLc.mat"),
    "95% of it": (cut(0.95), "S00101_MLc.mat"),
    "text": (lambda path: sorted(path.iterdir())[3].write_text("words"), "S00101_MLc.mat"),
    "no object": (lambda path: rewrite(path, lambda values: None), "20 angles for 19 views"),
    "real numbers": (lambda path: rewrite(path, lambda values: values["real"]), "/reconstruction/object"),
    "one axis": (lambda path: rewrite(path, lambda values: values[0]), "/reconstruction/object"),
    "several slices": (lambda path: rewrite(path, lambda v: np.stack([v, v])), "/reconstruction/object"),
    "other fields": (
        lambda path: rewrite(path, lambda v: np.zeros(v.shape, [("real", "f4"), ("rest", "f4")])),
        "/reconstruction/object",
    ),
    "NaN": (lambda path: rewrite(path, lambda v: _nan(v)), "/reconstruction/object holds values"),
    "a null dataset": (lambda path: rewrite(path, lambda v: h5py.Empty("f4")), "/reconstruction/object"),
}


def _nan(values):
    values["imag"][2, 1] = np.nan
    return values


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_views_are_refused(tmp_path, case):
    path, options = ptychography(tmp_path, CONTENT)
    damage, message = MALFORMED[case]
    damage(path)
    with pytest.raises(ValueError, match=message):
        open_raw(path, **options)


def test_the_angles_must_be_stated(tmp_path):
    path, _ = ptychography(tmp_path, CONTENT)
    with pytest.raises(ValueError, match=r"holds no angles in the files \(theta_path='/PATH'"):
        open_raw(path)
    for k, file in enumerate(sorted(path.iterdir())):
        with h5py.File(file, "a") as hdf5:
            hdf5["angle"] = CONTENT.degrees[k]
    np.testing.assert_allclose(np.rad2deg(open_raw(path, theta_path="/angle").theta_rad), CONTENT.degrees)
