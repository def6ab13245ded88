"""The parallel-beam projector ``A`` and its exact adjoint, differentiable in the image and the geometry."""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators import joseph as kernels


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _project(theta, offset, image, columns):
    return kernels.forward(theta, offset, image, columns)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _backproject(theta, offset, sinogram, shape):
    return kernels.adjoint(theta, offset, sinogram, shape)


def _project_fwd(theta, offset, image, columns):
    return _project(theta, offset, image, columns), (theta, offset, image)


def _project_bwd(columns, saved, sinogram_ct):
    theta, offset, image = saved
    d_theta, d_offset = kernels.geometry_gradient(theta, offset, image, sinogram_ct)
    return d_theta, d_offset, _backproject(theta, offset, sinogram_ct, image.shape)


def _backproject_fwd(theta, offset, sinogram, shape):
    return _backproject(theta, offset, sinogram, shape), (theta, offset, sinogram)


def _backproject_bwd(shape, saved, image_ct):
    theta, offset, sinogram = saved
    d_theta, d_offset = kernels.geometry_gradient(theta, offset, image_ct, sinogram)
    return d_theta, d_offset, _project(theta, offset, image_ct, sinogram.shape[1])


_project.defvjp(_project_fwd, _project_bwd)
_backproject.defvjp(_backproject_fwd, _backproject_bwd)


# Compared by identity: hashable, as jax.jit(A) requires of a function.
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Projector:
    """Line integrals of an image along the rays of a geometry, ``(A x)[v, k] = sum_p w_v(t_k - u_p) x_p``.

    Joseph's weights ``w`` (see :mod:`pfitre_jax.operators.joseph`), lengths in pixels, pixels as wide as
    bins. ``A(x)`` and ``A @ x`` project, ``A.T(y)`` and ``A.T @ y`` backproject, ``A.normal(x)`` is both. A
    pytree: ``jit``, ``vmap`` and ``grad`` (with respect to the image, the angles, the centre and the shifts,
    twice) work through it; ``vmap`` over slices with one geometry uses a batched kernel. There is no forward
    mode.

    Attributes:
        geometry: The :class:`pfitre_jax.geometry.ParallelGeometry`.
        shape: (ny, nx) of the image. None: (columns, columns).

    Examples:
        >>> A = Projector(ParallelGeometry.create(theta_rad=[0.0, 1.0], columns=8))
        >>> x, y = jnp.ones((8, 8)), jnp.ones((2, 8))
        >>> (A @ x).shape, (A.T @ y).shape, A.normal(x).shape
        ((2, 8), (8, 8), (8, 8))
    """

    geometry: ParallelGeometry
    shape: tuple[int, int] | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self):
        if self.shape is None:
            object.__setattr__(self, "shape", (self.geometry.columns,) * 2)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return self.shape or (self.geometry.columns, self.geometry.columns)

    @property
    def sinogram_shape(self) -> tuple[int, int]:
        """(views, columns)."""
        return self.geometry.views, self.geometry.columns

    def __call__(self, image: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        """``A x``: image (ny, nx) -> sinogram (views, columns)."""
        _check("image", image, self.image_shape)
        theta, offset = self._angles_and_offsets(image.dtype)
        return _project(theta, offset, image, self.geometry.columns)

    def __matmul__(self, image: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        """``A x``: image (ny, nx) -> sinogram (views, columns)."""
        return self(image)

    def transpose(self, sinogram: Float[Array, "views columns"]) -> Float[Array, "ny nx"]:
        """``A^T y``: sinogram (views, columns) -> image (ny, nx); the method that a subclass overrides."""
        _check("sinogram", sinogram, self.sinogram_shape)
        theta, offset = self._angles_and_offsets(sinogram.dtype)
        return _backproject(theta, offset, sinogram, self.image_shape)

    # One object per projector, so that jax.jit(A.T) is compiled once.
    @functools.cached_property
    def T(self) -> Backprojector:
        """``A^T``, the exact transpose: sinogram (views, columns) -> image (ny, nx)."""
        return Backprojector(self)

    def normal(self, image: Float[Array, "ny nx"]) -> Float[Array, "ny nx"]:
        """``A^T A x``: (ny, nx) -> (ny, nx)."""
        return self.T(self(image))

    def norm_squared(
        self, iterations: int = 5, view_weights: Float[Array, " views"] | None = None
    ) -> Float[Array, ""]:
        """``||A||^2``, by the Lanczos iteration from an image of ones.

        ``A`` has no negative weight, so that the start is not orthogonal to the leading vector. The estimate
        is the largest eigenvalue of ``A^T A`` in the space of the first iterates: below the true one, after 5
        iterations by less than 1e-4 of it.

        Args:
            iterations: Dimension of that space.
            view_weights: (views,), ``W``; the result is then the largest eigenvalue of ``A^T W A``.

        References:
            Lanczos, J. Res. NBS 45, 1950.
        """

        def normal(image):
            projected = self(image)
            return self.T(projected if view_weights is None else view_weights[:, None] * projected)

        def iterate(carry, _):
            image, previous, off_diagonal = carry
            new = normal(image) - off_diagonal * previous
            diagonal = jnp.sum(new * image)
            new = new - diagonal * image
            squared = jnp.sum(new**2)
            # Nothing remains where the space is exhausted: the rest of the matrix is 0.
            more = squared > 1e-12 * diagonal**2
            off_diagonal = jnp.where(more, jnp.sqrt(jnp.where(more, squared, 1)), 0)
            new = jnp.where(more, new / jnp.where(more, off_diagonal, 1), 0)
            return (new, image, off_diagonal), (diagonal, off_diagonal)

        dtype = self.geometry.theta_rad.dtype
        start = jnp.full(self.image_shape, 1 / math.prod(self.image_shape) ** 0.5, dtype)
        first = start, jnp.zeros_like(start), jnp.zeros((), dtype)
        _, (diagonal, beside) = jax.lax.scan(iterate, first, length=iterations)
        matrix = jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)
        return jnp.linalg.eigvalsh(matrix)[-1]

    def _angles_and_offsets(self, dtype):
        g = self.geometry
        return g.theta_rad.astype(dtype), (g.center + g.shifts).astype(dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Backprojector:
    """The exact transpose of a :class:`Projector`, its ``A.T``.

    Attributes:
        projector: ``A``.
    """

    projector: Projector

    def __call__(self, sinogram: Float[Array, "views columns"]) -> Float[Array, "ny nx"]:
        """``A^T y``: sinogram (views, columns) -> image (ny, nx)."""
        return self.projector.transpose(sinogram)

    def __matmul__(self, sinogram: Float[Array, "views columns"]) -> Float[Array, "ny nx"]:
        """``A^T y``: sinogram (views, columns) -> image (ny, nx)."""
        return self(sinogram)

    @property
    def T(self) -> Projector:
        """``A``."""
        return self.projector


def _check(name: str, array, shape) -> None:
    if array.shape != tuple(shape):
        raise ValueError(
            f"{name} has shape {array.shape}; expected {tuple(shape)} (for a batch of slices use jax.vmap)"
        )
