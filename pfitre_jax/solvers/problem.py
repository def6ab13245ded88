"""The reconstruction problem that every method is given."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Problem:
    """Data term ``1/2 |M(Ax - y)|_W^2 / norm(A)^2`` over images that are 0 outside a support.

    ``|r|_W^2 = sum w r^2``; without weights the plain norm. The normalisation makes ``rho`` and the weights
    of priors independent of the number and length of the rays. Images should have values of about [0, 1]:
    divide the sinogram by the scan's scale.

    A: projector
    sinogram: (views, columns), line integrals
    mask: (views, columns), 1 for a valid bin, 0 for one to ignore
    support: (ny, nx), 1 where the image may differ from 0
    wedge: the missing wedge
    norm_squared: (), ``norm(A)^2``
    kernel: the FFT form of ``A^T A``, for preconditioning
    weights: (views, columns), ``w`` of each bin, from 0 to 1 (methods count on a norm of at most 1); ``None``
        for 1 everywhere. Misfits and residuals are not weighted, only what is projected back
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
    def create(cls, A: Projector, sinogram, mask=None, support=None, wedge: Wedge | None = None) -> Problem:
        """Problem with everything derived from ``A`` in place.

        mask: default all bins valid; values under an invalid bin are ignored, NaN too
        support: default :func:`disc_support`
        wedge: default from the angles of ``A``

        Raises ``ValueError`` when a shape does not fit.
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

    def with_sinogram(self, sinogram, mask=None) -> Problem:
        """The same problem for another slice; inside ``vmap`` the rest stays shared."""
        mask = self.mask if mask is None else mask
        return dataclasses.replace(self, sinogram=jnp.where(mask > 0, sinogram, 0), mask=mask)

    def misfit(self, image):
        """``M(y - A x)``: image (ny, nx) -> (views, columns)."""
        return self.mask * (self.sinogram - self.A(image))

    def relative_residual(self, misfit):
        """``norm(M(Ax - y)) / norm(My)`` from :meth:`misfit`; 0 for an empty sinogram fitted exactly."""
        return relative_norm(misfit, self.sinogram)

    def residual(self, image):
        """``norm(M(Ax - y)) / norm(My)``: image (ny, nx) -> ()."""
        return self.relative_residual(self.misfit(image))

    def weighted(self, sinogram):
        """``M W y``: (views, columns) -> (views, columns)."""
        valid = self.mask * sinogram
        return valid if self.weights is None else self.weights * valid

    def back(self, sinogram):
        """``S A^T M W y / norm(A)^2``: (views, columns) -> (ny, nx)."""
        return self.support * self.A.T(self.weighted(sinogram)) / self.norm_squared

    def dot(self, a, b):
        """``<a, b>`` of two images, ()."""
        return jnp.vdot(a, b)

    def gradient(self, image):
        """Gradient of the data term, ``S A^T M W (A x - y) / norm(A)^2``."""
        return -self.back(self.misfit(image))

    def normal(self, image):
        """``S A^T M W A S x / norm(A)^2``."""
        return self.back(self.A(self.support * image))

    def precondition(self, image, rho):
        """About ``(S A^T A S / norm(A)^2 + rho)^-1 x``, symmetric and positive."""
        return self.norm_squared * self.kernel.precondition(image, rho * self.norm_squared)


def disc_support(A: Projector, dtype=jnp.float32) -> Float[Array, "ny nx"]:
    """1 for the pixels of ``A``'s image within its geometry's ``disc_radius`` of the axis, else 0."""
    radius = A.geometry.disc_radius
    ny, nx = A.shape
    x = jnp.arange(nx) - (nx - 1) / 2
    y = (ny - 1) / 2 - jnp.arange(ny)
    return (x[None, :] ** 2 + y[:, None] ** 2 <= radius**2).astype(dtype)


def relative_change(new, old):
    """``norm(new - old) / norm(new)``, 0 for two zero images."""
    return relative_norm(new - old, new)


def relative_norm(part, whole):
    """``norm(part) / norm(whole)``, or ``norm(part)`` where the whole is 0."""
    size = _norm(whole)
    return _norm(part) / jnp.where(size > 0, size, 1)


def _norm(array):
    """Euclidean norm whose gradient at 0 is 0, not NaN: a loop at rest stays differentiable."""
    squared = jnp.sum(array**2)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)
