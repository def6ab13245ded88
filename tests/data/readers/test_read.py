"""Readers: real files, and each way a file can be wrong."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tifffile

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.priors import files

DEGREES = np.array([0.0, 40.0, 80.0, 120.0])
THETA = np.deg2rad(DEGREES)


@pytest.fixture
def stack():
    return np.random.default_rng(0).uniform(1, 2, (4, 5, 6)).astype(np.float32)


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "angles.csv"
    path.write_text("angle\n" + "\n".join(map(str, DEGREES)))
    return path


def nxtomo(path, frames, keys, angles, units="degrees", nested=True):
    """An NXtomo file as Diamond writes it: the frames are linked from a second place."""
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry1/tomo_entry")
        detector = entry.create_group("instrument/detector")
        detector["data"] = frames
        detector["image_key"] = keys
        if angles is not None:
            entry["sample/rotation_angle"] = angles
            if units is not None:
                entry["sample/rotation_angle"].attrs["units"] = units
        entry["data/data"] = h5py.SoftLink("/entry1/tomo_entry/instrument/detector/data")
        entry["data/missing"] = h5py.SoftLink("/entry1/nowhere")
        entry["loop"] = h5py.SoftLink("/entry1")
    return path


class TestTiff:
    def test_stack_and_csv(self, tmp_path, stack, csv):
        tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
        raw = read_raw(tmp_path / "scan.tif", csv)
        np.testing.assert_array_equal(raw.projections, stack)
        np.testing.assert_allclose(raw.theta_rad, THETA)
        assert raw.kind == "absorption" and raw.flat is None

    def test_pages_written_one_by_one(self, tmp_path, stack, csv):
        with tifffile.TiffWriter(tmp_path / "scan.tif", bigtiff=True) as tiff:
            for view in stack:
                tiff.write(view, metadata=None)
        np.testing.assert_array_equal(read_raw(tmp_path / "scan.tif", csv).projections, stack)

    def test_the_content_decides_not_the_name(self, tmp_path, stack, csv):
        tifffile.imwrite(tmp_path / "scan.dat", stack, photometric="minisblack")
        assert read_raw(tmp_path / "scan.dat", csv, kind="transmission").kind == "transmission"

    def test_cu23(self, data_dir):
        folder = data_dir / "cu23_hxn_xrf"
        raw = read_raw(folder / "Cu_example_23_LimitedAngle.tiff", folder / "Cu_example_23_LimitedAngle.csv")
        assert raw.projections.shape == (51, 84, 150) and raw.kind == "absorption"
        degrees = np.concatenate([np.arange(-72, -1, 2), np.arange(94, 109)])
        np.testing.assert_allclose(np.rad2deg(raw.theta_rad), degrees, atol=2e-3)

    def test_no_angles(self, tmp_path, stack):
        tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
        with pytest.raises(ValueError, match="--angles"):
            read_raw(tmp_path / "scan.tif")

    @pytest.mark.parametrize("shape", [(5, 6), (2, 4, 5, 6)])
    def test_no_stack(self, tmp_path, csv, shape):
        tifffile.imwrite(tmp_path / "scan.tif", np.ones(shape, np.uint8), photometric="minisblack")
        with pytest.raises(ValueError, match=r"expected one stack \(views, rows, columns\)"):
            read_raw(tmp_path / "scan.tif", csv)

    @pytest.mark.parametrize(
        ("shape", "planar"),
        [((4, 6, 3), "contig"), ((4, 6, 4), "contig"), ((3, 5, 6), "separate"), ((4, 5, 6, 3), "contig")],
    )
    def test_colour(self, tmp_path, csv, shape, planar):
        tifffile.imwrite(
            tmp_path / "scan.tif", np.ones(shape, np.uint8), photometric="rgb", planarconfig=planar
        )
        with pytest.raises(
            ValueError, match=r"colour picture; expected a stack \(views, rows, columns\) of grey"
        ):
            read_raw(tmp_path / "scan.tif", csv)

    @pytest.mark.skipif(
        importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs is installed"
    )
    @pytest.mark.skipif(
        importlib.util.find_spec("imagecodecs") is not None, reason="imagecodecs is installed"
    )
    @pytest.mark.parametrize("code", [tifffile.COMPRESSION.LZW, tifffile.COMPRESSION.ZSTD])
    def test_compression_that_needs_a_package(self, tmp_path, stack, csv, code):
        if code == tifffile.COMPRESSION.ZSTD and sys.version_info >= (3, 14):
            pytest.skip("this Python reads it")
        tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
        with tifffile.TiffFile(tmp_path / "scan.tif", mode="r+b") as tiff:
            tiff.pages[0].tags["Compression"].overwrite(int(code))
        with pytest.raises(
            ValueError, match=rf"compressed \({code.name}\): pip install imagecodecs, or save it unc"
        ):
            read_raw(tmp_path / "scan.tif", csv)

    def test_empty(self, tmp_path, csv):
        (tmp_path / "scan.tif").write_bytes(b"")
        with pytest.raises(ValueError, match="0 bytes"):
            read_raw(tmp_path / "scan.tif", csv)

    @pytest.mark.parametrize("whole", [True, False], ids=["one block", "page by page"])
    @pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.8, 0.97])
    def test_truncated(self, tmp_path, csv, whole, part):
        path = tmp_path / "scan.tif"
        stack = np.random.default_rng(0).uniform(1, 2, (4, 50, 60)).astype(np.float32)
        with tifffile.TiffWriter(path) as tiff:
            for block in [stack] if whole else stack:
                tiff.write(block, metadata=None, contiguous=False, photometric="minisblack")
        content = path.read_bytes()
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ValueError, match="truncated"):
            read_raw(path, csv)

    def test_text_called_tiff(self, tmp_path, csv):
        (tmp_path / "scan.tif").write_text("this is no picture")
        with pytest.raises(ValueError, match="not a TIFF"):
            read_raw(tmp_path / "scan.tif", csv)

    def test_counts_need_flats(self, tmp_path, stack, csv):
        tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
        with pytest.raises(ValueError, match="counts need flat and dark"):
            read_raw(tmp_path / "scan.tif", csv, kind="counts")


class TestDXchange:
    def write(self, path, **datasets):
        with h5py.File(path, "w") as file:
            for name, value in datasets.items():
                file[f"exchange/{name}"] = value
        return path

    def test_tooth(self, data_dir):
        raw = read_raw(data_dir / "tooth_aps2bm" / "tooth.h5")
        assert raw.projections.shape == (181, 2, 640) and raw.kind == "counts"
        assert raw.flat.shape == raw.dark.shape == (2, 640)
        np.testing.assert_allclose(raw.theta_rad, np.deg2rad(np.arange(181) * 0.994475138), atol=1e-6)

    def test_without_flats_it_is_absorption(self, tmp_path, stack):
        raw = read_raw(self.write(tmp_path / "scan.h5", data=stack, theta=DEGREES))
        assert raw.kind == "absorption" and raw.flat is None
        np.testing.assert_allclose(raw.theta_rad, THETA)

    def test_frames_are_averaged(self, tmp_path, stack):
        white = np.stack([np.full((5, 6), 3.0), np.full((5, 6), 5.0)])
        path = self.write(
            tmp_path / "scan.h5", data=stack, theta=DEGREES, data_white=white, data_dark=white[:1] * 0
        )
        raw = read_raw(path)
        np.testing.assert_allclose(raw.flat, 4.0)
        assert read_raw(path, kind="absorption").flat is None

    def test_angles_beside_it_win(self, tmp_path, stack, csv):
        path = self.write(tmp_path / "scan.h5", data=stack, theta=DEGREES + 1)
        np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)
        path = self.write(tmp_path / "bare.h5", data=stack)
        np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)

    def test_the_unit_given_wins_over_degrees(self, tmp_path, stack):
        path = self.write(tmp_path / "scan.h5", data=stack, theta=THETA)
        np.testing.assert_allclose(read_raw(path, angle_unit="rad").theta_rad, THETA)

    def test_no_theta_is_not_guessed(self, tmp_path, stack):
        path = self.write(tmp_path / "scan.h5", data=stack)
        with pytest.raises(ValueError, match=r"no angles.*--angles"):
            read_raw(path)

    def test_no_data(self, tmp_path, stack):
        path = self.write(tmp_path / "scan.h5", theta=DEGREES)
        with pytest.raises(ValueError, match="found /exchange/theta"):
            read_raw(path)

    def test_flat_of_another_shape(self, tmp_path, stack):
        path = self.write(
            tmp_path / "scan.h5",
            data=stack,
            theta=DEGREES,
            data_white=np.ones((5, 5)),
            data_dark=np.ones((5, 5)),
        )
        with pytest.raises(ValueError, match=r"flat has shape \(5, 5\); expected \(5, 6\)"):
            read_raw(path)

    def test_flat_without_dark(self, tmp_path, stack):
        path = self.write(tmp_path / "scan.h5", data=stack, theta=DEGREES, data_white=np.ones((5, 6)))
        with pytest.raises(ValueError, match="no dark"):
            read_raw(path)


class TestNXtomo:
    def test_keys_sort_the_frames(self, tmp_path, stack):
        flat, dark = np.full((2, 5, 6), 9.0, np.float32), np.full((1, 5, 6), 0.5, np.float32)
        spoilt = np.full((1, 5, 6), np.nan, np.float32)
        frames = np.concatenate([dark, flat, stack[:2], spoilt, stack[2:], flat])
        keys = [2, 1, 1, 0, 0, 3, 0, 0, 1, 1]
        angles = [0, 0, 0, *DEGREES[:2], 77, *DEGREES[2:], 120, 120]
        raw = read_raw(nxtomo(tmp_path / "scan.nxs", frames, keys, angles))
        np.testing.assert_array_equal(raw.projections, stack)
        np.testing.assert_allclose(raw.theta_rad, THETA)
        assert raw.kind == "counts" and np.all(raw.flat == 9) and np.all(raw.dark == 0.5)

    @pytest.mark.parametrize(
        ("angles", "units"),
        [(DEGREES, "degrees"), (DEGREES, "deg"), (DEGREES, None), (THETA, "rad"), (THETA, b"Radian")],
    )
    def test_units(self, tmp_path, stack, angles, units):
        raw = read_raw(nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, angles, units))
        np.testing.assert_allclose(raw.theta_rad, THETA)
        assert raw.kind == "absorption"

    def test_a_unit_against_the_attribute(self, tmp_path, stack):
        path = nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, THETA, "rad")
        np.testing.assert_allclose(read_raw(path, angle_unit="rad").theta_rad, THETA)
        with pytest.raises(ValueError, match=r"rotation_angle is in 'rad' but the angle unit is 'deg'"):
            read_raw(path, angle_unit="deg")

    def test_no_rotation_angle(self, tmp_path, stack, csv):
        path = nxtomo(tmp_path / "scan.nxs", stack, [0] * 4, None)
        with pytest.raises(ValueError, match=r"NXtomo.*no angles.*rotation_angle.*--angles"):
            read_raw(path)
        np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)

    def test_only_flats(self, tmp_path, stack):
        with pytest.raises(ValueError, match="no projection"):
            read_raw(nxtomo(tmp_path / "scan.nxs", stack, [1] * 4, DEGREES))

    def test_too_few_keys(self, tmp_path, stack):
        with pytest.raises(ValueError, match=r"3 frames but .* 4"):
            read_raw(nxtomo(tmp_path / "scan.nxs", stack, [0] * 3, DEGREES))


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

    def test_none_is_guessed(self, path):
        with pytest.raises(ValueError, match=r"2 tomographies \(/entry0000, /entry0001\).*'default'.*h5copy"):
            read_raw(path)

    @pytest.mark.parametrize("default", ["entry0001", b"/entry0001"])
    def test_the_default_is_read(self, path, stack, default):
        with h5py.File(path, "a") as file:
            file.attrs["default"] = default
        raw = read_raw(path)
        np.testing.assert_array_equal(raw.projections, stack + 1)
        np.testing.assert_allclose(raw.theta_rad, np.deg2rad(DEGREES + 1))

    def test_a_default_that_is_none_of_them(self, path):
        with h5py.File(path, "a") as file:
            file.attrs["default"] = "entry0002"
        with pytest.raises(ValueError, match="2 tomographies"):
            read_raw(path)

    def test_entries_inside_one(self, path):
        with h5py.File(path, "a") as file:
            for n in range(2):
                file.move(f"entry000{n}", f"all/entry000{n}")
        with pytest.raises(ValueError, match="/all/entry0000, /all/entry0001"):
            read_raw(path)

    def test_an_entry_of_flats_is_none(self, path, stack):
        with h5py.File(path, "a") as file:
            file["entry0000/instrument/detector/image_key"][:] = 1
        np.testing.assert_array_equal(read_raw(path).projections, stack + 1)

    def test_a_link_to_an_entry_is_the_same_one(self, path, stack):
        with h5py.File(path, "a") as file:
            del file["entry0000"]
            file["a_link"] = h5py.SoftLink("/entry0001")
            file["entry_of_links/data"] = file["entry0001/data"]
            file["entry_of_links"].attrs["NX_class"] = "NXentry"
        np.testing.assert_array_equal(read_raw(path).projections, stack + 1)


class TestHDF5:
    @pytest.mark.parametrize(("code", "name"), [(32008, "bitshuffle"), (32004, "LZ4"), (40000, "")])
    @pytest.mark.parametrize("linked", [False, True])
    def test_a_filter_that_is_not_installed(self, tmp_path, monkeypatch, code, name, linked):
        with h5py.File(tmp_path / "raw.h5", "w") as file:
            data = file.create_dataset(
                "exchange/data",
                (4, 5, 6),
                "f4",
                chunks=(4, 5, 6),
                compression=code,
                allow_unknown_filter=True,
            )
            data.id.write_direct_chunk((0, 0, 0), b"compressed")
            file["exchange/theta"] = DEGREES
        layout = h5py.VirtualLayout((4, 5, 6), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "raw.h5", "exchange/data", (4, 5, 6))
        with h5py.File(tmp_path / "linked.h5", "w") as file:
            file.create_virtual_dataset("exchange/data", layout)
            file["exchange/theta"] = DEGREES
        # A plugin package without this filter.
        (tmp_path / "hdf5plugin.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "hdf5plugin", raising=False)
        what = "of a linked file" if linked else f"{code} {name}".strip()
        with pytest.raises(
            ValueError, match=rf"/exchange/data .* HDF5 filter .* \({what}\):.*hdf5plugin.*h5repack"
        ):
            read_raw(tmp_path / ("linked.h5" if linked else "raw.h5"))
        assert sys.modules.pop("hdf5plugin").__file__ == str(tmp_path / "hdf5plugin.py")

    def test_angles_that_are_text(self, tmp_path, stack, csv):
        path = TestDXchange().write(tmp_path / "scan.h5", data=stack, theta=["0", "40", "80", "120"])
        with pytest.raises(
            ValueError, match=r"scan\.h5: /exchange/theta is text; expected numbers.*--angles CSV"
        ):
            read_raw(path)
        np.testing.assert_allclose(read_raw(path, csv).theta_rad, THETA)

    def test_text_called_hdf5(self, tmp_path):
        (tmp_path / "scan.h5").write_text("no")
        with pytest.raises(ValueError, match="not an HDF5 file"):
            read_raw(tmp_path / "scan.h5")

    def test_empty(self, tmp_path):
        (tmp_path / "scan.h5").write_bytes(b"")
        with pytest.raises(ValueError, match="0 bytes"):
            read_raw(tmp_path / "scan.h5")

    def test_truncated(self, tmp_path, stack):
        path = TestDXchange().write(tmp_path / "scan.h5", data=stack, theta=DEGREES)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match="truncated"):
            read_raw(path)

    def test_another_layout(self, tmp_path):
        with h5py.File(tmp_path / "scan.h5", "w") as file:
            file["results/volume"] = np.ones(3)
        with pytest.raises(
            ValueError, match=r"none of the known formats.*DXchange.*NXtomo.*found /results/volume"
        ):
            read_raw(tmp_path / "scan.h5")


class TestNpz:
    @pytest.mark.parametrize(
        ("name", "values"), [("theta_rad", THETA), ("theta_deg", DEGREES), ("angles_deg", DEGREES)]
    )
    def test_names_of_the_angles(self, tmp_path, stack, name, values):
        np.savez(tmp_path / "scan.npz", projections=stack, center=2.25, **{name: values})
        raw = read_raw(tmp_path / "scan.npz")
        np.testing.assert_allclose(raw.theta_rad, THETA)
        assert raw.center == 2.25 and raw.kind == "absorption"

    def test_i13(self, data_dir):
        raw = read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz")
        assert raw.projections.shape == (91, 135, 160) and raw.kind == "counts"
        np.testing.assert_allclose(np.rad2deg(raw.theta_rad[[0, -1]]), [-88.2, 91.7999])

    def test_angles_beside_it_win(self, tmp_path, stack, csv):
        np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES + 5)
        np.testing.assert_allclose(read_raw(tmp_path / "scan.npz", csv).theta_rad, THETA)

    def test_pickled_arrays_are_not_loaded(self, tmp_path, stack):
        ragged = np.empty(2, object)
        ragged[:] = [[1.0], [1.0, 2.0]]
        np.savez(tmp_path / "scan.npz", projections=ragged, theta_deg=DEGREES, allow_pickle=True)
        with pytest.raises(ValueError, match="pickled"):
            read_raw(tmp_path / "scan.npz")

    def test_a_pickle_called_npz(self, tmp_path):
        (tmp_path / "scan.npz").write_bytes(pickle.dumps({"projections": 1}))
        with pytest.raises(ValueError, match="pickled"):
            read_raw(tmp_path / "scan.npz")

    def test_truncated(self, tmp_path, stack):
        np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
        content = (tmp_path / "scan.npz").read_bytes()
        (tmp_path / "scan.npz").write_bytes(content[: len(content) // 2])
        with pytest.raises(ValueError, match="truncated"):
            read_raw(tmp_path / "scan.npz")

    def test_damaged_inside(self, tmp_path, stack):
        np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
        content = bytearray((tmp_path / "scan.npz").read_bytes())
        content[300:320] = bytes(20)
        (tmp_path / "scan.npz").write_bytes(bytes(content))
        with pytest.raises(ValueError, match="damaged"):
            read_raw(tmp_path / "scan.npz")

    @pytest.mark.parametrize("kind", ["data", "method", "password"])
    def test_damaged_and_compressed(self, tmp_path, stack, kind):
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
    def test_angles_that_are_text(self, tmp_path, stack, angles):
        np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=angles)
        with pytest.raises(ValueError, match=r"scan\.npz: theta_deg is text; expected numbers.*--angles CSV"):
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
    def test_bad_contents(self, tmp_path, stack, change, message):
        arrays = {"projections": stack, "theta_deg": DEGREES, **change}
        np.savez(tmp_path / "scan.npz", **{k: v for k, v in arrays.items() if v is not None})
        with pytest.raises(ValueError, match=message):
            read_raw(tmp_path / "scan.npz")

    def test_a_unit_against_the_name(self, tmp_path, stack):
        np.savez(tmp_path / "scan.npz", projections=stack, theta_deg=DEGREES)
        with pytest.raises(ValueError, match=r"theta_deg.*'rad'"):
            read_raw(tmp_path / "scan.npz", angle_unit="rad")


def test_every_reader_takes_the_unit_of_the_csv_header(tmp_path, stack):
    csv = tmp_path / "angles.csv"
    csv.write_text("theta_rad\n" + "\n".join(map(str, THETA)))
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    np.savez(tmp_path / "scan.npz", projections=stack)
    TestDXchange().write(tmp_path / "scan.h5", data=stack)
    for name in ("scan.tif", "scan.npz", "scan.h5"):
        np.testing.assert_allclose(read_raw(tmp_path / name, csv).theta_rad, THETA)
        with pytest.raises(ValueError, match="the angle unit is 'deg'"):
            read_raw(tmp_path / name, csv, angle_unit="deg")


def test_missing_files_and_folders(tmp_path, stack):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_raw(tmp_path / "none.tif")
    tifffile.imwrite(tmp_path / "scan.tif", stack, photometric="minisblack")
    with pytest.raises(FileNotFoundError, match=r"angles\.csv does not exist"):
        read_raw(tmp_path / "scan.tif", tmp_path / "angles.csv")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_raw(tmp_path)


def test_an_unknown_format(tmp_path):
    (tmp_path / "scan.xyz").write_text("words")
    with pytest.raises(ValueError, match="none of the known formats"):
        read_raw(tmp_path / "scan.xyz")


def test_an_unknown_kind(stack):
    with pytest.raises(ValueError, match="counts, transmission, absorption"):
        RawScan.create(stack, THETA, kind="phase")
