"""Order of the axes of projections: stated in any way of HDF5 and NeXus, it is honoured."""

from __future__ import annotations

import itertools

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_formats import DEGREES, THETA, write_exchange, write_nxtomo

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.axis_order import names_of_axes
from pfitre_jax.data.readers.registry import open_raw, read_raw

NAMES = {
    "views": ("theta", "rotation_angle", "angle", "Views", "projection", "frames", "sample/rotation_angle"),
    "rows": ("y", "row", "rows", "detector_y", "y_pixel_offset", "z", "slices"),
    "columns": ("x", "column", "cols", "detector_x", "x_pixel_offset"),
}
ROLES = ("views", "rows", "columns")


def state(file, name, axes, how):
    """Writes the names of the axes of a dataset in one of the ways that exist."""
    data, group = file[name], file[name].parent
    if how == "attribute":
        data.attrs["axes"] = ":".join(axes)
    elif how == "list":
        data.attrs["axes"] = [axis.encode() for axis in axes]
    elif how == "json":
        data.attrs["axes"] = "[" + ", ".join(f'"{axis}"' for axis in axes) + "]"
    elif how == "NXdata":
        group.attrs["NX_class"], group.attrs["signal"] = "NXdata", name.split("/")[-1]
        group.attrs["axes"] = axes
    elif how == "indices":
        for index, axis in enumerate(axes):
            group.attrs[f"{axis.split('/')[-1]}_indices"] = index
    elif how == "labels":
        for index, axis in enumerate(axes):
            data.dims[index].label = axis
    elif how == "scales":
        for index, axis in enumerate(axes):
            scale = file.create_dataset(f"scale_{index}", data=np.arange(data.shape[index]))
            scale.make_scale(axis)
            data.dims[index].attach_scale(scale)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(range(3)),
    how=st.sampled_from(["attribute", "list", "json", "NXdata", "indices", "labels", "scales"]),
    shape=st.tuples(st.integers(3, 5), st.integers(2, 5), st.integers(3, 5)),
    chunked=st.booleans(),
    data=st.data(),
)
def test_a_stated_order_is_honoured(tmp_path_factory, order, how, shape, chunked, data):
    """Also with equal lengths, which tell nothing, and row by row from the file."""
    names = [data.draw(st.sampled_from(NAMES[ROLES[axis]])) for axis in order]
    stack = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1
    path = tmp_path_factory.mktemp("axes") / "scan.h5"
    with h5py.File(path, "w") as file:
        stored = stack.transpose(order)
        file.create_dataset("exchange/data", data=stored, chunks=stored.shape if chunked else None)
        file["exchange/theta"] = np.linspace(0, 150, shape[0])
        state(file, "exchange/data", names, how)
    raw = open_raw(path)
    assert raw.projections.shape == shape and raw.warnings == ()
    np.testing.assert_array_equal(raw.array, stack)
    np.testing.assert_array_equal(raw.load(slice(1, 2)).projections, stack[:, 1:2])


def test_flats_and_darks_have_the_order_of_the_projections_or_their_own(tmp_path):
    rng = np.random.default_rng(0)
    stack = rng.uniform(1, 2, (4, 5, 6)).astype(np.float32)
    flat, dark = rng.uniform(3, 4, (2, 3, 5, 6)).astype(np.float32)
    dark -= 3
    expected = to_scan(
        read_raw(
            write_exchange(tmp_path / "a.h5", data=stack, theta=DEGREES, data_white=flat, data_dark=dark)
        )
    )
    for order in itertools.permutations(range(3)):
        for frames in (order, (0, 1, 2)):
            path = write_exchange(
                tmp_path / "b.h5",
                data=stack.transpose(order),
                theta=DEGREES,
                data_white=flat.transpose(frames),
                data_dark=dark.transpose(frames),
            )
            with h5py.File(path, "a") as file:
                state(file, "exchange/data", ["theta y x".split()[axis] for axis in order], "attribute")
            scan = to_scan(read_raw(path))
            np.testing.assert_array_equal(scan.projections, expected.projections)


