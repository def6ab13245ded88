from types import SimpleNamespace

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_sinogram, disc_stack

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import calibrate, sample_rows
from pfitre_jax.estimation.shared_problem import shared_problem
from pfitre_jax.estimation.support import image_support
from pfitre_jax.estimation.support_selection import select_support
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.reconstruction import executor as slices
from pfitre_jax.reconstruction.in_memory import reconstruct
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.row_block import concatenate
from pfitre_jax.reconstruction.scan_solver import build
from pfitre_jax.runtime.memory import DoesNotFit
from pfitre_jax.solvers.loop import Status

#: A disc for each row, growing with the row: their masses identify the order.
ROWS = [[(2.0 - r, 1.0, 6.0 + r, 3.0)] for r in range(3)]


@pytest.fixture(scope="module")
def scan() -> Scan:
    return Scan.create(disc_stack(ROWS), THETA, center=CENTER)


def solve(scan, *, chunk=32, scale=1.0, iterations=12, sinograms=None, masks=None, method="cgls"):
    problem, _ = shared_problem(scan.geometry(), image_support(scan.geometry()))
    changed = {"projections": sinograms, "mask": masks}
    changed = {name: np.moveaxis(a, 0, 1) for name, a in changed.items() if a is not None}
    return solve_rows(
        scan.with_projections(**{"projections": scan.projections} | changed),
        problem,
        method,
        scale=scale,
        iterations=iterations,
        chunk=chunk,
    )


def solve_rows(scan, problem, method, *, scale=1.0, iterations=12, chunk=None):
    """Concatenated results of all rows, and the program that computed them."""
    program = slices.make_program(
        build(Settings.create(method)),
        problem,
        scan.rows,
        scale=scale,
        iterations=iterations,
        chunk=chunk,
    )
    todo = slices.split_rows(slice(0, scan.rows), program.chunk)
    parts = list(slices.solve_blocks(program, scan, todo))
    assert [part.rows for part in parts] == todo
    block = concatenate(parts)
    return SimpleNamespace(
        volume=block.volume,
        status=block.status,
        residual=block.residual,
        stats={"residual": block.residual_history, "change": block.change_history},
        chunk=program.chunk,
        seconds_compile=program.seconds_compile,
    )


@pytest.mark.parametrize("chunk", [1, 2])
def test_chunks_do_not_change_the_result(scan, chunk):
    whole, parts = solve(scan), solve(scan, chunk=chunk)
    assert whole.chunk == 3 and parts.chunk == chunk
    # Values reach 3; the kernels for one slice and for many add up in a different order.
    np.testing.assert_allclose(parts.volume, whole.volume, atol=3e-3)
    early = slice(None), slice(0, 5)
    np.testing.assert_allclose(parts.stats["residual"][early], whole.stats["residual"][early], rtol=1e-3)
    assert parts.residual.shape == parts.status.shape == (3,)


def test_rows_keep_their_order_and_have_the_masses_of_their_discs(scan):
    masses = solve(scan, chunk=2).volume.sum(axis=(1, 2))
    np.testing.assert_allclose(masses, [3 * np.pi * (6 + r) ** 2 for r in range(3)], rtol=0.01)


def test_each_slice_reconstructs_its_disc(scan):
    error = solve(scan).volume[0] - disc_image(ROWS[0], COLUMNS)
    assert np.sqrt(np.mean(error**2)) < 0.1 * 3


@pytest.mark.parametrize("method", ["cgls", "fbp"])
def test_a_row_without_signal_is_empty(scan, method):
    sinograms = np.moveaxis(scan.projections, 1, 0).copy()
    sinograms[1] = 0
    solved = solve(scan, sinograms=sinograms, method=method)
    assert not solved.volume[1].any() and solved.residual[1] == 0
    np.testing.assert_allclose(solved.volume[[0, 2]], solve(scan, method=method).volume[[0, 2]], atol=1e-3)


def test_progress_counts_rows(scan):
    seen = []
    reconstruct(scan, "fbp", chunk=2, progress=lambda *a: seen.append(a))
    assert seen == [(2, 3), (3, 3)]


def test_programs_are_compiled_once(scan):
    solve(scan)
    assert solve(scan).seconds_compile < 0.01
    moved = scan.with_center(CENTER + 0.25)
    assert solve(moved).seconds_compile < 0.01


def test_a_masked_bin_has_no_influence(scan):
    masks = np.moveaxis(scan.mask, 1, 0).copy()
    masks[:, 3:7, 15:18] = False
    clean = np.moveaxis(scan.projections, 1, 0)
    corrupted = np.where(masks, clean, 1e4)
    masked, expected = (solve(scan, sinograms=y, masks=masks) for y in (corrupted, clean))
    np.testing.assert_allclose(masked.volume, expected.volume, atol=1e-5)
    np.testing.assert_allclose(masked.residual, expected.residual, rtol=1e-5)


def test_masks_of_rows_are_independent(scan):
    masks = np.moveaxis(scan.mask, 1, 0).copy()
    masks[1] = False
    result = solve(scan, masks=masks)
    assert np.all(result.volume[1] == 0)
    np.testing.assert_allclose(
        np.delete(result.volume, 1, axis=0), np.delete(solve(scan).volume, 1, axis=0), atol=1e-4
    )


