"""NumPy archives: a real file, and each way a file can be wrong."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
from scan_formats import DEGREES, THETA

from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.priors import files


@pytest.mark.parametrize(
    ("name", "values"), [("theta_rad", THETA), ("theta_deg", DEGREES), ("angles_deg", DEGREES)]
)
def test_names_of_the_angles(tmp_path, stack, name, values):
    np.savez(tmp_path / "scan.npz", projections=stack, center=2.25, **{name: values})
    raw = read_raw(tmp_path / "scan.npz")
    np.testing.assert_allclose(raw.theta_rad, THETA)
    assert raw.center == 2.25 and raw.kind == "absorption"


def test_i13(data_dir):
    raw = read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz")
    assert raw.projections.shape == (91, 135, 160) and raw.kind == "counts"
    np.testing.assert_allclose(np.rad2deg(raw.theta_rad[[0, -1]]), [-88.2, 91.7999])


def test_an_angle_file_takes_precedence(tmp_path, stack, csv):
    np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES + 5)
    np.testing.assert_allclose(read_raw(tmp_path / "scan.npz", csv).theta_rad, THETA)


def test_pickled_arrays_are_not_loaded(tmp_path, stack):
    ragged = np.empty(2, object)
    ragged[:] = [[1.0], [1.0, 2.0]]
    np.savez(tmp_path / "scan.npz", projections=ragged, theta_deg=DEGREES, allow_pickle=True)
    with pytest.raises(ValueError, match="pickled"):
        read_raw(tmp_path / "scan.npz")


def test_a_pickle_called_npz(tmp_path):
    (tmp_path / "scan.npz").write_bytes(pickle.dumps({"projections": 1}))
    with pytest.raises(ValueError, match="pickled"):
        read_raw(tmp_path / "scan.npz")


def test_truncated(tmp_path, stack):
    np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
    content = (tmp_path / "scan.npz").read_bytes()
    (tmp_path / "scan.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="truncated"):
        read_raw(tmp_path / "scan.npz")


def test_damaged_inside(tmp_path, stack):
    np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
    content = bytearray((tmp_path / "scan.npz").read_bytes())
    content[300:320] = bytes(20)
    (tmp_path / "scan.npz").write_bytes(bytes(content))
    with pytest.raises(ValueError, match="damaged"):
        read_raw(tmp_path / "scan.npz")


@pytest.mark.parametrize("kind", ["data", "method", "password"])
def test_damaged_and_compressed(tmp_path, stack, kind):
    path = tmp_path / "scan.npz"
    np.savez_compressed(path, projections=stack, theta_deg=DEGREES)
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    content = bytearray(path.read_bytes())
    if kind == "data":
        content[200:220] = b"\xff" * 20
    elif kind == "method":
        content[directory + 10] = 97
    else:
        content[directory + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged \(.*copy it again"):
        read_raw(path)
    with pytest.raises(ValueError, match=r"cannot be read .*pfitre train"):
        files.load(path)


@pytest.mark.parametrize("angles", [["-72", "-70", "-68", "-66"], [b"a", b"b", b"c", b"d"]])
def test_angles_that_are_text(tmp_path, stack, angles):
    np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=angles)
    with pytest.raises(
        ValueError, match=r"scan\.npz: theta_deg is text; expected numbers.*angles='angles.csv'"
    ):
        read_raw(tmp_path / "scan.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"projections": None}, "expected 'projections'"),
        ({"theta_deg": DEGREES * 1j}, "theta_deg is of type complex128"),
        ({"theta_deg": None}, "no angles"),
        ({"center": np.ones(2)}, "one detector index"),
        ({"projections": np.ones((5, 6))}, r"expected a stack \(views, rows, columns\)"),
    ],
)
def test_bad_contents(tmp_path, stack, change, message):
    arrays = {"projections": stack, "theta_deg": DEGREES, **change}
    np.savez(tmp_path / "scan.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=message):
        read_raw(tmp_path / "scan.npz")


def test_a_unit_against_the_name(tmp_path, stack):
    np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
    with pytest.raises(ValueError, match=r"theta_deg.*'rad'"):
        read_raw(tmp_path / "scan.npz", angle_unit="rad")


def test_two_arrays_of_angles(tmp_path, stack):
    """They may agree, also in a float32 or a turn apart; contradicting ones are refused."""
    path = tmp_path / "scan.npz"
    np.savez(path, projections=stack, theta_deg=DEGREES + 360, theta_rad=THETA.astype(np.float32))
    for unit in (None, "deg", "rad"):
        np.testing.assert_allclose(read_raw(path, angle_unit=unit).theta_rad, THETA, atol=1e-6)
    for other in (DEGREES + 1, DEGREES[::-1], DEGREES[:3]):
        np.savez(path, projections=stack, theta_rad=THETA, angles_deg=other)
        with pytest.raises(ValueError, match="the arrays 'angles_deg' and 'theta_rad' contradict"):
            read_raw(path)


@pytest.mark.parametrize(("name", "factor"), [("theta_mrad", 1000), ("angles_turn", 0.5 / np.pi)])
def test_other_units_in_the_name(tmp_path, stack, name, factor):
    np.savez(tmp_path / "scan.npz", projections=stack, **{name: THETA * factor})
    np.testing.assert_allclose(read_raw(tmp_path / "scan.npz").theta_rad, THETA)
