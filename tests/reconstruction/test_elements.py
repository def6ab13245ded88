"""Several elements of a scan: their names in every format, and one geometry for all."""

from __future__ import annotations

import dataclasses

import field_files
import h5py
import numpy as np
import pytest
from analytic import THETA
from elements_scan import ELEMENTS, elements_content, elements_scan
from field_files import scan_content

import pfitre_jax as pf
from pfitre_jax.data.alignment_files import write_xf
from pfitre_jax.data.readers.registry import list_elements
from pfitre_jax.reconstruction import elements
from pfitre_jax.reconstruction.elements import find_elements, load_elements
from pfitre_jax.reconstruction.file_names import element_folders

MOTION = dataclasses.replace(
    pf.Motion.none(THETA, 16.5), shifts=np.linspace(-1, 1, len(THETA)), gain=np.full(len(THETA), 1.1)
)


@pytest.fixture(scope="module", name="path")
def _path(tmp_path_factory):
    return elements_scan(tmp_path_factory.mktemp("scan"))


@pytest.mark.parametrize(
    ("write", "names"),
    [
        (field_files.xrf_tomo, ["Cu_K", "Zn_K"]),
        (field_files.pyxrf_folder, ["Cu_K", "Zn_K"]),
        (field_files.pyxrf_volume, ["Cu_K", "Zn_K"]),
        (field_files.maps_folder, ["Cu", "Zn"]),
        (field_files.xrftomo_export, ["Cu", "Zn"]),
        (field_files.pyxalign, ["Cu", "Zn"]),
    ],
)
def test_elements_of_every_format_with_several_channels(tmp_path, write, names):
    content = scan_content()
    path, _ = write(tmp_path, content)
    assert find_elements(path, "all") == names
    scans = load_elements(path, "Zn, cu", center=17.0)
    assert list(scans) == names[::-1]
    for name, stack in zip(names, content.maps.values(), strict=True):
        np.testing.assert_allclose(scans[name].projections, stack, atol=1e-4)
        assert scans[name].center == 17.0


def test_groups_of_dxchange_and_indices_of_an_axis_are_channels(tmp_path):
    content = scan_content()
    with h5py.File(tmp_path / "groups.h5", "w") as file:
        for group, stack in zip(("exchange", "exchange1"), content.maps.values(), strict=True):
            file[f"{group}/data"], file[f"{group}/theta"] = stack, content.degrees
    assert find_elements(tmp_path / "groups.h5", "all") == ["exchange", "exchange1"]
    scans = load_elements(tmp_path / "groups.h5", ["exchange1", "exchange"], center=17.0)
    np.testing.assert_allclose(scans["exchange1"].projections, content.maps["Zn_K"], atol=1e-4)
    # Without a name, the first group is read, as before.
    assert list_elements(field_files.dxchange_rotation(tmp_path, content)[0]) == ()
    first = pf.load_scan(tmp_path / "groups.h5")
    np.testing.assert_array_equal(first.projections, scans["exchange"].projections)
    path, options = field_files.unknown_hdf5(tmp_path, content)
    options.pop("element")
    scans = load_elements(path, "all", center=17.0, **options)
    np.testing.assert_allclose(scans["1"].projections, content.maps["Zn_K"], atol=1e-4)


def test_the_geometry_is_estimated_once_and_applied_to_all(path, monkeypatch):
    calls = []

    def align(scan, start, **options):
        calls.append((scan.provenance["element"], start.center))
        return pf.Alignment(MOTION, np.zeros(1), np.ones(1, int), [], [])

    monkeypatch.setattr(elements, "estimate_motion", align)
    scans = pf.load_elements(path, align=True, center=16.9, align_on="Fe")
    assert calls == [("Fe_K", 16.9)] and tuple(scans) == ELEMENTS
    for name, scan in scans.items():
        own = MOTION if name == "Fe_K" else MOTION.without_gain()
        expected = own.corrected(pf.load_scan(path, element=name))
        np.testing.assert_array_equal(scan.projections, expected.projections)
        assert scan.center == 16.5


def test_axis_and_roll_of_the_reference_are_those_of_all(path):
    alone = pf.with_center(pf.load_scan(path, element="Cu"))
    scans = pf.load_elements(path, "Zn,Cu")
    assert {scan.center for scan in scans.values()} == {alone.center}
    assert all(scan.provenance["center"].endswith(", of Cu_K") for scan in scans.values())
    rolled = pf.load_elements(path, "Zn,Cu", roll=1.0, center=17.0)
    for name, scan in rolled.items():
        expected = pf.load_scan(path, element=name, roll=1.0, center=17.0)
        assert scan.roll_deg == 1.0
        np.testing.assert_array_equal(scan.projections, expected.projections)


