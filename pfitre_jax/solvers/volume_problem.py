"""The reconstruction problem of a whole volume: what any method is given to solve for all rows at once."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.solvers.problem import Problem, relative_norm


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VolumeProblem:
    """Data term ``sum_rows 1/2 |M(Ax - y)|_W^2 / norm(A)^2`` of a volume (rows, ny, nx).

    The geometry is that of every row, and no two rows share a ray: rows meet only in the prior. It has all
    that :class:`Problem` has, one axis more, so that a method that sees its problem through that alone solves
    volumes too. Residuals are of all rows together.

    row: what the rows have in common; its own sinogram, mask and weights count for nothing
    sinogram, mask, weights: (rows, views, columns)
    """

    row: Problem
    sinogram: Float[Array, "rows views columns"]
    mask: Float[Array, "rows views columns"]
    weights: Float[Array, "rows views columns"] | None = None

    @classmethod
    def create(cls, row: Problem, sinograms, masks=None) -> VolumeProblem:
        """Of rows that have all but sinogram and mask in common.

        sinograms: (rows, views, columns); values under an invalid bin are ignored, NaN too
        masks: (rows, views, columns), or (views, columns) for all rows; default all bins valid

        Raises ``ValueError`` when a shape does not fit.
        """
        sinograms = jnp.asarray(sinograms)
        if sinograms.ndim != 3 or sinograms.shape[1:] != row.A.sinogram_shape:
            raise ValueError(
                f"the sinograms have shape {sinograms.shape}; expected (rows, {row.A.sinogram_shape[0]}, "
                f"{row.A.sinogram_shape[1]}), (rows, views, columns)"
            )
        masks = jnp.ones((), sinograms.dtype) if masks is None else jnp.asarray(masks, sinograms.dtype)
        masks = jnp.broadcast_to(masks, sinograms.shape)
        return cls(row, jnp.where(masks > 0, sinograms, 0), masks)

    @property
    def support(self) -> Float[Array, "1 ny nx"]:
        """1 where an image may differ from 0, the same in every row."""
        return self.row.support[None]

    @property
    def wedge(self) -> Wedge:
        """The missing wedge."""
        return self.row.wedge

    @property
    def norm_squared(self) -> Float[Array, ""]:
        """``norm(A)^2``."""
        return self.row.norm_squared

    def misfit(self, volume):
        """``M(y - A x)``: (rows, ny, nx) -> (rows, views, columns)."""
        return self.mask * (self.sinogram - jax.vmap(self.row.A)(volume))

    def relative_residual(self, misfit):
        """``norm(M(Ax - y)) / norm(My)`` of all rows from :meth:`misfit`."""
        return relative_norm(misfit, self.sinogram)

    def residual(self, volume):
        """``norm(M(Ax - y)) / norm(My)`` of all rows: (rows, ny, nx) -> ()."""
        return self.relative_residual(self.misfit(volume))

    def residuals(self, volume):
        """``norm(M(Ax - y)) / norm(My)`` of each row: (rows, ny, nx) -> (rows,)."""
        return jax.vmap(relative_norm)(self.misfit(volume), self.sinogram)

    def weighted(self, sinogram):
        """``M W y``."""
        valid = self.mask * sinogram
        return valid if self.weights is None else self.weights * valid

    def back(self, sinogram):
        """``S A^T M W y / norm(A)^2``: (rows, views, columns) -> (rows, ny, nx)."""
        return self.support * jax.vmap(self.row.A.T)(self.weighted(sinogram)) / self.norm_squared

    def dot(self, a, b):
        """``<a, b>`` of each row of two volumes, (rows, 1, 1): rows are solved side by side."""
        return jnp.sum(a * b, axis=(1, 2), keepdims=True)

    def gradient(self, volume):
        """Gradient of the data term, ``S A^T M W (A x - y) / norm(A)^2``."""
        return -self.back(self.misfit(volume))

    def normal(self, volume):
        """``S A^T M W A S x / norm(A)^2``."""
        return self.back(jax.vmap(self.row.A)(self.support * volume))

    def precondition(self, volume, rho):
        """About ``(S A^T A S / norm(A)^2 + rho)^-1 x``, symmetric and positive."""
        return jax.vmap(lambda image: self.row.precondition(image, rho))(volume)
