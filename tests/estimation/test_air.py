"""Air level: scans with air, and scans whose edges hold matter."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_sinogram
from blobs import projections

from pfitre_jax.data.lazy_scan import open_lazily
from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import truncated_views
from pfitre_jax.estimation.air import estimate_air, with_air

THETA = np.deg2rad(np.arange(-60.0, 60.0, 2.0))
WHOLE = projections(THETA, rows=8, columns=96, reach=16)


def noisy(p, noise, seed=0):
    """``p`` with noise relative to its maximum."""
    return p + noise * p.max() * np.random.default_rng(seed).standard_normal(p.shape)


def cylinder(radius, columns):
    """A uniform cylinder about the axis, ``radius`` times as wide as the detector."""
    y = disc_sinogram([(0.0, 0.0, radius * columns / 2, 1.0)], THETA, columns, (columns - 1) / 2)
    return np.repeat(y[:, None], 4, axis=1)


@pytest.mark.parametrize("level", [-0.05, -0.02, 0.02, 0.1])
@pytest.mark.parametrize("noise", [0, 0.01])
@pytest.mark.parametrize("kind", ["absorption", "transmission", "counts"])
def test_the_level_of_the_air_is_subtracted(level, noise, kind):
    p = noisy(WHOLE + level * WHOLE.max(), noise)
    frames = dict.fromkeys(("flat", "dark"))
    if kind != "absorption":
        p_raw = np.exp(-p / WHOLE.max())
        if kind == "counts":
            p_raw = 100 + 900 * p_raw
            frames = {"flat": np.full(p.shape[1:], 1000.0), "dark": np.full(p.shape[1:], 100.0)}
        raw, truth = RawScan.create(p_raw, THETA, kind=kind, **frames), level
    else:
        raw, truth = RawScan.create(p, THETA), level * WHOLE.max()
    scan = to_scan(raw)
    found = estimate_air(scan)
    assert found == pytest.approx(truth, rel=0.05)
    corrected = with_air(scan)
    np.testing.assert_allclose(corrected.projections, scan.projections - np.float32(found), atol=1e-6)
    assert corrected.provenance["air"].startswith(f"{found:.4g}, estimated")
    assert truncated_views(corrected).size == 0
    # The air that is left is within the noise of 0.
    assert with_air(corrected) is corrected


@pytest.mark.parametrize("noise", [0, 0.003, 0.01, 0.03, 0.05])
@pytest.mark.parametrize("rows", [1, 8])
def test_a_scan_without_air_is_unchanged(noise, rows):
    for seed in range(5):
        scan = Scan.create(noisy(WHOLE[:, :rows] if rows > 1 else WHOLE[:, 4:5], noise, seed), THETA)
        assert estimate_air(scan) == 0 and with_air(scan) is scan


half_of_the_views = WHOLE + 0.03 * WHOLE.max() * (np.arange(len(THETA)) < 30)[:, None, None]
one_edge = WHOLE + 0.03 * WHOLE.max() * (np.arange(96) > 80)
some_rows = WHOLE + 0.03 * WHOLE.max() * (np.arange(8) < 3)[:, None]
touching = WHOLE.copy()
touching[20:28, :, -10:] += 0.06 * WHOLE.max()
MATTER = {
    "half of the views": half_of_the_views,
    "one edge": one_edge,
    "some rows": some_rows,
    "an edge that is touched in some views": touching,
    "truncated at one side": projections(THETA, rows=8, columns=96, reach=40)[:, :, 30:],
    "truncated at both sides": projections(THETA, rows=8, columns=96, reach=40)[:, :, 25:-25],
    "a thin plate": WHOLE + 0.05 * WHOLE.max() / np.cos(THETA)[:, None, None],
    "a thick plate": WHOLE + 0.5 * WHOLE.max() / np.cos(THETA)[:, None, None],
} | {
    f"cylinder of {r} widths, {n} columns": cylinder(r, n) for r in (1, 1.01, 1.03, 1.3, 2) for n in (64, 512)
}


@pytest.mark.parametrize("name", MATTER)
@pytest.mark.parametrize("noise", [0, 0.005, 0.02])
def test_matter_at_the_edge_is_no_air(name, noise):
    assert estimate_air(Scan.create(noisy(MATTER[name], noise), THETA)) == 0


def test_a_few_views_from_one_side_do_not_tell():
    p = WHOLE + 0.05 * WHOLE.max()
    assert estimate_air(Scan.create(p, THETA)) > 0
    assert estimate_air(Scan.create(p[:15], THETA[:15])) == 0
    assert estimate_air(Scan.create(p[::25], THETA[::25])) == 0


def test_a_scan_that_is_read_on_demand_has_the_same_level_and_stays_in_its_file():
    p = noisy(WHOLE + 0.03 * WHOLE.max(), 0.01).astype(np.float32)
    p[:, :, 0] = 0
    reads = []

    def read(rows):
        reads.append(rows)
        return p[:, rows].copy()

    stack = LazyStack(p.shape, p.dtype, read)
    whole = with_air(to_scan(RawScan.create(p, THETA)))
    lazy = with_air(open_lazily(RawScan.create(stack, THETA), kept_rows=(1, 4)))
    assert lazy.provenance["air"] == whole.provenance["air"]
    opened = len(reads)
    assert truncated_views(lazy).size == truncated_views(whole).size == 0
    np.testing.assert_array_equal(lazy.sample().projections, whole.projections[:, [1, 4]])
    assert len(reads) == opened
    np.testing.assert_array_equal(lazy.select_rows("2:5").projections, whole.projections[:, 2:5])
    np.testing.assert_array_equal(lazy.take_views(slice(0, 9)).projections, whole.projections[:9])
    np.testing.assert_allclose(lazy.overview.signal, whole.overview.signal, rtol=1e-5, atol=1e-4)


def test_a_supplied_level_is_subtracted_and_recorded():
    scan = Scan.create(WHOLE, THETA)
    corrected = with_air(scan, 0.25)
    np.testing.assert_array_equal(corrected.projections, scan.projections - np.float32(0.25))
    assert corrected.provenance["air"] == "0.25, supplied"
    assert with_air(scan, None) is with_air(scan, "none") is with_air(scan, 0.0) is scan


@pytest.mark.parametrize("air", ["some", np.nan, np.inf, [1.0]])
def test_another_value_is_refused(air):
    with pytest.raises(ValueError, match=r"air is .*; expected a line integral"):
        with_air(Scan.create(WHOLE, THETA), air)


def test_wood(data_dir):
    """SOURCE.txt: its air lies 2.8% of the maximum above zero; the other scans have none."""
    for name, level in (("wood", 0.028), ("walnut0", 0), ("heatsink", 0), ("htc_04b_256", 0)):
        with np.load(data_dir / "real_full_angle" / f"{name}.npz") as file:
            scan = Scan.create(file["projections"], np.deg2rad(file["theta_deg"]))
        assert estimate_air(scan) == pytest.approx(level * scan.projections.max(), rel=0.1)
        assert truncated_views(with_air(scan)).size == 0


def test_a_view_without_valid_bins_does_not_hide_the_air():
    theta = np.deg2rad(np.arange(0, 180, 4.0))
    projections = np.full((theta.size, 4, 60), 0.05, np.float32)
    projections[:, :, 20:40] += 1.0
    mask = np.ones(projections.shape, bool)
    mask[7] = False
    scan = Scan.create(projections, theta, center=29.5).with_projections(projections, mask)
    assert estimate_air(scan) == pytest.approx(0.05, rel=1e-3)