def test_a_known_alignment_is_applied_to_all(path, tmp_path):
    write_xf(tmp_path / "scan.xf", MOTION, 33)
    scans = pf.load_elements(path, "Cu,Zn", alignment=tmp_path / "scan.xf")
    for name, scan in scans.items():
        expected = MOTION.without_gain().corrected(pf.load_scan(path, element=name))
        np.testing.assert_allclose(scan.projections, expected.projections, atol=2e-3)
        assert scan.center == pytest.approx(16.5, abs=1e-4)
    # Gains of an element that is not read correct none.
    dataclasses.replace(MOTION, element="Fe_K").save(tmp_path / "iron.csv")
    scans = pf.load_elements(path, "Cu,Zn", alignment=tmp_path / "iron.csv")
    for name, scan in scans.items():
        expected = MOTION.without_gain().corrected(pf.load_scan(path, element=name))
        np.testing.assert_allclose(scan.projections, expected.projections, atol=1e-6)
        assert any("because they are those of Fe_K" in warning for warning in scan.warnings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roll": "auto"}, "roll is 'auto' with an alignment"),
        ({"roll": 1.0}, "roll is 1 with the file of an alignment, which states it"),
        ({"roll": 91.0}, "between -90 and 90"),
        ({"center": 16.0}, "center is 16.0 with the file of an alignment, which states it"),
        ({"drift": True}, "drift=True without align=True"),
    ],
)
def test_arguments_that_an_alignment_overrides_are_refused(path, tmp_path, options, message):
    write_xf(tmp_path / "scan.xf", MOTION, 33)
    with pytest.raises(ValueError, match=message):
        pf.load_elements(path, alignment=tmp_path / "scan.xf", **options)


def test_an_element_that_lacks_a_view_uses_the_motion_of_the_others(tmp_path, monkeypatch):
    content = elements_content(("Cu_K", "Zn_K"))
    content.maps["Zn_K"][5] = 0.0
    path = field_files.xrf_tomo(tmp_path, content)[0]
    monkeypatch.setattr(
        elements,
        "estimate_motion",
        lambda scan, start, **options: pf.Alignment(
            dataclasses.replace(MOTION.take_views(np.isin(THETA, scan.theta_rad))),
            np.zeros(1), np.ones(1, int), [], [],
        ),
    )  # fmt: skip
    scans = pf.load_elements(path, align=True, center=17.0)
    assert [scan.views for scan in scans.values()] == [20, 19]
    # The other way round, a view that is not aligned is left out.
    scans = pf.load_elements(path, align=True, center=17.0, align_on="Zn")
    assert [scan.views for scan in scans.values()] == [19, 19]
    assert any("views 5 were left out, because they are not aligned" in w for w in scans["Cu_K"].warnings)


def test_elements_without_signal_are_left_out(tmp_path):
    path = elements_scan(tmp_path, ("empty", "Cu_K"))
    assert list(pf.load_elements(path)) == ["Cu_K"]
    with pytest.raises(ValueError, match=r"none of the elements empty has signal \(empty: all projections"):
        pf.load_elements(path, "empty")


def test_a_negative_element_is_left_out_and_one_that_is_not_finite_is_named(tmp_path):
    content = elements_content(("Cu_K", "Fe_K", "Zn_K"))
    content.maps["Fe_K"] *= -1
    path = field_files.xrf_tomo(tmp_path, content)[0]
    assert list(pf.load_elements(path, center=17.0)) == ["Cu_K", "Zn_K"]
    content.maps["Zn_K"][2, 1, 7] = np.nan
    path = field_files.xrf_tomo(tmp_path, content)[0]
    with pytest.raises(ValueError, match=r"^Zn_K: 1 bins are NaN .* first at view 2, row 1, column 7"):
        pf.load_elements(path, center=17.0)
    assert list(pf.load_elements(path, center=17.0, mask_nan=True)) == ["Cu_K", "Zn_K"]


@pytest.mark.parametrize(
    ("name", "folder"),
    [("Cu_K", "Cu_K"), ("../x", "_x_"), ("a/b", "a_b"), ("..", "_"), ("recon.h5", "recon.h5_"), ("Ω", "_")],
)
def test_the_folder_of_an_element_stays_inside_the_output_folder(name, folder):
    assert element_folders([name]) == {name: folder}


@pytest.mark.parametrize(
    "names", [("Cu K", "Cu_K", "cu_k", "Cu_K_2"), ("a/b", "a b"), ("RECON.H5", "recon.h5")]
)
def test_no_two_elements_have_one_folder(names):
    """Also not where upper and lower case are the same."""
    folders = element_folders(names)
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    assert folders == element_folders(names[::-1]) and set(folders) == set(names)
    assert "recon.h5" not in {folder.casefold() for folder in folders.values()}
    assert folders.get("Cu_K", "Cu_K") == "Cu_K"
