"""Solvers of validated settings: of any data, and of a calibrated scan."""

from __future__ import annotations

import dataclasses

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import Calibration
from pfitre_jax.estimation.support import field_of_view
from pfitre_jax.interfaces import Solver
from pfitre_jax.priors.window import Windowed
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.methods import METHODS
from pfitre_jax.solvers.slice_problem import SliceProblem


def build(
    settings: Settings, scale: float = 1.0, *, initial_estimate: bool = True, coarse: bool = True
) -> Solver:
    """The solver of a method.

    Args:
        settings: Settings without "auto", see :meth:`Settings.resolve`.
        scale: Value by which the sinograms are divided.
        initial_estimate: Whether a method with an initial estimate (TV warm start) computes it; False to
            start from a previous result.
        coarse: Whether such a method starts from coarser levels.
    """
    method = METHODS[settings.method]
    values = {name: getattr(settings, name) for name in method.defaults if name != "iterations"}
    if method.initial_estimate and not initial_estimate:
        values["initial_iterations"] = 0
    if method.initial_estimate:
        values["coarse"] = coarse
    first_steps = min(method.first_steps, settings.iterations // 2)
    return settings.data_model.wrap(method.build(**values), scale, first_steps)


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
