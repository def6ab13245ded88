"""Accuracy of the projector: against ASTRA's ``linear``, dot test of the adjoint, gradients.

    python -m benchmarks.accuracy             # half a minute

The tests check limits for the same figures; this prints their values. ``pip install -e .[bench]`` installs
ASTRA.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.timing import table
from pfitre_jax import ParallelGeometry, Projector
from pfitre_jax.operators import dot_test

#: Size, views and rotation axis of the scans; the axes are off the centre of the detector.
SCANS = ((152, 51, 75.0), (256, 180, 130.8))
#: Step of the finite differences.
STEP = 1e-6


def astra_projection(image, theta_rad, center: float):
    """Sinogram (views, columns) of ASTRA's ``linear`` projector, for an image as wide as the detector.

    ASTRA has the same rays ``x cos + y sin = t``, and its rotation axis at the centre of the detector; the
    detector is shifted to account for ``center``.
    """
    import astra

    columns = image.shape[1]
    shift = (columns - 1) / 2 - center
    cos, sin = np.cos(theta_rad), np.sin(theta_rad)
    # Columns: ray direction, centre of the detector, step between bins.
    vectors = np.stack([sin, -cos, shift * cos, shift * sin, cos, sin], axis=1)
    geometry = astra.create_proj_geom("parallel_vec", columns, vectors)
    projector = astra.create_projector("linear", geometry, astra.create_vol_geom(*image.shape))
    return astra.OpTomo(projector).FP(np.asarray(image, np.float32))


def against_astra(n: int, views: int, center: float) -> list[str]:
    """Relative difference to ASTRA on a random and on a smooth image, and the error of the dot test."""
    theta = np.linspace(-0.7, np.pi - 0.7, views, endpoint=False)
    A = Projector(ParallelGeometry.create(theta, n, center))
    noise = np.random.default_rng(0).random((n, n)).astype(np.float32)
    numbers = []
    for image in (noise, gaussian_filter(noise, 3)):
        expected = astra_projection(image, theta, center)
        numbers.append(
            np.linalg.norm(np.asarray(A(jnp.asarray(image))) - expected) / np.linalg.norm(expected)
        )
    numbers.append(dot_test(A, A.T, A.shape, A.sinogram_shape))
    return [f"{number:.1e}" for number in numbers]


def gradient_errors() -> dict[str, float]:
    """Relative error of each gradient against a central difference in a random direction, in x64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        theta = np.deg2rad([3.0, 31.0, 58.0, 97.0, 131.0, 166.0])
        A = Projector(ParallelGeometry.create(theta, 30, 14.23, shifts=np.linspace(-0.31, 0.47, 6)), (28, 30))
        image = jnp.asarray(gaussian_filter(rng.random((28, 30)), 2))

        def loss(image, geometry):
            return jnp.sum(jnp.sin(dataclasses.replace(A, geometry=geometry)(image) / 3))

        def error(function, point):
            direction = rng.standard_normal(np.shape(point))
            slope = float(jnp.sum(jax.grad(function)(point) * direction))
            ahead, behind = (float(function(point + s * STEP * direction)) for s in (1, -1))
            return abs(slope / ((ahead - behind) / (2 * STEP)) - 1)

        errors = {"image": error(lambda x: loss(x, A.geometry), image)}
        for name, label in (("theta_rad", "angles"), ("center", "centre"), ("shifts", "shifts")):
            point = getattr(A.geometry, name)
            along = lambda v, name=name: loss(image, dataclasses.replace(A.geometry, **{name: v}))  # noqa: E731
            errors[label] = error(along, point)
        return errors


def main() -> None:
    rows = [
        [f"{n}^2/{views}, centre {center:g}", *against_astra(n, views, center)] for n, views, center in SCANS
    ]
    print(table(["", "random image", "smooth image", "dot test"], rows) + "\n")
    rows = [[name, f"{value:.1e}"] for name, value in gradient_errors().items()]
    print(table(["gradient to", "against finite differences"], rows))


if __name__ == "__main__":
    main()
