"""Roll: analytic scans, the real ones, and scans that do not determine it."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import blob_scan

from pfitre_jax.data.preprocess import to_scan
from pfitre_jax.data.readers.registry import read_raw
from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation import roll as module
from pfitre_jax.estimation.estimate import Undetermined
from pfitre_jax.estimation.opposite_views import roll_from_pairs
from pfitre_jax.estimation.roll import find_roll

WITH_OPPOSITE = np.deg2rad(np.arange(0.0, 180.1, 4.0))


class TestRoll:
    @pytest.mark.parametrize("roll", [-3.0, -0.5, 0.0, 1.5, 4.0])
    def test_estimate_agrees_with_the_analytic_roll(self, roll):
        result = find_roll(blob_scan(WITH_OPPOSITE, center=33.0, roll_deg=roll, noise=0.005))
        assert result.method == "opposite views"
        assert result.value == pytest.approx(roll, abs=0.1)

    def test_a_corrected_scan_has_no_roll(self):
        scan = blob_scan(WITH_OPPOSITE, roll_deg=2.0)
        assert find_roll(correct_roll(scan, find_roll(scan).value)).value == pytest.approx(0, abs=0.1)

    def test_cu23(self, cu23):
        """SOURCE.txt: about 1.5 degrees, by the sign of scipy.ndimage.rotate."""
        assert find_roll(cu23).value == pytest.approx(1.5, abs=0.3)

    def test_i13(self, data_dir):
        """Vertical edges show no roll, and a simulated roll is recovered."""
        scan = to_scan(read_raw(data_dir / "i13_tomo_standard" / "i13_24737.npz"))
        assert find_roll(scan).value == pytest.approx(0, abs=0.1)
        assert find_roll(correct_roll(scan, -2)).value == pytest.approx(2, abs=0.15)

    def test_roll_from_the_residual(self, monkeypatch):
        """Without opposite views; fewer candidates keep the test short."""
        monkeypatch.setattr(module, "MAX_ROLL_DEG", 2.5)
        theta = np.deg2rad(np.arange(-70, 71, 7.0))
        result = find_roll(blob_scan(theta, roll_deg=1.0, reach=14, blobs=20).with_center(31.5))
        assert result.method == "residual"
        assert result.value == pytest.approx(1.0, abs=0.3)

    def test_too_few_rows_are_refused(self):
        with pytest.raises(Undetermined, match=r"has 2 rows.*--try-roll A:B:S.*--roll"):
            find_roll(blob_scan(WITH_OPPOSITE, rows=2))

    def test_selected_rows_are_refused(self):
        with pytest.raises(ValueError, match="before selecting rows"):
            find_roll(blob_scan(WITH_OPPOSITE).select_rows("2:30"))

    def test_noise_alone_does_not_determine_the_roll(self):
        noise = np.random.default_rng(0).standard_normal((46, 24, 40))
        result = roll_from_pairs(Scan.create(noise, WITH_OPPOSITE), 5.0)
        assert result is None or result.mismatch > 0.5
