"""The solver of a method for a calibrated scan."""

from __future__ import annotations

import dataclasses

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration
from pfitre_jax.estimation.support import field_of_view
from pfitre_jax.interfaces import Solver
from pfitre_jax.priors.window import Windowed
from pfitre_jax.reconstruction.methods import Settings, build
from pfitre_jax.solvers.slice_problem import SliceProblem


def build_for_scan(settings: Settings, scan: Scan, calibration: Calibration) -> tuple[Settings, Solver]:
    """The solver of a calibrated scan, and its settings: a learned prior acts inside the field of view only.

    Args:
        settings: Settings without "auto", see :meth:`Settings.resolve`.
        scan: The scan.
        calibration: Its calibration.
    """
    windowed = _restrict_to_field(settings, scan, calibration.problem)
    return windowed, build(windowed, calibration.scale)


def _restrict_to_field(settings: Settings, scan: Scan, problem: SliceProblem) -> Settings:
    """The settings with a learned prior that is restricted to the field of view, where the image is larger.

    Outside the field of view the image only absorbs the excess of truncated rays: no prior there.
    """
    field, side = field_of_view(scan.geometry()), max(problem.support.shape)
    if settings.prior is None or side <= field:
        return settings
    return dataclasses.replace(settings, prior=Windowed(settings.prior, field, side))
