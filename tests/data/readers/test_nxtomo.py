"""NXtomo: frames by their key, units, and files with several entries."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scan_formats import DEGREES, THETA, write_nxtomo

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import read_raw


def test_keys_sort_the_frames(tmp_path, stack):
    flat, dark = np.full((2, 5, 6), 9.0, np.float32), np.full((1, 5, 6), 0.5, np.float32)
    invalid_frame = np.full((1, 5, 6), np.nan, np.float32)
    frames = np.concatenate([dark, flat, stack[:2], invalid_frame, stack[2:], flat])
    keys = [2, 1, 1, 0, 0, 3, 0, 0, 1, 1]
    angles = [0, 0, 0, *DEGREES[:2], 77, *DEGREES[2:], 120, 120]
    raw = read_raw(write_nxtomo(tmp_path / "scan.nxs", frames, keys, angles))
    np.testing.assert_array_equal(raw.projections, stack)
    np.testing.assert_allclose(raw.theta_rad, THETA)
    assert raw.kind == "counts" and np.all(raw.flat == 9) and np.all(raw.dark == 0.5)


@pytest.mark.parametrize(
    ("angles", "units"),
    [(DEGREES, "degrees"), (DEGREES, "deg"), (DEGREES, None), (THETA, "rad"), (THETA, b"Radian")],
)
def test_units(tmp_path, stack, angles, units):
    raw = read_raw(write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, angles, units))
    np.testing.assert_allclose(raw.theta_rad, THETA)
    assert raw.kind == "absorption"


def test_a_unit_against_the_attribute(tmp_path, stack):
    path = write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, THETA, "rad")
    np.testing.assert_allclose(read_raw(path, angle_unit="rad").theta_rad, THETA)
    with pytest.raises(ValueError, match=r"rotation_angle is in 'rad' but the angle unit is 'deg'"):
        read_raw(path, angle_unit="deg")


def test_no_rotation_angle(tmp_path, stack, csv):
    path = write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, None)
    with pytest.raises(ValueError, match=r"NXtomo.*no angles.*rotation_angle.*angles="):
        read_raw(path)
    np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)


def test_only_flats(tmp_path, stack):
    with pytest.raises(ValueError, match="no projection"):
        read_raw(write_nxtomo(tmp_path / "scan.nxs", stack, [1] * 4, DEGREES))


def test_too_few_keys(tmp_path, stack):
    with pytest.raises(ValueError, match=r"3 frames but .* 4"):
        read_raw(write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 3, DEGREES))


class TestSeveralEntries:
    """An NXtomo file with two scans, as ESRF writes one."""

    @pytest.fixture
    def path(self, tmp_path, stack):
        with h5py.File(tmp_path / "scan.nxs", "w") as file:
            for n in range(2):
                entry = file.create_group(f"entry000{n}")
                entry.attrs["NX_class"] = "NXentry"
                entry["instrument/detector/data"] = stack + n
                entry["instrument/detector/image_key"] = [0] * 4
                entry["sample/rotation_angle"] = DEGREES + n
                entry["data/data"] = entry["instrument/detector/data"]
                entry["data/image_key"] = entry["instrument/detector/image_key"]
        return tmp_path / "scan.nxs"

    def test_several_entries_without_a_default_are_refused(self, path):
        with pytest.raises(ValueError, match=r"2 tomographies \(/entry0000, /entry0001\).*'default'.*h5copy"):
            read_raw(path)

    @pytest.mark.parametrize("default", ["entry0001", b"/entry0001"])
    def test_the_default_is_read(self, path, stack, default):
        with h5py.File(path, "a") as file:
            file.attrs["default"] = default
        raw = read_raw(path)
        np.testing.assert_array_equal(raw.projections, stack + 1)
        np.testing.assert_allclose(raw.theta_rad, np.deg2rad(DEGREES + 1))

    def test_an_invalid_default_is_refused(self, path):
        with h5py.File(path, "a") as file:
            file.attrs["default"] = "entry0002"
        with pytest.raises(ValueError, match="2 tomographies"):
            read_raw(path)

    def test_nested_entries(self, path):
        with h5py.File(path, "a") as file:
            for n in range(2):
                file.move(f"entry000{n}", f"all/entry000{n}")
        with pytest.raises(ValueError, match="/all/entry0000, /all/entry0001"):
            read_raw(path)

    def test_an_entry_of_flats_is_ignored(self, path, stack):
        with h5py.File(path, "a") as file:
            file["entry0000/instrument/detector/image_key"][:] = 1
        np.testing.assert_array_equal(read_raw(path).projections, stack + 1)

    def test_a_link_to_an_entry_is_not_a_second_entry(self, path, stack):
        with h5py.File(path, "a") as file:
            del file["entry0000"]
            file["a_link"] = h5py.SoftLink("/entry0001")
            file["entry_of_links/data"] = file["entry0001/data"]
            file["entry_of_links"].attrs["NX_class"] = "NXentry"
        np.testing.assert_array_equal(read_raw(path).projections, stack + 1)


def test_the_angle_of_the_sample_comes_before_that_of_the_detector(tmp_path, stack):
    path = write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, DEGREES)
    with h5py.File(path, "a") as file:
        file["entry1/tomo_entry/instrument/detector/rotation_angle"] = np.linspace(10, 40, 4)
    np.testing.assert_allclose(read_raw(path).theta_rad, THETA)
    with h5py.File(path, "a") as file:
        file.move("entry1/tomo_entry/sample", "entry1/tomo_entry/stage")
        file["entry1/tomo_entry/stage"].attrs["NX_class"] = "NXsample"
    np.testing.assert_allclose(read_raw(path).theta_rad, THETA)


@pytest.mark.parametrize(
    ("value", "center"), [(2.5, 2.5), ([3.25], 3.25), (-0.75, None), (0.1, None), (7.0, None)]
)
def test_the_rotation_axis_of_the_detector_is_the_center(tmp_path, stack, value, center):
    path = write_nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, DEGREES)
    with h5py.File(path, "a") as file:
        file["entry1/tomo_entry/instrument/detector/x_rotation_axis_pixel_position"] = value
    raw = read_raw(path)
    assert raw.center == center
    assert any("no plausible detector index" in text for text in raw.warnings) == (center is None)


def test_the_monitor_normalises_the_beam(tmp_path):
    """Line integrals do not change with the intensity of the beam; views without beam are masked."""
    rng = np.random.default_rng(0)
    line = rng.uniform(0.1, 1, (4, 5, 6))
    beam = np.array([1.0, 0.9, 0.5, 0.0, 1.2, 1.0, 1.0])
    frames = 100 + 1000 * beam[:, None, None] * np.concatenate(
        [np.exp(-line), np.ones((2, 5, 6)), np.zeros((1, 5, 6))]
    )
    keys = [0, 0, 0, 0, 1, 1, 2]
    beam[4:] = [1.0, 1.0, 1.0]
    frames[4:6] = 1100.0
    path = write_nxtomo(tmp_path / "scan.nxs", frames, keys, [*DEGREES, 0, 0, 0])
    with h5py.File(path, "a") as file:
        file["entry1/tomo_entry/control/data"] = 5e6 * beam
    scan = to_scan(read_raw(path))
    np.testing.assert_allclose(scan.projections[:3], line[:3], atol=1e-5)
    assert not scan.mask[3].any() and scan.mask[:3].all()
    with h5py.File(path, "a") as file:
        del file["entry1/tomo_entry/control/data"]
        file["entry1/tomo_entry/control/data"] = [1.0, 2.0]
    (warning,) = read_raw(path).warnings
    assert "control/data is not one positive number for each frame" in warning
