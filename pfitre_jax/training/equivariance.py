"""Equivariant-imaging loss: a rotated image that is measured again is to be reconstructed.

A sample may lie in the scanner at any angle. An image of it, rotated and measured with the same missing
wedge, lacks other directions than the measurement did, and here the truth is known: what was measured in one
direction teaches what is missing in another.

An item is a slice, with a sinogram (views, columns), or a slab of neighbouring rows, with sinograms
(rows, views, columns), which a prior that couples rows reconstructs as one volume. All rows of a slab are
rotated by the same angle.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pfitre_jax.interfaces import Problem, Solver
from pfitre_jax.operators.rotation import rotate
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.solvers.volume_problem import VolumeProblem

#: Weight of the mean absolute error beside the RMS error.
L1_WEIGHT = 0.25


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rotation:
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
    def random(cls, key: Array, count: int) -> Rotation:
        """``count`` rotations, uniform over all rotations and reflections."""
        mirror, quarter, angle = jax.random.split(key, 3)
        return cls(
            jax.random.bernoulli(mirror, shape=(count,)),
            jax.random.randint(quarter, (count,), 0, 4),
            jax.random.uniform(angle, (count,), minval=-jnp.pi / 4, maxval=jnp.pi / 4),
        )

    def __call__(self, image: Float[Array, "*rows n n"]) -> Float[Array, "*rows n n"]:
        """The rotated image or slab; ``self`` is a single rotation."""
        if image.ndim == 3:
            return jax.vmap(self)(image)
        image = jnp.where(self.mirrored, image[:, ::-1], image)
        image = jnp.where(self.quarters % 2 == 1, jnp.rot90(image), image)
        image = jnp.where(self.quarters >= 2, image[::-1, ::-1], image)
        return rotate(image, self.angle)


def problem_of(
    problem: SliceProblem,
    sinogram: Float[Array, "*rows views columns"],
    mask: Float[Array, "*rows views columns"],
    support: Float[Array, "n n"],
) -> Problem:
    """The same problem for an item with another support, which all rows of a slab share."""
    problem = problem.with_support(support)
    if sinogram.ndim == 3:
        return VolumeProblem.create(problem, sinogram, mask)
    return problem.with_sinogram(sinogram, mask)


def measure_rotated(
    problem: SliceProblem,
    image: Float[Array, "*rows n n"],
    mask: Float[Array, "*rows views columns"],
    rotation: Rotation,
    noise: Float[Array, ""] | float,
    key: Array,
) -> RotatedItems:
    """An item, rotated and measured with the angles of ``problem``.

    ``y = M (A T x + e)`` with white noise ``e``. The support is rotated with the image.

    Args:
        problem: Geometry and support of the scan.
        image: (n, n) or (rows, n, n), ``x``.
        mask: (views, columns) or (rows, views, columns), ``M``.
        rotation: ``T``.
        noise: (), standard deviation of the noise in a bin.
        key: Key of the noise.
    """
    support = (rotation(problem.support) > 0.5).astype(image.dtype)
    # Fourier shears overshoot at edges.
    truth = jnp.broadcast_to(support, image.shape) * jnp.maximum(rotation(image), 0)
    # Without data the residual is M A x.
    clean = problem_of(problem, jnp.zeros_like(mask), mask, support).residual(truth)
    sinogram = clean + mask * noise * jax.random.normal(key, mask.shape, image.dtype)
    return RotatedItems(sinogram, mask, support, truth)


def image_loss(
    images: Float[Array, "items *rows n n"],
    truth: Float[Array, "items *rows n n"],
    supports: Float[Array, "items n n"],
) -> Float[Array, ""]:
    """``rms(x - t) + 0.25 mean |x - t|`` over the pixels of all supports together: ().

    Images with large errors count more: they are those with structure.
    """
    rows = images.size // supports.size
    supports = supports.reshape(len(supports), *(images.ndim - supports.ndim) * (1,), *supports.shape[1:])
    error, pixels = supports * (images - truth), jnp.maximum(rows * jnp.sum(supports), 1)
    # The root has no gradient at 0.
    rms = jnp.sqrt(jnp.sum(error**2) / pixels + 1e-8)
    return rms + L1_WEIGHT * jnp.sum(jnp.abs(error)) / pixels


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RotatedItems:
    """Rotated items that were measured again, with a leading axis of items; or one of them, without it.

    Attributes:
        sinograms: (items, [rows,] views, columns), the simulated measurements.
        masks: (items, [rows,] views, columns), 1 for a valid bin.
        supports: (items, n, n), the rotated supports.
        truth: (items, [rows,] n, n), the rotated images.
    """

    sinograms: Float[Array, "*items views columns"]
    masks: Float[Array, "*items views columns"]
    supports: Float[Array, "*items n n"]
    truth: Float[Array, "*items n n"]


def rotate_items(
    problem: SliceProblem,
    images: Float[Array, "items *rows n n"],
    masks: Float[Array, "items *rows views columns"],
    noise: Float[Array, ""] | float,
    key: Array,
) -> RotatedItems:
    """Rotates images at random and simulates their measurement.

    Args:
        problem: Geometry and support of the scan.
        images: (items, [rows,] n, n), images in units of the scale of the scan.
        masks: (items, [rows,] views, columns), 1 for a valid bin.
        noise: (), standard deviation of the noise in a bin, in the same units.
        key: Key of rotations and noise.
    """
    rotation_key, noise_key = jax.random.split(key)
    rotations = Rotation.random(rotation_key, len(images))

    def one(image, mask, rotation, key):
        return measure_rotated(problem, image, mask, rotation, noise, key)

    return jax.vmap(one)(images, masks, rotations, jax.random.split(noise_key, len(images)))


def equivariance_loss(
    solver: Solver, problem: SliceProblem, items: RotatedItems, states: Any
) -> tuple[Float[Array, ""], Any]:
    """:func:`image_loss` of the proposals of one iteration of the loop, and the states after it.

    It is differentiable with respect to the solver. Points are constants: the gradient does not pass through
    earlier iterations or data steps, which would double its cost.

    Args:
        solver: The loop, a pytree.
        problem: Geometry of the scan.
        items: The rotated images.
        states: Iterates and states of the loop before the iteration; every array has a leading axis of items.

    References:
        Chen, Tachella & Davies, Equivariant imaging, ICCV 2021. Liu et al., Isotropic reconstruction with
        deep learning (IsoNet), Nature Communications 13, 2022.
    """

    def one(item: RotatedItems, state):
        rotated = problem_of(problem, item.sinograms, item.masks, item.supports)
        state = solver.step(rotated, *jax.lax.stop_gradient(state))
        return solver.proposal(*state), jax.lax.stop_gradient(state)

    proposals, states = jax.vmap(one)(items, states)
    return image_loss(proposals, items.truth, items.supports), states
