"""Selection of a prior, or of none, by held-out views of the scan."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration, calibrate
from pfitre_jax.estimation.held_out_views import MIN_VIEWS
from pfitre_jax.estimation.iteration_selection import IterationSelection, select_iterations
from pfitre_jax.estimation.tv_prediction import tv_prediction_error
from pfitre_jax.reconstruction.method_settings import NO_PRIOR, Settings
from pfitre_jax.reconstruction.scan_solver import build_for_scan

#: Another prior is chosen instead of the first one if its error is below this share of that of the first one,
#: and total variation if its error is below the second share of that of every prior
#: (``python -m experiments.prior_selection``).
OTHER_PRIOR_SHARE, TV_SHARE = 0.98, 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """Calibration and number of iterations of the chosen prior, which the plan uses.

    Attributes:
        calibration: Calibration of the scan.
        iterations: Selection of the number of iterations, with the errors of the held-out views.
    """

    calibration: Calibration
    iterations: IterationSelection


@dataclasses.dataclass(frozen=True, eq=False)
class PriorSelection:
    """A prior, or total variation, and why it was chosen.

    Attributes:
        chosen: Name of the prior, or :data:`pfitre_jax.reconstruction.method_settings.NO_PRIOR`.
        reason: The reason, in words.
        errors: Relative prediction error of the held-out views, by name; empty if the scan has too few.
        trial: What has been computed for the chosen prior; None for total variation.
    """

    chosen: str
    reason: str
    errors: dict[str, float]
    trial: Trial | None

    def record(self) -> dict[str, Any]:
        """The choice as JSON values."""
        by = "auto" if self.errors else "default"
        return {"by": by, "chosen": self.chosen, "reason": self.reason, "errors": self.errors}


def select_prior(scan: Scan, settings: Settings, *, scale: float | None = None) -> PriorSelection:
    """Chooses one of the candidates of the settings, or total variation.

    A few rows are reconstructed with every prior and by total variation without the views at one end of the
    angular range, and without those at the other end; see :func:`choose_prior` for the rule. The same
    reconstructions select the number of iterations of every prior, so that each further candidate costs one
    more such selection. A method that diverges is not chosen.

    Args:
        scan: The scan; its centre is known.
        settings: Settings with candidates.
        scale: A known scale, see :func:`pfitre_jax.estimation.calibrate.calibrate`.
    """
    calibration = calibrate(scan, "rho", support=settings.support, scale=scale)
    problem, seconds = calibration.problem, calibration.seconds_compile
    selections: dict[str, IterationSelection] = {}
    errors: dict[str, float] = {}
    for name in settings.prior_candidates:
        resolved = settings.with_candidate(name).resolve(calibration.tv_weight, calibration.rho)
        _, solver = build_for_scan(resolved, scan, calibration)
        selected = select_iterations(scan, problem, solver, calibration.scale, settings.iterations)
        selections[name], seconds = selected, seconds + selected.seconds_compile
        if selected.errors.size:
            used = selected.iterations if settings.automatic_iterations else settings.iterations
            errors[name] = float(selected.errors[min(used, selected.errors.size) - 1])
    if scan.views >= MIN_VIEWS:
        assert calibration.tv_weight is not None
        tv_error, more = tv_prediction_error(scan, problem, calibration.scale, calibration.tv_weight)
        errors |= {NO_PRIOR: tv_error} if math.isfinite(tv_error) else {}
        seconds += more
    chosen, reason = choose_prior(errors, next(iter(settings.prior_candidates)))
    calibration = dataclasses.replace(calibration, seconds_compile=seconds)
    trial = None if chosen == NO_PRIOR else Trial(calibration, selections[chosen])
    return PriorSelection(chosen, reason, errors, trial)


def choose_prior(errors: Mapping[str, float], first: str) -> tuple[str, str]:
    """Name of the choice and the reason, in words.

    Args:
        errors: Relative prediction error of the held-out views of every prior and of total variation
            (:data:`pfitre_jax.reconstruction.method_settings.NO_PRIOR`), without those that diverge;
            empty if views could not be held out.
        first: Name of the prior that is used unless the errors speak clearly for another one.
    """
    if not errors:
        return first, f"{first}, because the scan has too few views to hold some out"
    priors = {name: error for name, error in errors.items() if name != NO_PRIOR}
    shown = ", ".join(f"{name} {error:.3g}" for name, error in errors.items())
    if not priors:
        return NO_PRIOR, f"{NO_PRIOR}, because every prior diverges (relative errors: {shown})"
    best = min(priors, key=lambda name: priors[name])
    chosen = first if first in priors and priors[best] >= OTHER_PRIOR_SHARE * priors[first] else best
    if errors.get(NO_PRIOR, math.inf) < TV_SHARE * priors[best]:
        chosen = NO_PRIOR
    if errors[chosen] == min(errors.values()):
        why = "predicts held-out views best"
    elif chosen == first:
        why = "is the default, and no other choice predicts held-out views clearly better"
    else:
        why = "is better than the other priors on held-out views, and total variation is not clearly better"
    return chosen, f"{chosen} {why} (relative errors: {shown})"
