"""Number of iterations by held-out views: a prior that damages the image is applied less often."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from analytic import CENTER, THETA, disc_sinogram

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import calibrate
from pfitre_jax.estimation.iteration_selection import MAX_ITERATIONS, TOLERANCE, select_iterations
from pfitre_jax.interfaces import Prior
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.sirt import SIRT

DISCS = [(5.0, -4.0, 5.0, 1.0), (-3.0, 3.0, 3.0, 0.5)]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shifting(Prior):
    """Moves the image by some pixels: the more often, the worse."""

    pixels: int = dataclasses.field(metadata={"static": True})

    def denoise(self, v, *, correction, wedge, rho):
        return jnp.roll(v, self.pixels, axis=-1)


def chosen(prior, views=slice(None), solver=None):
    theta = THETA[views]
    scan = Scan.create(disc_sinogram(DISCS, theta)[:, None].astype(np.float32), theta, center=CENTER)
    calibration = calibrate(scan, "scale")
    solver = solver or HQS(prior, 0.05, initial_iterations=5)
    return select_iterations(scan, calibration.problem, solver, calibration.scale, 7)


def test_a_prior_that_damages_the_image_is_applied_once():
    choice = chosen(Shifting(3))
    assert choice.iterations == 1
    assert choice.errors.shape == (MAX_ITERATIONS,) and choice.errors[0] < choice.errors[-1]
    assert not choice.still_falls and choice.record()["by"] == "auto"


def test_the_first_iteration_of_a_flat_curve_is_chosen():
    choice = chosen(Shifting(0))
    limit = (1 + TOLERANCE) * choice.errors.min()
    assert choice.errors[choice.iterations - 1] <= limit
    assert np.all(choice.errors[: choice.iterations - 1] > limit)


def test_a_slow_solver_iterates_while_the_error_falls():
    choice = chosen(Shifting(0), solver=SIRT())
    assert choice.iterations > 12 and choice.still_falls == (choice.iterations > 18)


def test_a_scan_of_few_views_uses_the_default():
    assert chosen(Shifting(3), slice(0, 9)).iterations == 7
