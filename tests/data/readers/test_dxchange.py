"""DXchange: a real file, flats and darks, and angles."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scan_formats import DEGREES, THETA, write_exchange

from pfitre_jax.data.readers.registry import read_raw


def test_tooth(data_dir):
    raw = read_raw(data_dir / "tooth_aps2bm" / "tooth.h5")
    assert raw.projections.shape == (181, 2, 640) and raw.kind == "counts"
    assert raw.flat.shape == raw.dark.shape == (2, 640)
    np.testing.assert_allclose(raw.theta_rad, np.deg2rad(np.arange(181) * 0.994475138), atol=1e-6)


def test_data_without_flats_is_absorption(tmp_path, stack):
    raw = read_raw(write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES))
    assert raw.kind == "absorption" and raw.flat is None
    np.testing.assert_allclose(raw.theta_rad, THETA)


def test_frames_are_averaged(tmp_path, stack):
    white = np.stack([np.full((5, 6), 3.0), np.full((5, 6), 5.0)])
    path = write_exchange(
        tmp_path / "scan.h5", data=stack, theta=DEGREES, data_white=white, data_dark=white[:1] * 0
    )
    raw = read_raw(path)
    np.testing.assert_allclose(raw.flat, 4.0)
    assert read_raw(path, kind="absorption").flat is None


def test_an_angle_file_takes_precedence(tmp_path, stack, csv):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES + 1)
    np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)
    path = write_exchange(tmp_path / "bare.h5", data=stack)
    np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)


def test_an_explicit_unit_takes_precedence(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=THETA)
    np.testing.assert_allclose(read_raw(path, angle_unit="rad").theta_rad, THETA)


def test_missing_theta_is_refused(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", data=stack)
    with pytest.raises(ValueError, match=r"no angles.*angles="):
        read_raw(path)


def test_missing_data_is_refused(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", theta=DEGREES)
    with pytest.raises(ValueError, match="found /exchange/theta"):
        read_raw(path)


def test_a_flat_of_another_shape_is_refused(tmp_path, stack):
    path = write_exchange(
        tmp_path / "scan.h5",
        data=stack,
        theta=DEGREES,
        data_white=np.ones((5, 5)),
        data_dark=np.ones((5, 5)),
    )
    with pytest.raises(ValueError, match=r"flat has shape \(5, 5\); expected \(5, 6\)"):
        read_raw(path)


def test_flat_without_dark(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES, data_white=np.ones((5, 6)))
    with pytest.raises(ValueError, match="no dark"):
        read_raw(path)


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("mrad", 1000 * np.pi / 180), ("arcmin", 60), ("mdeg", 1000), ("revolutions", 1 / 360), (b"Degrees", 1)],
)
@pytest.mark.parametrize("attribute", ["units", "unit", "Units"])
def test_units_of_attributes(tmp_path, stack, unit, factor, attribute):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES * factor)
    with h5py.File(path, "a") as file:
        file["exchange/theta"].attrs[attribute] = unit
    np.testing.assert_allclose(read_raw(path).theta_rad, THETA)


def test_a_stated_unit_that_is_no_angle_is_refused(tmp_path, stack):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES)
    with h5py.File(path, "a") as file:
        file["exchange/theta"].attrs["units"] = "counts"
    with pytest.raises(ValueError, match=r"/exchange/theta is in 'counts', which is no known unit"):
        read_raw(path)
    np.testing.assert_allclose(read_raw(path, angle_unit="deg").theta_rad, THETA)
    with h5py.File(path, "a") as file:
        file["exchange/theta"].attrs["unit"] = "deg"
    with pytest.raises(ValueError, match="state the units"):
        read_raw(path)
