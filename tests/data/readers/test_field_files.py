"""Every format of the field reads to the same scan, and is refused in one message where it is damaged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from field_files import (
    FORMATS,
    Content,
    dxchange_rotation,
    maps_folder,
    pyxalign,
    pyxrf_folder,
    scan_content,
    xrf_tomo,
    xrftomo_export,
)
from pfitre_command import pfitre

import pfitre_jax as pf
from pfitre_jax.cli.errors import one_line
from pfitre_jax.data.preprocess import minus_log
from pfitre_jax.data.readers.registry import list_elements, open_raw, read_raw

CONTENT = scan_content()
COPPER = CONTENT.maps["Cu_K"]
HDF5_FORMATS = [name for name, format in FORMATS.items() if format.signal]


@pytest.fixture(scope="module", name="reference")
def _reference(tmp_path_factory):
    """The reconstruction of the same scan in an ``.npz`` archive."""
    path = tmp_path_factory.mktemp("reference") / "scan.npz"
    np.savez(path, projections=COPPER, theta_deg=CONTENT.degrees, center=17.0)
    return pf.reconstruct(pf.load_scan(path), method="fbp", support="disc").volume


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_scan_in_every_format(tmp_path, reference, name):
    """Values, angles, order of the views, channels, unit of length, and the reconstruction to 1e-6."""
    format = FORMATS[name]
    path, options = format.write(tmp_path, CONTENT)
    raw = open_raw(path, **options)
    assert raw.provenance["format"] == format.reader
    values, _ = minus_log(raw.load())
    np.testing.assert_allclose(values, COPPER, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.rad2deg(raw.theta_rad), CONTENT.degrees, atol=1e-4)
    part, _ = minus_log(raw.load(slice(1, 2)))
    np.testing.assert_allclose(part, COPPER[:, 1:2], rtol=1e-6, atol=1e-6)
    if "dataset" not in options:
        assert list_elements(path) == format.elements
    if format.elements:
        assert raw.provenance["element"] == format.elements[0]
    assert raw.pixel_size == (pytest.approx(CONTENT.pixel_um, rel=1e-4) if format.pixel_size else None)
    # The pixel size only changes the unit of the volume.
    scan = pf.load_scan(path, center=17.0, pixel_size=1.0, **options)
    volume = pf.reconstruct(scan, method="fbp", support="disc").volume
    np.testing.assert_allclose(volume, reference, atol=1e-6 * np.abs(reference).max())


# Malformed files. Each case changes a file of a valid scan; its message names the dataset, or the file.


def member(path: Path) -> Path:
    """The file itself, or one in the middle of a folder."""
    return sorted(path.glob("*.*5"))[3] if path.is_dir() else path


def cut(share: float):
    def damage(path, format):
        content = member(path).read_bytes()
        member(path).write_bytes(content[: int(share * len(content))])
        return member(path).name

    return damage


def as_text(path, format):
    member(path).write_text("words")
    return member(path).name


def replace(values):
    """Replaces the projections by what ``values`` makes of them."""

    def damage(path, format):
        with h5py.File(member(path), "a") as file:
            old = file[format.signal][()]
            del file[format.signal]
            new = values(old)
            if new is not None:
                file[format.signal] = new
        return "/" + format.signal

    return damage


def declared_huge(path, format):
    with h5py.File(member(path), "a") as file:
        shape = file[format.signal].shape
        del file[format.signal]
        file.create_dataset(
            format.signal, (*shape[:-2], 10**6, 10**6), "f4", chunks=(*[1] * (len(shape) - 2), 100, 100)
        )
        if "exchange/i0" in file:
            del file["exchange/i0"]
    return "/" + format.signal


def change_angles(values):
    """Replaces the angles, or that of one view, by what ``values`` makes of them."""

    def damage(path, format):
        place, _, attribute = format.angles.partition("@")
        with h5py.File(member(path), "a") as file:
            if attribute:
                file[place].attrs[attribute] = values(np.atleast_1d(file[place].attrs[attribute]))
            else:
                old = file[place][()]
                del file[place]
                file[place] = values(np.asarray(old))
        return "/" + format.angles

    return damage


def no_angles(path, format):
    place, _, attribute = format.angles.partition("@")
    with h5py.File(member(path), "a") as file:
        if attribute:
            del file[place].attrs[attribute]
        else:
            del file[place]
    return "/" + format.angles


MALFORMED = {
    "1% of it": cut(0.01),
    "half of it": cut(0.5),
    "94% of it": cut(0.94),
    "text": as_text,
    "one axis more": replace(lambda old: old[None]),
    "one axis less": replace(lambda old: old[0]),
    "complex": replace(lambda old: old.astype(complex)),
    "words for numbers": replace(lambda old: np.full(old.shape, b"a")),
    "a null dataset": replace(lambda old: h5py.Empty("f4")),
    "declared huge": declared_huge,
    "no angles": no_angles,
    "angles that are words": change_angles(lambda old: np.full(old.shape, b"left")),
    "angles that are NaN": change_angles(lambda old: old * np.nan),
    "two angles a view": change_angles(lambda old: np.repeat(old, 2)),
}


@pytest.mark.parametrize(
    "name, case",
    [
        (name, case)
        for name in HDF5_FORMATS
        for case in MALFORMED
        if "angles" not in case or FORMATS[name].angles
    ],
)
def test_malformed_files_are_refused(tmp_path, name, case):
    path, options = FORMATS[name].write(tmp_path, CONTENT)
    place = MALFORMED[case](path, FORMATS[name])
    with pytest.raises((ValueError, OSError)) as caught:
        open_raw(path, **options).load()
    message = one_line(caught.value)
    about_values = ("one axis", "complex", "words for", "angles that are NaN", "two angles")
    # RawScan, which refuses these, does not know the dataset; the message states the shape or the type.
    assert place in message or case.startswith(about_values), message
    assert str(tmp_path) in message or case.startswith(about_values), message
    assert "expected" in message or "copy it again" in message or "angles.csv" in message
    assert len(message) < 1000


def test_a_malformed_folder_ends_the_command_with_one_line(tmp_path):
    """Exit code 2, one message that names the file, and no file is written."""
    path, _ = pyxrf_folder(tmp_path, CONTENT)
    damaged = cut(0.5)(path, None)
    command = [
        sys.executable,
        "-m",
        "pfitre_jax.cli",
        "recon",
        "pyxrf",
        "--element",
        "Cu",
        "--method",
        "fbp",
        "--out",
        "out",
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(pf.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1 and damaged in done.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["pyxrf"]


# Channels, units and views.


def test_the_element_must_be_named_among_several(tmp_path):
    path, _ = xrf_tomo(tmp_path, CONTENT)
    with pytest.raises(ValueError, match=r"2 channels \(Cu_K, Zn_K\).*element='Cu_K'"):
        open_raw(path)
    with pytest.raises(ValueError, match="no channel 'Fe'; expected one of Cu_K, Zn_K"):
        open_raw(path, element="Fe")
    zinc = read_raw(path, element="zn_k")
    np.testing.assert_allclose(zinc.array, CONTENT.maps["Zn_K"], rtol=1e-6, atol=1e-6)


def test_an_option_that_the_format_does_not_take(tmp_path):
    path, _ = dxchange_rotation(tmp_path, CONTENT)
    with pytest.raises(ValueError, match=r"\(DXchange\) has no use for element='Cu'.*: leave it out"):
        open_raw(path, element="Cu", axis_order=None)
    with pytest.raises(ValueError, match=r"no use for axis_order=row,view,column;.*dataset='/PATH'"):
        open_raw(path, axis_order="row,view,column")
    with pytest.raises(ValueError, match=r"expected view, row and column"):
        open_raw(path, axis_order="row,row,column")


def test_millidegrees_are_never_degrees(tmp_path):
    """Without a unit in the file, angles of more than four turns are refused, unless the unit is stated."""
    path, options = pyxrf_folder(tmp_path, CONTENT, units=None)
    with pytest.raises(ValueError, match=r"these look like millidegrees.*angle_unit='mdeg'"):
        open_raw(path, **options)
    stated = open_raw(path, angle_unit="mdeg", **options)
    np.testing.assert_allclose(np.rad2deg(stated.theta_rad), CONTENT.degrees, atol=1e-4)
    (tmp_path / "other").mkdir()
    path, options = pyxrf_folder(tmp_path / "other", CONTENT, units="mdeg")
    with pytest.raises(ValueError, match="is in 'mdeg' but the angle unit is 'deg'"):
        open_raw(path, angle_unit="deg", **options)
    (tmp_path / "wrong").mkdir()
    path, options = pyxrf_folder(tmp_path / "wrong", CONTENT, units="deg")
    with pytest.raises(ValueError, match=r"these look like millidegrees"):
        open_raw(path, **options)


def test_an_interrupted_map_is_left_out_and_named(tmp_path):
    path, options = pyxrf_folder(tmp_path, CONTENT)
    damaged = member(path)
    with h5py.File(damaged, "a") as file:
        for name in ("xrfmap/detsum/xrf_fit", "xrfmap/scalers/val"):
            old = file[name][()]
            del file[name]
            file[name] = old[:, :2] if name.endswith("fit") else old[:2]
    raw = read_raw(path, **options)
    assert raw.projections.shape == (len(CONTENT.degrees) - 1, *COPPER.shape[1:])
    assert any(damaged.name in warning for warning in raw.warnings)
    view = int(damaged.stem.split("_")[1]) - 95
    np.testing.assert_allclose(np.rad2deg(raw.theta_rad), np.delete(CONTENT.degrees, view), atol=1e-4)


def test_the_beam_is_measured_in_all_views_or_in_none(tmp_path):
    path, options = pyxrf_folder(tmp_path, CONTENT)
    with h5py.File(member(path), "a") as file:
        del file["xrfmap/scalers/name"]
    with pytest.raises(
        ValueError, match=rf"1 of 20 files hold no counter of the beam \({member(path).name}\)"
    ):
        open_raw(path, **options)
    for view in path.glob("*.h5"):
        with h5py.File(view, "a") as file:
            del file["xrfmap/scalers"]
    raw = read_raw(path, **options)
    np.testing.assert_allclose(raw.array, COPPER * CONTENT.beam, rtol=1e-6)
    assert any("not normalized" in note for note in raw.warnings)


def test_shifts_of_xrf_tomo_that_were_not_applied_are_reported(tmp_path):
    path, options = xrf_tomo(tmp_path, CONTENT, aligned=True)
    with h5py.File(path, "a") as file:
        file["reconstruction/recon/del_x"][:] = np.arange(len(CONTENT.degrees))
    assert any("del_x" in warning for warning in open_raw(path, **options).warnings)
    with h5py.File(path, "a") as file:
        file["reconstruction/recon/proj"][:] = np.roll(file["reconstruction/recon/proj"][:], 1, axis=-1)
    assert not any("del_x" in warning for warning in open_raw(path, **options).warnings)
    assert open_raw(path, **options).center == 17.0


def test_a_bin_without_beam_is_refused_or_masked(tmp_path):
    path, options = xrf_tomo(tmp_path, CONTENT)
    with h5py.File(path, "a") as file:
        file["exchange/i0"][3, 1, 5] = 0
    with pytest.raises(ValueError, match=r"view 3, row 1, column 5.*mask_nan=True"):
        pf.load_scan(path, **options)
    assert not pf.load_scan(path, mask_nan=True, **options).mask[3, 1, 5]


# Process variables, groups and datasets that the caller names.


def test_the_process_variable_of_the_angle(tmp_path):
    path, options = maps_folder(tmp_path, CONTENT)
    with pytest.raises(ValueError, match=r"2xfm:m99\.VAL is not among its process variables"):
        open_raw(path, theta_path="2xfm:m99.VAL", **options)
    with pytest.raises(ValueError, match=r"all 20 views have the same angle, 17\.5 degrees"):
        open_raw(path, theta_path="2xfm:m12.VAL", **options)
    with h5py.File(member(path), "a") as file:
        del file["MAPS/Scan/Extra_PVs/Values"]
    with pytest.raises(ValueError, match=rf"1 of 20 files .*{member(path).name}"):
        open_raw(path, **options)


def test_another_dataset_of_maps(tmp_path):
    path, options = maps_folder(tmp_path, CONTENT)
    raw = read_raw(path, dataset="/MAPS/XRF_Analyzed/ROI/Counts_Per_Sec", **options)
    np.testing.assert_allclose(raw.array, 2 * COPPER, rtol=1e-6, atol=1e-6)
    with pytest.raises(
        ValueError, match=r"no dataset /MAPS/XRF_Analyzed/Fitted/Counts_Per_Sec; expected /MAPS"
    ):
        open_raw(path, dataset="/MAPS/XRF_Analyzed/Fitted/Counts_Per_Sec", **options)


def test_a_numbered_group_of_dxchange(tmp_path):
    path, _ = dxchange_rotation(tmp_path, CONTENT)
    with h5py.File(path, "a") as file:
        file["exchange/data"], file["exchange/theta"] = 2 * COPPER, CONTENT.degrees
    np.testing.assert_allclose(read_raw(path).array, 2 * COPPER)
    np.testing.assert_allclose(read_raw(path, dataset="/exchange1/data").array, COPPER)
    with pytest.raises(
        ValueError, match=r"'exchange2/data'; expected one of /exchange/data, /exchange1/data"
    ):
        open_raw(path, dataset="exchange2/data")


def test_the_center_of_pyxalign_and_its_planned_shifts(tmp_path):
    path, options = pyxalign(tmp_path, CONTENT)
    raw = open_raw(path, **options)
    assert raw.center == 17.0 and not raw.warnings
    with h5py.File(path, "a") as file:
        file["projections/Cu/staged_shift"][3] = 1
    assert "staged_shift" in open_raw(path, **options).warnings[0]


def test_one_name_for_each_map(tmp_path):
    path, options = xrftomo_export(tmp_path, Content({"Cu": COPPER}, CONTENT.beam, CONTENT.degrees, 1.0))
    assert list_elements(path) == ("Cu",) and open_raw(path).provenance["element"] == "Cu"
    with h5py.File(path, "a") as file:
        del file["elements"]
        file["elements"] = [b"Cu", b"Zn"]
    with pytest.raises(ValueError, match=r"/data has the shape .* one stack for each of /elements"):
        open_raw(path, **options)


# The command line.


def test_the_commands_take_the_options_of_the_readers(tmp_path, monkeypatch):
    """An element by inspect and recon; another element is another result; results do not go to the views."""
    monkeypatch.chdir(tmp_path)
    path, _ = pyxrf_folder(tmp_path, CONTENT)
    done = pfitre("inspect", path.name, "--element", "zn")
    assert done.exit_code == 0 and "element          Zn_K" in done.stdout, done.output
    assert "pixel size       0.05 um" in done.stdout
    words = ("recon", path.name, "--method", "fbp", "--center", "17", "--support", "disc")
    done = pfitre(*words, "--element", "Cu", "--out", path.name)
    assert done.exit_code == 2 and "--out is pyxrf, the folder of the scan" in done.stderr
    assert pfitre(*words, "--element", "Cu", "--out", "out").exit_code == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["scan"]["element"] == "Cu_K" and summary["units"] == "1/um"
    done = pfitre(*words, "--element", "Zn", "--out", "out")
    assert done.exit_code == 2 and "element" in done.stderr
