"""Quality of the default method on the shipped sample, against its truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import pfitre_jax as pf
from pfitre_jax.metrics import psnr

SAMPLE = Path(pf.__file__).parent / "samples" / "chip.npz"
#: A row with wires along and across the missing wedge.
ROW = 3
#: dB.
FLOOR, MARGIN = 22.0, 6.0
#: TV weights around that of the largest PSNR.
WEIGHTS = (1e-3, 3e-3)


def test_the_learned_prior_has_the_expected_gain_on_the_sample():
    scan = pf.load_scan(SAMPLE)
    with np.load(SAMPLE) as arrays:
        truth = arrays["truth"][ROW].astype(np.float32)
    y, x = np.mgrid[: truth.shape[0], : truth.shape[1]] - (truth.shape[0] - 1) / 2
    support = x**2 + y**2 <= (truth.shape[0] / 2) ** 2

    def quality(method, **settings):
        # The automatic choice of weight, iterations and support takes minutes with the code generator of the
        # tests.
        settings |= {"rows": slice(ROW, ROW + 1), "support": "disc", "intervals": "off"}
        return float(psnr(pf.reconstruct(scan, method, **settings).volume[0], truth, support))

    learned = quality("pfitre", iterations=10)
    classical = max(quality("fista-tv", weight=weight) for weight in WEIGHTS)
    assert learned > FLOOR and learned > classical + MARGIN, (learned, classical)
