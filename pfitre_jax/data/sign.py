"""Sign of the line integrals of a scan: a sample that absorbs or emits has positive ones."""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.checks import NoSignal
from pfitre_jax.data.scan import Scan

#: Line integrals are negative as a whole if the largest ones of a view are below this share of the largest
#: negative ones, in the median over the views; noise and a small offset of the beam are symmetric or smaller.
POSITIVE_SHARE = 0.25
#: Mean line integral below which no beam was divided by its own intensity: it would have gained a factor e.
LEAST_MEAN = -1.0


def check_sign(scan: Scan) -> None:
    """Checks that the line integrals are not negative as a whole; every method returns 0 for such data.

    Raises:
        NoSignal: They are negative, and their sum is, too; the message names the likely causes.
    """
    overview = scan.overview
    highest = float(np.median(np.max(overview.peak, axis=1)))
    lowest = float(np.median(np.min(overview.trough, axis=1)))
    total = float(np.sum(overview.signal, dtype=float))
    stated = scan.provenance.get("data", "absorption")
    amplified = stated != "absorption" and total < LEAST_MEAN * float(np.sum(overview.valid, dtype=float))
    if not amplified and (total >= 0 or lowest >= 0 or highest >= POSITIVE_SHARE * -lowest):
        return
    cause = {
        "transmission": "the transmission exceeds 1: divide the projections by the beam without sample, or "
        "give data='counts' for detector counts with flat and dark frames, or data='absorption' for line "
        "integrals",
        "counts": "the counts exceed the flat: check the flat and dark frames",
    }.get(
        stated,
        "multiply them by -1 if their sign is inverted (phase shifts, logarithms), or give "
        "data='transmission' for p/p0, or data='counts' for detector counts with flat and dark frames",
    )
    raise NoSignal(
        f"the line integrals are negative as a whole (views reach from {lowest:.3g} to {highest:.3g} in the "
        f"median); expected positive ones of a sample: {cause}"
    )