def test_a_diverged_row_is_marked_and_the_others_are_unaffected(scan):
    sinograms = np.moveaxis(scan.projections, 1, 0).copy()
    sinograms[1, 0, 20] = np.inf
    result, clean = solve(scan, sinograms=sinograms), solve(scan)
    assert list(result.status == int(Status.DIVERGED)) == [False, True, False]
    kept = [0, 2]
    np.testing.assert_allclose(result.volume[kept], clean.volume[kept], atol=1e-4)
    assert np.all(np.isfinite(result.volume[1]))


def test_chunks_shrink_until_they_fit_into_memory(scan, monkeypatch):
    expected = solve(scan)
    sizes = []
    real = slices.needed_by

    def needed(*args):
        sizes.append(real(*args))
        return sizes[-1]

    monkeypatch.setattr(slices, "needed_by", needed)
    solve(scan)
    monkeypatch.setattr(slices, "available", lambda limit: sizes[0].largest // 2)
    result = solve(scan)
    assert result.chunk < 3
    np.testing.assert_allclose(result.volume, expected.volume, atol=3e-3)
    monkeypatch.setattr(slices, "available", lambda limit: 1)
    with pytest.raises(DoesNotFit, match=r"1 slices of 33 x 33 from \d+ views need .* GiB"):
        solve(scan)


def test_the_scale_does_not_depend_on_the_selected_rows(scan):
    # The three rows contain discs of value 3, which is the approximate scale.
    whole = reconstruct(scan, "fbp")
    one = reconstruct(scan, "fbp", rows=slice(1, 2))
    assert one.scale == whole.scale
    assert whole.scale == pytest.approx(3, rel=0.15)
    brighter = scan.with_projections(2 * scan.projections)
    assert reconstruct(brighter, "fbp", rows="0:1").scale == pytest.approx(2 * whole.scale, rel=1e-4)


def test_the_scale_of_a_thin_wire_in_an_empty_field_is_not_zero():
    wire = disc_stack(3 * [[(0.0, 0.0, 0.7, 1.0)]])
    scan = Scan.create(wire, THETA, center=CENTER)
    assert 0.01 < calibrate(scan, "scale").scale < 1


def test_the_scale_uses_at_most_32_rows():
    assert list(sample_rows(3)) == [0, 1, 2]
    picked = sample_rows(1000)
    assert len(picked) == 32 and picked[0] == 0 and picked[-1] == 999
    assert np.all(np.diff(picked) > 0)


def test_the_support_without_truncation_is_the_disc_that_every_view_sees():
    geometry = ParallelGeometry.create(THETA, COLUMNS, CENTER)
    support = image_support(geometry)
    assert support.shape == (COLUMNS, COLUMNS)
    k = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    radius = np.hypot(k[None, :], k[:, None])
    reach = min(CENTER, COLUMNS - 1 - CENTER)
    assert support[radius < reach].all() and not support[radius > reach + 1].any()


def test_the_extended_support_is_the_field_of_the_untruncated_views():
    theta = np.deg2rad([0.0, 30.0, 60.0, 90.0])
    geometry = ParallelGeometry.create(theta, 40, 18.0)
    support = image_support(geometry, [False, False, False, True])
    ny, nx = support.shape
    assert ny == nx and 40 < nx <= 60 and nx % 2 == 0
    i, j = np.nonzero(support)
    x, y = j - (nx - 1) / 2, (ny - 1) / 2 - i
    for angle in theta[:3]:
        bins = x * np.cos(angle) + y * np.sin(angle) + 18.0
        assert bins.min() >= -0.5 and bins.max() <= 39.5
    # Rays of the truncated view run along x: the support extends beyond its field along y, within a disc.
    assert np.abs(y).max() > 20 and np.hypot(x, y).max() <= 30


@pytest.fixture(scope="module")
def truncated_scan():
    # A disc that leaves the field of view about 90 degrees, upwards.
    discs = [(0.0, 12.0, 8.0, 1.0), (-5.0, -4.0, 4.0, 1.0)]
    return Scan.create(disc_sinogram(discs)[:, None], THETA, center=CENTER), discs


def test_mass_outside_the_field_is_recovered_by_the_extended_support(truncated_scan):
    scan, discs = truncated_scan
    choice = select_support(scan)
    support, truncated = choice.support.image, choice.truncated
    assert truncated.any() and not truncated.all() and support.shape[0] > scan.columns
    result = reconstruct(scan, "cgls", scale=1.0)
    size = support.shape[0]
    truth = disc_image(discs, size)
    y = (size - 1) / 2 - np.arange(size)
    beyond = y > 17.5
    assert truth[beyond].sum() > 20
    assert result.volume[0][beyond].sum() == pytest.approx(truth[beyond].sum(), rel=0.25)
    assert result.volume[0].sum() == pytest.approx(truth.sum(), rel=0.05)
    assert result.residual[0] < 0.02
    assert any("extend beyond the field" in warning for warning in result.warnings)
    # The default disc cannot contain that mass.
    problem, _ = shared_problem(scan.geometry(), image_support(scan.geometry()))
    inside = solve_rows(scan, problem, "cgls", iterations=20)
    assert inside.residual[0] > 5 * result.residual[0]


def test_signal_outside_the_disc_of_an_axis_far_from_the_middle_is_kept():
    # Views from one side only: the object lies in all fields of view but outside the disc about the axis.
    theta = THETA / 3 - np.deg2rad(30)
    discs = [(12.0, 0.0, 4.0, 1.0)]
    scan = Scan.create(disc_sinogram(discs, theta, center=10.0)[:, None], theta, center=10.0)
    result = reconstruct(scan, "cgls", scale=1.0)
    assert result.residual[0] < 0.03
    assert result.volume.sum() == pytest.approx(np.pi * 16, rel=0.05)
