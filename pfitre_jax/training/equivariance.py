"""Equivariant-imaging loss: a turned image that is measured again is to be reconstructed.

A sample may lie in the scanner at any angle. An image of it, turned and measured with the same missing wedge,
lacks other directions than the measurement did, and here the truth is known: what was measured in one
direction teaches what is missing in another.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pfitre_jax.interfaces import Solver
from pfitre_jax.operators.rotation import rotate
from pfitre_jax.solvers.slice_problem import SliceProblem

#: Weight of the mean absolute error beside the RMS error.
L1_WEIGHT = 0.25


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Turn:
    """Rotation of an image about its middle, after an optional reflection; or a batch of them.

    Attributes:
        mirrored: (), whether the image is reflected left to right first.
        quarters: (), number of quarter turns, 0 to 3.
        angle: (), further rotation, radians in [-pi/4, pi/4].
    """

    mirrored: Bool[Array, "*batch"]
    quarters: Int[Array, "*batch"]
    angle: Float[Array, "*batch"]

    @classmethod
    def random(cls, key: Array, count: int) -> Turn:
        """``count`` turns, uniform over all rotations and reflections."""
        mirror, quarter, angle = jax.random.split(key, 3)
        return cls(
            jax.random.bernoulli(mirror, shape=(count,)),
            jax.random.randint(quarter, (count,), 0, 4),
            jax.random.uniform(angle, (count,), minval=-jnp.pi / 4, maxval=jnp.pi / 4),
        )

    def __call__(self, image: Float[Array, "n n"]) -> Float[Array, "n n"]:
        """The turned image; ``self`` is a single turn."""
        image = jnp.where(self.mirrored, image[:, ::-1], image)
        image = jnp.where(self.quarters % 2 == 1, jnp.rot90(image), image)
        image = jnp.where(self.quarters >= 2, image[::-1, ::-1], image)
        return rotate(image, self.angle)


def turned_problem(
    problem: SliceProblem,
    sinogram: Float[Array, "views columns"],
    mask: Float[Array, "views columns"],
    support: Float[Array, "n n"],
) -> SliceProblem:
    """The same problem for another slice with another support."""
    kernel = dataclasses.replace(problem.kernel, support=support)
    return dataclasses.replace(problem.with_sinogram(sinogram, mask), support=support, kernel=kernel)


def measure_again(
    problem: SliceProblem,
    image: Float[Array, "n n"],
    turn: Turn,
    noise: Float[Array, ""] | float,
    key: Array,
) -> tuple[SliceProblem, Float[Array, "n n"]]:
    """The problem of the turned image, measured with the angles and the mask of ``problem``; and this image.

    ``y = M (A T x + e)`` with white noise ``e``. The support is turned with the image.

    Args:
        problem: Geometry, mask and support of the scan.
        image: (n, n), ``x``.
        turn: ``T``.
        noise: (), standard deviation of the noise in a bin.
        key: Key of the noise.
    """
    support = (turn(problem.support) > 0.5).astype(image.dtype)
    # Fourier shears overshoot at edges.
    truth = support * jnp.maximum(turn(image), 0)
    sinogram = problem.A(truth) + noise * jax.random.normal(key, problem.mask.shape, image.dtype)
    return turned_problem(problem, sinogram, problem.mask, support), truth


def image_loss(
    images: Float[Array, "rows n n"], truth: Float[Array, "rows n n"], supports: Float[Array, "rows n n"]
) -> Float[Array, ""]:
    """``rms(x - t) + 0.25 mean |x - t|`` over the pixels of all supports together: ().

    Rows with large errors count more: they are those with structure.
    """
    error, pixels = supports * (images - truth), jnp.maximum(jnp.sum(supports), 1)
    # The root has no gradient at 0.
    rms = jnp.sqrt(jnp.sum(error**2) / pixels + 1e-8)
    return rms + L1_WEIGHT * jnp.sum(jnp.abs(error)) / pixels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TurnedRows:
    """Turned images that were measured again; every array has a leading axis of rows.

    Attributes:
        sinograms: (rows, views, columns), the simulated measurements.
        masks: (rows, views, columns), 1 for a valid bin.
        supports: (rows, n, n), the turned supports.
        truth: (rows, n, n), the turned images.
    """

    sinograms: Float[Array, "rows views columns"]
    masks: Float[Array, "rows views columns"]
    supports: Float[Array, "rows n n"]
    truth: Float[Array, "rows n n"]


def turn_rows(
    problem: SliceProblem,
    images: Float[Array, "rows n n"],
    masks: Float[Array, "rows views columns"],
    noise: Float[Array, ""] | float,
    key: Array,
) -> TurnedRows:
    """Turns images at random and measures them again.

    Args:
        problem: Geometry and support of the scan.
        images: (rows, n, n), images in units of the scale of the scan.
        masks: (rows, views, columns), 1 for a valid bin.
        noise: (), standard deviation of the noise in a bin, in the same units.
        key: Key of turns and noise.
    """
    turn_key, noise_key = jax.random.split(key)
    turns = Turn.random(turn_key, len(images))

    def one(image, mask, turn, key):
        row, truth = measure_again(dataclasses.replace(problem, mask=mask), image, turn, noise, key)
        return TurnedRows(row.sinogram, mask, row.support, truth)

    return jax.vmap(one)(images, masks, turns, jax.random.split(noise_key, len(images)))


def equivariance_loss(
    solver: Solver, problem: SliceProblem, rows: TurnedRows, points: Any
) -> tuple[Float[Array, ""], Any]:
    """:func:`image_loss` of the proposals of one iteration of the loop, and the points after it.

    It is differentiable with respect to the solver. Points are constants: the gradient does not pass through
    earlier iterations or data steps, which would double its cost.

    Args:
        solver: The loop, a pytree.
        problem: Geometry of the scan.
        rows: The turned images.
        points: Iterates and states of the loop before the iteration; every array has a leading axis of rows.

    References:
        Chen, Tachella & Davies, Equivariant imaging, ICCV 2021. Liu et al., Isotropic reconstruction with
        deep learning (IsoNet), Nature Communications 13, 2022.
    """

    def one(row: TurnedRows, point):
        turned = turned_problem(problem, row.sinograms, row.masks, row.supports)
        point = solver.step(turned, *jax.lax.stop_gradient(point))
        return solver.proposal(*point), jax.lax.stop_gradient(point)

    proposals, points = jax.vmap(one)(rows, points)
    return image_loss(proposals, rows.truth, rows.supports), points
