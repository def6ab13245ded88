"""Cuts of layouts: areas and heights of layers, and rows that straddle two layers."""

from __future__ import annotations

import gzip
import itertools
import sys

import gdstk
import numpy as np
import pytest

from pfitre_jax.twin.scenes import layouts
from pfitre_jax.twin.scenes.layouts import bank, read_layout, tile, voxels
from pfitre_jax.twin.scenes.process_stacks import STACKS, Layer, Stack

#: Two wires above each other and a via between, um.
STACK = Stack(
    "two", (Layer("m1", (1, 0), 0.0, 0.4), Layer("via", (2, 0), 0.4, 0.2), Layer("m2", (3, 0), 0.6, 0.4)),
    pitch=0.4, row_height=1.0, boundary=(9, 0),
)  # fmt: skip


def write(path, *cells):
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    library.add(*cells)
    library.write_gds(path)
    return path


@pytest.fixture
def chip(tmp_path):
    """A wire along x at the bottom, one along y on top, a via where they cross; drawn as nested cells."""
    wires = gdstk.Cell("wires")
    # The same wire in two overlapping halves, as a path and as a polygon.
    wires.add(gdstk.FlexPath([(0, 2), (3, 2)], 0.5, layer=1))
    wires.add(gdstk.rectangle((2.5, 1.75), (5, 2.25), layer=1))
    wires.add(gdstk.rectangle((1.0, 0.0), (1.5, 4.0), layer=3))
    chip = gdstk.Cell("chip")
    chip.add(gdstk.Reference(wires), gdstk.rectangle((1.1, 1.9), (1.3, 2.1), layer=2))
    return write(tmp_path / "chip.gds", wires, chip)


def test_layers_have_their_areas_and_heights(chip):
    layout = read_layout(chip, STACK)
    assert layout.bounds == (0.0, 0.0, 5.0, 4.0) and layout.drawn == [0, 1, 2]
    edges = np.linspace(-0.2, 1.2, 8)
    volume = voxels(layout, 0, 0, (0.11, 0.13), (40, 60), edges)
    areas = volume.sum(axis=(1, 2)) * 0.11 * 0.13
    np.testing.assert_allclose(areas, [0, 2.5, 2.5, 0.04, 2.0, 2.0, 0], rtol=1e-4, atol=1e-9)


def test_a_row_that_straddles_two_layers_is_their_weighted_mean(chip):
    layout = read_layout(chip, STACK)
    window = (layout, 0, 0, (0.25, 0.25), (16, 20))
    lower, upper = (voxels(*window, edges)[0] for edges in ([0.0, 0.4], [0.6, 1.0]))
    # 0.1 of the lower wire, 0.2 of the via, 0.3 of the upper wire.
    row = voxels(*window, [0.3, 0.9])[0]
    via = voxels(*window, [0.4, 0.6])[0]
    np.testing.assert_allclose(row, (0.1 * lower + 0.2 * via + 0.3 * upper) / 0.6, atol=1e-6)
    # A slab that extends below the chip.
    np.testing.assert_allclose(voxels(*window, [-0.4, 0.4])[0], lower / 2, atol=1e-6)


def test_a_vertical_cut_shows_the_stack(chip):
    layout = read_layout(chip, STACK)
    # Along the lower wire, through the via and across the upper one.
    cut = voxels(layout, 0, 1.95, (0.1, 0.1), (1, 50), np.linspace(0, 1, 11))[:, 0]
    np.testing.assert_allclose(cut[:4], 1.0, atol=1e-6)
    x = np.arange(50)
    np.testing.assert_allclose(cut[4:6], np.tile((x >= 11) & (x < 13), (2, 1)), atol=1e-6)
    np.testing.assert_allclose(cut[6:], np.tile((x >= 10) & (x < 15), (4, 1)), atol=1e-6)


