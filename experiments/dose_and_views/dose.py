"""Dose saving of one quality curve over another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Saving(NamedTuple):
    """Dose saving at equal quality.

    Attributes:
        factor: Dose of the other curve over the dose of our curve.
        bound: "" where our curve reaches the quality, ">" where it is better at its smallest dose, "<" where
            it is worse at its largest dose.
    """

    factor: float
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.bound}{self.factor:.3g}"


def dose_saving(dose: float, quality: float, doses, qualities) -> Saving:
    """Ratio ``dose / d``, where our curve reaches ``quality`` at the dose ``d``.

    The curve is interpolated linearly in ``log d``. It is made monotonic first: at each dose it has the best
    quality of all smaller doses.

    Args:
        dose: Dose of the other curve.
        quality: Quality of the other curve at that dose.
        doses: (n,), doses of our curve, positive, in any order.
        qualities: (n,), qualities of our curve, such as dB; larger is better.

    Examples:
        >>> str(dose_saving(1.0, 20.0, doses=[0.01, 0.1, 1.0], qualities=[10.0, 20.0, 22.0]))
        '10'
    """
    order = np.argsort(doses)
    doses = np.asarray(doses, float)[order]
    best = np.maximum.accumulate(np.asarray(qualities, float)[order])
    if best[0] > quality:
        return Saving(dose / doses[0], ">")
    if best[-1] < quality:
        return Saving(dose / doses[-1], "<")
    index = int(np.argmax(best >= quality))
    if best[index] == quality:
        return Saving(float(dose / doses[index]))
    fraction = (quality - best[index - 1]) / (best[index] - best[index - 1])
    log_dose = np.interp(fraction, (0, 1), np.log(doses[index - 1 : index + 1]))
    return Saving(float(dose / np.exp(log_dose)))