def test_frames_that_fit_in_two_orders_are_refused(tmp_path):
    stack = np.ones((4, 5, 6), np.float32)
    path = write_exchange(
        tmp_path / "a.h5",
        data=stack.transpose(1, 0, 2),
        theta=DEGREES,
        data_white=np.ones((5, 5, 6)),
        data_dark=np.zeros((5, 5, 6)),
    )
    with h5py.File(path, "a") as file:
        state(file, "exchange/data", ["y", "theta", "x"], "attribute")
    with pytest.raises(ValueError, match=r"/exchange/data_white of shape .* expected an attribute 'axes'"):
        read_raw(path)


def test_z_beside_y_is_the_axis_of_the_views(tmp_path, stack):
    """As general programs label a stack of images."""
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES)
    with h5py.File(path, "a") as file:
        file["exchange/data"].attrs["axes"] = "z:y:x"
    np.testing.assert_array_equal(read_raw(path).array, stack)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("rows:y:x", "two axes have the same meaning"),
        ("theta:x", "names 2 axes of 3"),
        ("x:x:theta", "two axes"),
    ],
)
def test_contradicting_names_are_refused(tmp_path, stack, axes, message):
    path = write_exchange(tmp_path / "scan.h5", data=stack, theta=DEGREES)
    with h5py.File(path, "a") as file:
        file["exchange/data"].attrs["axes"] = axes
    with pytest.raises(ValueError, match=message):
        read_raw(path)


def test_an_assumed_order_is_reported_where_it_matters(tmp_path):
    square = np.ones((4, 4, 6), np.float32)
    (warning,) = read_raw(write_exchange(tmp_path / "a.h5", data=square, theta=DEGREES)).warnings
    assert "as many rows as views, 4," in warning and "read as (views, rows, columns)" in warning
    assert read_raw(write_exchange(tmp_path / "b.h5", data=square[:, :3], theta=DEGREES)).warnings == ()
    np.savez(tmp_path / "c.npz", projections=square, theta_rad=THETA)
    assert len(read_raw(tmp_path / "c.npz").warnings) == 1
    np.savez(tmp_path / "e.npz", projections=np.ones((4, 3, 4)), theta_rad=THETA)
    (warning,) = read_raw(tmp_path / "e.npz").warnings
    assert "as many columns as views, 4," in warning
    sinograms = write_exchange(tmp_path / "d.h5", data=np.ones((3, 4, 6)), theta=DEGREES)
    with pytest.raises(ValueError, match="or transpose it: another axis has as many entries"):
        read_raw(sinograms)


def test_names_of_axes():
    assert names_of_axes("theta:y:x") == names_of_axes(["theta", "y", "x"]) == ["theta", "y", "x"]
    assert (
        names_of_axes(b"theta, y, x") == names_of_axes(np.array(['["theta","y","x"]'])) == ["theta", "y", "x"]
    )
    assert names_of_axes(None) == []


def test_nxtomo_with_another_order(tmp_path, stack):
    flat, dark = np.full((2, 5, 6), 9.0, np.float32), np.full((1, 5, 6), 0.5, np.float32)
    frames = np.concatenate([dark, stack, flat])
    keys, angles = [2, 0, 0, 0, 0, 1, 1], [0, *DEGREES, 0, 0]
    expected = read_raw(write_nxtomo(tmp_path / "a.nxs", frames, keys, angles))
    path = write_nxtomo(tmp_path / "b.nxs", frames.transpose(1, 2, 0), keys, angles)
    with h5py.File(path, "a") as file:
        data = file["entry1/tomo_entry/data"]
        data.attrs["signal"], data.attrs["axes"] = "data", ["y", "x", "rotation_angle"]
    raw = read_raw(path)
    np.testing.assert_array_equal(raw.projections, expected.projections)
    np.testing.assert_array_equal(raw.flat, expected.flat)
    np.testing.assert_array_equal(raw.dark, expected.dark)
