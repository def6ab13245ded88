"""The reconstruction problem that all rows of a scan share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.operators.projector import Projector
from pfitre_jax.runtime.compilation import as_arrays, compiled
from pfitre_jax.solvers.slice_problem import SliceProblem


def shared_problem(
    geometry: ParallelGeometry, support: Float[np.ndarray, "ny nx"]
) -> tuple[SliceProblem, float]:
    """The problem that all rows of a scan share, with an empty sinogram, and its seconds of compilation."""
    args = as_arrays((geometry, np.asarray(support, np.float32), Wedge.from_angles(geometry.theta_rad)))
    executable, seconds = compiled(_shared_problem, *args)
    return executable(*args), seconds


@jax.jit
def _shared_problem(geometry: ParallelGeometry, support: Array, wedge: Wedge) -> SliceProblem:
    ny, nx = support.shape
    A = Projector(geometry, (ny, nx))
    return SliceProblem.create(A, jnp.zeros(A.sinogram_shape, support.dtype), None, support, wedge)
