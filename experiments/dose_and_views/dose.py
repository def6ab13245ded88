"""The dose that one curve needs for the quality of another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Saving(NamedTuple):
    """factor: dose of the other curve over that of ours

    bound: "" where our curve reaches the quality, ">" where it is better already at its smallest dose, "<"
        where it stays worse at its largest
    """

    factor: float
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.bound}{self.factor:.3g}"


def saving(dose: float, quality: float, doses, qualities) -> Saving:
    """How many times less dose our curve needs for the ``quality`` that another has at ``dose``.

    ``dose / d``, ``d`` the dose at which the curve through ``(doses, qualities)`` reaches ``quality``: linear
    in ``log d`` between two points. More dose does no harm: the curve is the best quality so far.

    doses: (n,), positive, in any order; qualities: (n,), larger is better, such as dB

    >>> str(saving(1.0, 20.0, doses=[0.01, 0.1, 1.0], qualities=[10.0, 20.0, 22.0]))
    '10'
    """
    order = np.argsort(doses)
    doses = np.asarray(doses, float)[order]
    best = np.maximum.accumulate(np.asarray(qualities, float)[order])
    if best[0] > quality:
        return Saving(dose / doses[0], ">")
    if best[-1] < quality:
        return Saving(dose / doses[-1], "<")
    at = int(np.argmax(best >= quality))
    if best[at] == quality:
        return Saving(float(dose / doses[at]))
    part = (quality - best[at - 1]) / (best[at] - best[at - 1])
    return Saving(float(dose / np.exp(np.interp(part, (0, 1), np.log(doses[at - 1 : at + 1])))))
