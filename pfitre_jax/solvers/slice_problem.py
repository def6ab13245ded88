"""Reconstruction problem of one slice."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector
from pfitre_jax.operators.resolution import binned_geometry, half_shape, half_sinogram, half_support
from pfitre_jax.solvers.norms import relative_norm


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SliceProblem:
    """Data term ``1/2 ||M(A x - y)||_W^2 / ||A||^2`` over images that are 0 outside a support.

    ``||r||_W^2 = sum w r^2``. Dividing by ``||A||^2`` makes ``rho`` and the weights of priors independent of
    the number and length of the rays. Image values should lie in about [0, 1]: divide the sinogram by the
    scale of the scan.

    Attributes:
        A: Projector.
        sinogram: (views, columns), line integrals ``y``.
        mask: (views, columns), 1 for a valid bin, 0 for one to ignore.
        support: (ny, nx), 1 where the image may differ from 0.
        wedge: The missing wedge.
        norm_squared: (), ``||A||^2``.
        kernel: Convolution that approximates ``A^T A``, for preconditioning.
        weights: (views, columns), weight of each bin, 0 to 1 (step lengths rely on a norm of at most 1), or
            None for 1 everywhere. Only what is backprojected is weighted; residuals are not.
    """

    A: Projector
    sinogram: Float[Array, "views columns"]
    mask: Float[Array, "views columns"]
    support: Float[Array, "ny nx"]
    wedge: Wedge
    norm_squared: Float[Array, ""]
    kernel: NormalKernel
    weights: Float[Array, "views columns"] | None = None

    @classmethod
    def create(
        cls,
        A: Projector,
        sinogram: Float[Array, "views columns"],
        mask: Float[Array, "views columns"] | None = None,
        support: Float[Array, "ny nx"] | None = None,
        wedge: Wedge | None = None,
    ) -> SliceProblem:
        """Creates the problem and derives everything that follows from ``A``.

        Args:
            A: Projector.
            sinogram: (views, columns), line integrals. Values of invalid bins are ignored, NaN too.
            mask: (views, columns), 1 for a valid bin. None: all bins are valid.
            support: (ny, nx), 1 where the image may differ from 0. None: :func:`disc_support`.
            wedge: The missing wedge. None: computed from the angles of ``A``.

        Raises:
            ValueError: If a shape does not fit ``A``.
        """
        sinogram = jnp.asarray(sinogram)
        if sinogram.shape != A.sinogram_shape:
            raise ValueError(
                f"sinogram has shape {sinogram.shape}; expected {A.sinogram_shape} (views, columns)"
            )
        dtype = sinogram.dtype
        mask = jnp.ones(A.sinogram_shape, dtype) if mask is None else jnp.asarray(mask, dtype)
        if mask.shape != A.sinogram_shape:
            raise ValueError(f"mask has shape {mask.shape}; expected {A.sinogram_shape} (views, columns)")
        support = disc_support(A, dtype) if support is None else jnp.asarray(support, dtype)
        if support.shape != A.shape:
            raise ValueError(f"support has shape {support.shape}; expected {A.shape} (ny, nx)")
        wedge = Wedge.from_angles(A.geometry.theta_rad) if wedge is None else wedge
        sinogram = jnp.where(mask > 0, sinogram, 0)
        norm_squared = A.norm_squared().astype(dtype)
        return cls(A, sinogram, mask, support, wedge, norm_squared, NormalKernel.create(A, support))

    def with_sinogram(
        self, sinogram: Float[Array, "views columns"], mask: Float[Array, "views columns"] | None = None
    ) -> SliceProblem:
        """The same problem for another slice. Inside ``vmap`` everything else stays shared.

        Args:
            sinogram: (views, columns), line integrals.
            mask: (views, columns), 1 for a valid bin. None: the mask of this problem.
        """
        mask = self.mask if mask is None else mask
        return dataclasses.replace(self, sinogram=jnp.where(mask > 0, sinogram, 0), mask=mask)

    def with_support(self, support: Float[Array, "ny nx"]) -> SliceProblem:
        """The same problem for images that are 0 outside another support.

        Args:
            support: (ny, nx), 1 where the image may differ from 0.
        """
        kernel = dataclasses.replace(self.kernel, support=support)
        return dataclasses.replace(self, support=support, kernel=kernel)

    def project(self, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        """``M A x``: (ny, nx) -> (views, columns)."""
        return self.mask * self.A(x)

    def residual(self, x: Float[Array, "ny nx"]) -> Float[Array, "views columns"]:
        """``M(A x - y)``: (ny, nx) -> (views, columns)."""
        return self.mask * (self.A(x) - self.sinogram)

    def relative_residual(self, residual: Float[Array, "views columns"]) -> Float[Array, ""]:
        """``||r|| / ||M y||`` of a :meth:`residual` ``r``; ``||r||`` where ``y`` is 0."""
        return relative_norm(residual, self.sinogram)

    def residual_norm(self, x: Float[Array, "ny nx"]) -> Float[Array, ""]:
        """``||M(A x - y)|| / ||M y||``: (ny, nx) -> ()."""
        return self.relative_residual(self.residual(x))

    def weighted(self, sinogram: Float[Array, "views columns"]) -> Float[Array, "views columns"]:
        """``M W y``: (views, columns) -> (views, columns)."""
        valid = self.mask * sinogram
        return valid if self.weights is None else self.weights * valid

    def back(self, sinogram: Float[Array, "views columns"]) -> Float[Array, "ny nx"]:
        """``S A^T M W y / ||A||^2``: (views, columns) -> (ny, nx)."""
        return self.support * self.A.T(self.weighted(sinogram)) / self.norm_squared

    def gradient(self, x: Float[Array, "ny nx"]) -> Float[Array, "ny nx"]:
        """Gradient of the data term, ``S A^T M W (A x - y) / ||A||^2``: (ny, nx) -> (ny, nx)."""
        return self.back(self.residual(x))

    def normal(self, x: Float[Array, "ny nx"]) -> Float[Array, "ny nx"]:
        """``S A^T M W A S x / ||A||^2``: (ny, nx) -> (ny, nx)."""
        return self.back(self.A(self.support * x))

    def precondition(self, x: Float[Array, "ny nx"], rho: Array | float) -> Float[Array, "ny nx"]:
        """About ``(S A^T A S / ||A||^2 + rho)^-1 x``, symmetric and positive: (ny, nx) -> (ny, nx)."""
        return self.norm_squared * self.kernel.precondition(x, rho * self.norm_squared)

    def dot(self, a: Float[Array, "ny nx"], b: Float[Array, "ny nx"]) -> Float[Array, ""]:
        """``<a, b>``: two images (ny, nx) -> ()."""
        return jnp.vdot(a, b)

    def coarser(self) -> SliceProblem:
        """The problem with bins and pixels of twice the size, see :mod:`pfitre_jax.operators.resolution`.

        All views must be measured (``norm_squared`` is that of all views).
        """
        A = Projector(binned_geometry(self.A.geometry, 2), half_shape(self.support.shape))
        sinogram, mask, weights = half_sinogram(self.sinogram, self.mask, self.weights)
        coarser = SliceProblem.create(A, sinogram, mask, half_support(self.support), self.wedge)
        return dataclasses.replace(coarser, weights=weights)


def disc_support(A: Projector, dtype: DTypeLike = jnp.float32) -> Float[Array, "ny nx"]:
    """1 for the pixels within the geometry's ``disc_radius`` of the axis, else 0: (ny, nx)."""
    radius = A.geometry.disc_radius
    ny, nx = A.image_shape
    x = jnp.arange(nx) - (nx - 1) / 2
    y = (ny - 1) / 2 - jnp.arange(ny)
    return (x[None, :] ** 2 + y[:, None] ** 2 <= radius**2).astype(dtype)
