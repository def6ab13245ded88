"""Views that extend beyond the field of view."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_sinogram
from blobs import projections

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import edge_signal, truncated_views
from pfitre_jax.twin import quiet_instrument, simulate_scan

THETA = np.deg2rad(np.arange(0.0, 180.0, 12.0))


class TestTruncation:
    def test_cu23(self, cu23):
        """SOURCE.txt: views 27-35; also once the roll is corrected, and for the rows where the edge is."""
        scan = to_scan(cu23)
        assert truncated_views(scan).tolist() == list(range(27, 36))
        for roll in (1.0, 1.5, 2.0):
            assert truncated_views(correct_roll(scan, roll)).tolist() == list(range(27, 36))

    @pytest.mark.parametrize("columns", [24, 33, 150])
    @pytest.mark.parametrize("inside", [1, 2])
    @pytest.mark.parametrize("noise", [0, 0.01])
    def test_an_object_just_inside_the_field_is_not_truncated(self, columns, inside, noise):
        """A disc as wide as the detector less 1 or 2 bins on each side, exact and with 1% noise."""
        center = (columns - 1) / 2
        disc = (0.0, 0.0, columns / 2 - inside, 1.0)
        p = np.repeat(disc_sinogram([disc], THETA, columns, center)[:, None], 20, axis=1)
        assert np.all(p[..., [*range(inside), *range(-inside, 0)]] == 0) and np.all(p[..., [inside]] > 0)
        p = p + np.random.default_rng(0).normal(0, noise, p.shape) * p.max()
        whole = to_scan(RawScan.create(p, THETA))
        assert truncated_views(Scan.create(p, THETA)).size == 0
        assert truncated_views(whole).size == 0 and whole.mask.all()
        # Half a bin beyond the detector, the same disc is cut.
        cut = disc_sinogram([(0.0, 0.0, columns / 2 + 0.5, 1.0)], THETA, columns, center)[:, None]
        assert truncated_views(Scan.create(cut, THETA)).size == THETA.size

    def test_tooth_and_i13_are_not_truncated(self, i13, tooth):
        """i13's beam has weakened since its flat: a third of the signal, in all rows and at both edges."""
        assert truncated_views(tooth).size == 0
        assert i13.projections[..., :4].mean() > 0.3
        assert truncated_views(i13).size == 0

    @pytest.mark.parametrize("side", [0, 1])
    def test_a_blob_that_leaves_the_field_is_detected(self, side):
        scan = Scan.create(projections(THETA, columns=64, reach=20), THETA)
        assert truncated_views(scan).size == 0
        cut = (11, 64) if side == 0 else (0, 53)
        narrow = Scan.create(scan.projections[:, :, slice(*cut)], THETA)
        edge = narrow.projections[..., :4] if side == 0 else narrow.projections[..., -4:]
        profile = narrow.projections.mean(axis=1)
        peak = np.lib.stride_tricks.sliding_window_view(profile, 4, axis=1).mean(axis=2).max(axis=1)
        signal = edge_signal(narrow).value
        assert 0 < truncated_views(narrow).size < narrow.views
        assert signal[:, 1 - side].max() < 0.01
        mean = edge.mean(axis=(1, 2))
        reaches = edge[..., -side].mean(axis=1) >= 0.1 * mean
        assert reaches.any() and not reaches.all()
        np.testing.assert_allclose(signal[:, side], np.where(reaches, mean / peak, 0), rtol=1e-4, atol=1e-6)

    def test_truncation_is_detected_under_padding(self):
        p = projections(THETA, columns=64, reach=20)[:, :, 8:]
        shifted = np.concatenate([np.zeros((*p.shape[:2], 2)), p[:, :, :-2]], axis=2)
        plain = Scan.create(p, THETA)
        padded = to_scan(RawScan.create(shifted, THETA))
        assert not padded.mask[:, :, :2].any()
        np.testing.assert_allclose(edge_signal(padded).value[:, 0], edge_signal(plain).value[:, 0], atol=1e-6)


def simulated(scene: str) -> np.ndarray:
    """Projections (60 views, 8 rows, 96 columns) of a simulated sample; the scene fills the detector."""
    return simulate_scan(scene, quiet_instrument(), rows=8, columns=96, views=60).projections


@pytest.mark.parametrize("scene", ["circuits", "fibres", "voronoi"])
def test_noise_and_hot_columns_are_no_truncation(scene):
    """Twin scans with noise of 0 to 5% and 1 to 8 rows, padded by air, or with a quarter or more cut off."""
    rng, projected = np.random.default_rng(0), simulated(scene)
    false, missed, cut_views = 0, 0, 0
    for rows in (1, 8):
        p = projected[:, :rows]
        whole, cut = np.pad(p, ((0, 0), (0, 0), (8, 8))), p[:, :, 24:]
        profile = cut.mean(axis=1)
        expected = profile[:, :4].mean(axis=1) > 0.05 * profile.max(axis=1)
        for noise in (0, 0.01, 0.03, 0.05):
            with_noise = [y + noise * y.max() * rng.standard_normal(y.shape) for y in (whole, cut)]
            hot = with_noise[0].copy()
            hot[:, :, 0] += 0.3 * p.max()
            hot[:, :, -3:-1] += 0.2 * p.max()
            scans = [Scan.create(y, np.linspace(0, 2, 60)) for y in (*with_noise, hot)]
            plain, truncated, with_hot = (np.isin(np.arange(60), truncated_views(scan)) for scan in scans)
            false += int(plain.sum() + with_hot.sum())
            missed += int(np.sum(expected & ~truncated))
            cut_views += int(expected.sum())
            assert truncated.sum() > 0.5 * expected.sum()
    assert false == 0
    assert cut_views > 300 and missed < 0.1 * cut_views
