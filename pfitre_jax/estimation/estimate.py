"""An estimate of the centre or the roll, and the error where a scan does not determine it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """Estimated centre (detector index) or roll (degrees) of a scan.

    Attributes:
        value: The estimate.
        method: "opposite views" or "residual".
        uncertainty: Of a centre half the width of the interval that covers the truth in 95% of simulated
            scans; of a roll one standard deviation, from the scatter of rows and pairs of views.
        candidates: (n,), the values of the curve whose minimum it is.
        scores: (n,), the curve: the mismatch of opposite views, or the relative residual.
        mismatch: Value of the curve at its minimum: the share of the energy by which opposite views differ,
            or the relative residual.
    """

    value: float
    method: str
    uncertainty: float
    candidates: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    mismatch: float


class Undetermined(ValueError):
    """The scan does not determine its centre or its roll."""
