"""Summary of the line integrals of a scan."""

import numpy as np
import pytest

from pfitre_jax.data.content_summary import ContentSummary
from pfitre_jax.data.scan import Scan

THETA = np.deg2rad(np.arange(0, 180, 20.0))


def test_noise_in_the_air_is_no_negative_signal():
    noise = np.random.default_rng(0).normal(size=(len(THETA), 3, 64))
    sample = np.zeros(64)
    sample[24:40] = 100
    summary = ContentSummary.collect(Scan.create(noise + sample, THETA))
    # The mean magnitude of the noise is sqrt(2 / pi), half of it below 0, in 48 of 64 bins.
    expected = 48 * 0.5 * np.sqrt(2 / np.pi) / (16 * 100 + 48 * np.sqrt(2 / np.pi))
    assert summary.negative_share == pytest.approx(expected, rel=0.1)
    assert ContentSummary.collect(Scan.create(noise, THETA)).negative_share == pytest.approx(0.5, abs=0.05)
    assert ContentSummary.collect(Scan.create(-noise - sample, THETA)).negative_share > 0.95
