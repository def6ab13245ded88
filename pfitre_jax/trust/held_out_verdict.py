"""Verdict on a reconstruction from its prediction of held-out views, beside that of FISTA-TV.

Interpolating views lie between the views that the image is computed from; they test noise, geometry and
data model. Extrapolating views lie at both ends of the angular range; they test what the prior supplies next
to the missing wedge. Nothing measured tests the middle of the wedge.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

#: Errors that differ by less than this share count as equal.
EQUAL_SHARE = 0.02
#: Errors that differ by less than this number of standard deviations count as equal.
EQUAL_DEVIATIONS = 2.0
#: Error over that of the noise alone, above which an interpolating set shows errors of the scan or its model.
MODEL_ERROR = 2.0

Kind = Literal["interpolating", "extrapolating"]
Comparison = Literal["better", "equal", "worse"]


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOutErrors:
    """Prediction errors of one set of held-out views.

    Attributes:
        kind: "interpolating" or "extrapolating".
        views: (held,), numbers of the held-out views in the raw stack.
        method: (held,), ``||M(A x - y)||^2`` of each view, of the method.
        reference: (held,), the same of FISTA-TV; None if that is the method itself.
        power: (held,), ``||M y||^2`` of each view.
        noise: (held,), the same of noise alone, ``sigma^2`` times the number of valid bins.
    """

    kind: Kind
    views: np.ndarray
    method: Float[np.ndarray, " held"]
    reference: Float[np.ndarray, " held"] | None
    power: Float[np.ndarray, " held"]
    noise: Float[np.ndarray, " held"]

    def relative(self, squares: Float[np.ndarray, " held"]) -> float:
        """``sqrt(sum squares / sum power)``, the relative error of all held-out views."""
        return float(np.sqrt(np.sum(squares) / max(float(np.sum(self.power)), 1e-30)))

    @property
    def error(self) -> float:
        """Relative prediction error of the method."""
        return self.relative(self.method)

    @property
    def reference_error(self) -> float | None:
        """Relative prediction error of FISTA-TV."""
        return None if self.reference is None else self.relative(self.reference)

    @property
    def floor(self) -> float:
        """Relative error that a perfect image would have because of the noise in the held-out views."""
        return self.relative(self.noise)

    @property
    def comparison(self) -> Comparison | None:
        """The method beside FISTA-TV; None if that is the method itself.

        "equal" if the errors differ by less than :data:`EQUAL_SHARE`, or the difference of the squared errors
        of a view is, in the mean over the views, within :data:`EQUAL_DEVIATIONS` standard deviations of 0.
        """
        if self.reference is None or self.reference_error is None:
            return None
        difference = self.method - self.reference
        deviation = np.std(difference, ddof=1) / np.sqrt(difference.size) if difference.size > 1 else np.inf
        unequal = abs(self.error / max(self.reference_error, 1e-30) - 1) > EQUAL_SHARE
        if not unequal or abs(np.mean(difference)) <= EQUAL_DEVIATIONS * deviation:
            return "equal"
        return "better" if np.mean(difference) < 0 else "worse"

    @property
    def text(self) -> str:
        """The errors in words."""
        beside = "" if self.reference is None else f"FISTA-TV {self.reference_error:.3g}, "
        return f"error of {self.error:.3g}, {beside}noise alone {self.floor:.3g}"

    def record(self) -> dict[str, Any]:
        """The errors as JSON values."""
        return {
            "views": self.views.tolist(),
            "error": self.error,
            "fista_tv": self.reference_error,
            "noise_floor": self.floor,
            "comparison": self.comparison,
        }


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOutVerdict:
    """Prediction of both sets of held-out views, and what it says.

    Attributes:
        label: Name of the method.
        interpolating: Errors of the interpolating set.
        extrapolating: Errors of the extrapolating set.
        rows: Rows of the raw stack that were reconstructed for it.
        seconds: Wall time.
        learned: Whether the method has a learned prior.
        adaptable: Whether this prior can be adapted to the scan, and was not.
    """

    label: str
    interpolating: HeldOutErrors
    extrapolating: HeldOutErrors
    rows: np.ndarray
    seconds: float = 0.0
    learned: bool = True
    adaptable: bool = True

    @property
    def sentences(self) -> list[str]:
        """The verdict in words: first the extrapolating set, then the interpolating one."""
        return [*self._of_extrapolation(), *self._of_interpolation()]

    @property
    def warnings(self) -> list[str]:
        """The sentences that advise against trusting the result."""
        bad = self.extrapolating.comparison == "worse", self.interpolating.comparison == "worse"
        warned = [
            *(self._of_extrapolation() if bad[0] else []),
            *(self._of_interpolation()[:1] if bad[1] else []),
        ]
        return warned

    def record(self) -> dict[str, Any]:
        """The verdict as JSON values, see ``summary.json`` in docs/reference/files.md."""
        return {
            "rows": self.rows.tolist(),
            "interpolating": self.interpolating.record(),
            "extrapolating": self.extrapolating.record(),
            "verdict": self.sentences,
            "seconds": self.seconds,
        }

    def _of_extrapolation(self) -> list[str]:
        errors = self.extrapolating
        prediction = f"{self.label} predicts views beyond the measured range"
        if errors.comparison is None:
            return [f"{prediction} with an {errors.text}"]
        if errors.comparison == "better":
            return [
                f"{prediction} better than FISTA-TV ({errors.text}): views that it has not seen confirm what "
                "it supplies next to the wedge"
            ]
        if errors.comparison == "equal":
            return [
                f"{prediction} as well as FISTA-TV ({errors.text}): the data do not decide between them, so "
                "trust in the wedge only what both show"
            ]
        adapt = ", or adapt the prior to the scan with adapt=True" if self.adaptable else ""
        return [
            f"{prediction} worse than FISTA-TV ({errors.text}): do not trust structure that FISTA-TV does "
            f"not show, and use method='fista-tv'{adapt}"
        ]

    def _of_interpolation(self) -> list[str]:
        errors, sentences = self.interpolating, []
        if errors.comparison == "worse":
            advice = (
                "its prior contradicts the data; use method='fista-tv', or a smaller rho"
                if self.learned
                else "use method='fista-tv'"
            )
            sentences.append(
                f"{self.label} predicts even views between measured ones worse than FISTA-TV "
                f"({errors.text}): {advice}"
            )
        best = min(errors.error, errors.reference_error or errors.error)
        if errors.floor > 0 and best > MODEL_ERROR * errors.floor:
            sentences.append(
                f"views between measured ones are predicted with {best / errors.floor:.1f} times the error "
                "of noise alone: there are too few views for the detail of the sample, or the scan has a "
                "fault (see the warnings about its residual)"
            )
        return sentences