def test_a_gzipped_file_gives_the_same_layout(chip, tmp_path):
    packed = tmp_path / "chip.gds.gz"
    packed.write_bytes(gzip.compress(chip.read_bytes()))
    window = (0, 0, (0.2, 0.2), (20, 25), [0.0, 1.0])
    plain, gzipped = (voxels(read_layout(path, STACK), *window) for path in (chip, packed))
    np.testing.assert_array_equal(plain, gzipped)


def test_cells_of_a_library_are_placed_in_rows(tmp_path):
    made = []
    for k in (1, 2):
        cell = gdstk.Cell(f"cell{k}")
        cell.add(gdstk.rectangle((0, 0), (k, 1), layer=9))
        # A rail at the foot and a wire as long as the cell is wide.
        cell.add(
            gdstk.rectangle((0, -0.1), (k, 0.1), layer=1),
            gdstk.rectangle((0.1, 0.4), (k - 0.1, 0.6), layer=1),
        )
        made.append(cell)
    layout = read_layout(write(tmp_path / "cells.gds", *made), STACK, seed=1)
    rows = layouts.CELL_ROWS
    image = voxels(layout, 0.5, 0, (0.1, 0.1), (10 * rows, 10 * (rows - 1)), [0.0, 0.4])[0]
    # Every second row is flipped, so that rails are at 0, 2, 4, ...
    np.testing.assert_allclose(image[[20 * k for k in range(rows // 2)]], 1, atol=1e-5)
    np.testing.assert_allclose(image[[20 * k + 10 for k in range(rows // 2)]], 0, atol=1e-5)
    wires = image[[10 * k + 4 for k in range(rows)]]
    assert np.all((wires.mean(axis=1) > 0.75) & (wires.mean(axis=1) < 0.95))
    assert len(np.unique(wires, axis=0)) > rows // 2


def test_masks_are_read_with_their_heights(tmp_path):
    masks = np.zeros((2, 30, 50), bool)
    masks[0, 10:20] = True
    masks[1, :, 5:15] = True
    path = tmp_path / "masks.npz"
    np.savez(
        path, packed=np.packbits(masks, axis=-1), width=50, pixel_um=0.1,
        layer_names=["met1", "met2"], z_bottom_um=[0.0, 1.0], z_top_um=[0.5, 2.0],
    )  # fmt: skip
    layout = read_layout(path)
    assert layout.stack.pitch == STACKS["sky130"].pitch and layout.bounds == pytest.approx((0, 0, 5, 3))
    volume = voxels(layout, 0.25, 0.5, (0.25, 0.5), (4, 10), [-0.5, 0.5, 1.0, 2.0])
    np.testing.assert_allclose(volume[0], np.tile([[0], [0.5], [0.5], [0]], 10), atol=1e-6)
    assert not volume[1].any()
    np.testing.assert_allclose(volume[2], np.tile([0, 1, 1, 1, 1, 0, 0, 0, 0, 0], (4, 1)), atol=1e-6)


def test_layers_of_a_stack_are_distinct_and_adjacent():
    for stack in STACKS.values():
        assert len({layer.gds for layer in stack.layers}) == len(stack.layers)
        assert all(layer.thickness > 0 for layer in stack.layers)
        # Above poly and its contacts, layers lie on each other without gaps.
        above = sorted((layer.bottom, layer.thickness) for layer in stack.layers[2:])
        gaps = [next_[0] - (low[0] + low[1]) for low, next_ in itertools.pairwise(above)]
        np.testing.assert_allclose(gaps, 0, atol=1e-9)


LIBRARIES = {
    "stdcell_gds/sky130_fd_sc_hd.gds.gz": "sky130",
    "stdcell_gds/asap7sc7p5t_28_R_220121a.gds.gz": "asap7",
    "stdcell_gds/NangateOpenCellLibrary.gds.gz": "nangate45",
    "stdcell_gds/sg13g2_stdcell.gds.gz": "sg13g2",
    "stdcell_gds/gcd_45nm_routed.gds.gz": "nangate45",
    "tinytapeout04_gds/tt_um_fir_top.gds.gz": "sky130",
    "tinytapeout04_raster40nm/tt_um_fir_top.npz": "sky130",
}


@pytest.mark.parametrize(("name", "stack"), LIBRARIES.items())
def test_real_layouts_are_recognised_and_cut(data_dir, name, stack):
    layout = read_layout(data_dir / name)
    assert layout.stack.name == stack
    for seed in range(3):
        image = tile(layout, np.random.default_rng(seed), 64)
        assert image.shape == (64, 64) and image.min() >= 0 and image.max() <= 1 and image.mean() > 0.03
        np.testing.assert_array_equal(image, tile(layout, np.random.default_rng(seed), 64))


def test_the_masks_of_a_chip_agree_with_its_polygons(data_dir):
    chip, masks = (
        read_layout(data_dir / name)
        for name in ("tinytapeout04_gds/tt_um_fir_top.gds.gz", "tinytapeout04_raster40nm/tt_um_fir_top.npz")
    )
    window = (80.0, 50.0, (0.2, 0.2), (60, 60))
    for edges in ([1.4, 1.7], [2.1, 2.3], [2.8, 3.6]):
        a, b = voxels(chip, *window, edges)[0], voxels(masks, *window, edges)[0]
        # Masks have pixels of 40 nm, and wires are as thin as 140 nm.
        assert b.mean() == pytest.approx(a.mean(), rel=0.15)
        assert (
            np.corrcoef(a.ravel(), b.ravel())[0, 1]
            > 0.96
            > 1.5 * np.corrcoef(a.ravel(), b[::-1].ravel())[0, 1]
        )


def test_a_bank_depends_on_its_seed_only(tmp_path):
    cell = gdstk.Cell("grid")
    cell.add(*(gdstk.rectangle((0, k), (40, k + 0.5), layer=68, datatype=20) for k in range(40)))
    path = write(tmp_path / "grid.gds", cell)
    first, again, other = (np.asarray(bank([path], 3, 32, seed).tiles) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (3, 32, 32) and (first != other).any()


def test_other_files_are_refused(tmp_path, chip):
    with pytest.raises(FileNotFoundError, match="no layout at"):
        read_layout(tmp_path / "none.gds")
    for name, content, message in (
        ("text.gds", b"hello", "is no GDSII file"),
        ("broken.gds.gz", b"\x1f\x8b\x08broken", "broken gzip"),
        ("cut.npz", b"PK", "no layer masks"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_layout(tmp_path / name)
    with pytest.raises(ValueError, match="has the layers 1/0, 2/0, 3/0; expected those of sky130"):
        read_layout(chip)
    with pytest.raises(ValueError, match="nothing on the layers of sky130"):
        read_layout(chip, STACKS["sky130"])
    np.savez(tmp_path / "other.npz", labels=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no layer masks"):
        read_layout(tmp_path / "other.npz")


def test_a_library_without_cells_of_the_process_is_refused(tmp_path):
    cells = [gdstk.Cell(name).add(gdstk.rectangle((0, 0), (1, 1), layer=1)) for name in "ab"]
    with pytest.raises(ValueError, match="none of its cells has an outline 1 um high on layer 9/0"):
        read_layout(write(tmp_path / "cells.gds", *cells), STACK)


def test_an_almost_empty_layout_is_refused(tmp_path):
    cell = gdstk.Cell("bare").add(
        gdstk.rectangle((0, 0), (0.1, 0.1), layer=1), gdstk.rectangle((99, 99), (100, 100), layer=1)
    )
    layout = read_layout(write(tmp_path / "bare.gds", cell), STACK)
    with pytest.raises(ValueError, match="cuts of a two layout are bare"):
        tile(layout, np.random.default_rng(0), 16)


def test_missing_gdstk_is_reported_with_the_install_command(chip, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdstk", None)
    with pytest.raises(ValueError, match=r"pip install '\.\[layouts\]' in a copy of the repository"):
        read_layout(chip, STACK)
