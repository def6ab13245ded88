"""Reconstruction problem of a volume whose rows are solved together."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.operators.resolution import half_sinogram
from pfitre_jax.solvers.norms import relative_norm
from pfitre_jax.solvers.slice_problem import SliceProblem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VolumeProblem:
    """Data term ``sum_rows 1/2 ||M(A x - y)||_W^2 / ||A||^2`` of a volume (rows, ny, nx).

    All rows have the same geometry and share no ray: only the prior couples them. A solver that uses nothing
    beyond :class:`pfitre_jax.interfaces.Problem` solves volumes as well as slices. The relative residual is
    that of all rows together.

    Attributes:
        row: What the rows have in common. Its own sinogram, mask and weights are ignored.
        sinogram: (rows, views, columns), line integrals ``y``.
        mask: (rows, views, columns), 1 for a valid bin, 0 for one to ignore.
        weights: (rows, views, columns), weight of each bin, 0 to 1, or None for 1 everywhere.
    """

    row: SliceProblem
    sinogram: Float[Array, "rows views columns"]
    mask: Float[Array, "rows views columns"]
    weights: Float[Array, "rows views columns"] | None = None

    @classmethod
    def create(
        cls,
        row: SliceProblem,
        sinograms: Float[Array, "rows views columns"],
        masks: Float[Array, "*rows views columns"] | None = None,
    ) -> VolumeProblem:
        """Creates the problem of rows that differ only in sinogram and mask.

        Args:
            row: What the rows have in common.
            sinograms: (rows, views, columns), line integrals. Values of invalid bins are ignored, NaN too.
            masks: (rows, views, columns), or (views, columns) for all rows, 1 for a valid bin. None: all
                bins are valid.

        Raises:
            ValueError: If a shape does not fit ``row``.
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
        """(1, ny, nx), 1 where the image may differ from 0; the same for every row."""
        return self.row.support[None]

    @property
    def wedge(self) -> Wedge:
        """The missing wedge."""
        return self.row.wedge

    @property
    def norm_squared(self) -> Float[Array, ""]:
        """(), ``||A||^2``."""
        return self.row.norm_squared

    def project(self, x: Float[Array, "rows ny nx"]) -> Float[Array, "rows views columns"]:
        """``M A x``: (rows, ny, nx) -> (rows, views, columns)."""
        return self.mask * jax.vmap(self.row.A)(x)

    def residual(self, x: Float[Array, "rows ny nx"]) -> Float[Array, "rows views columns"]:
        """``M(A x - y)``: (rows, ny, nx) -> (rows, views, columns)."""
        return self.mask * (jax.vmap(self.row.A)(x) - self.sinogram)

    def relative_residual(self, residual: Float[Array, "rows views columns"]) -> Float[Array, ""]:
        """``||r|| / ||M y||`` of all rows together, from their :meth:`residual` ``r``."""
        return relative_norm(residual, self.sinogram)

    def residual_norm(self, x: Float[Array, "rows ny nx"]) -> Float[Array, ""]:
        """``||M(A x - y)|| / ||M y||`` of all rows together: (rows, ny, nx) -> ()."""
        return self.relative_residual(self.residual(x))

    def residual_norms(self, x: Float[Array, "rows ny nx"]) -> Float[Array, " rows"]:
        """``||M(A x - y)|| / ||M y||`` of each row: (rows, ny, nx) -> (rows,)."""
        return jax.vmap(relative_norm)(self.residual(x), self.sinogram)

    def weighted(self, sinogram: Float[Array, "rows views columns"]) -> Float[Array, "rows views columns"]:
        """``M W y``: (rows, views, columns) -> (rows, views, columns)."""
        valid = self.mask * sinogram
        return valid if self.weights is None else self.weights * valid

    def back(self, sinogram: Float[Array, "rows views columns"]) -> Float[Array, "rows ny nx"]:
        """``S A^T M W y / ||A||^2``: (rows, views, columns) -> (rows, ny, nx)."""
        return self.support * jax.vmap(self.row.A.T)(self.weighted(sinogram)) / self.norm_squared

    def gradient(self, x: Float[Array, "rows ny nx"]) -> Float[Array, "rows ny nx"]:
        """Gradient of the data term, ``S A^T M W (A x - y) / ||A||^2``: (rows, ny, nx) -> (rows, ny, nx)."""
        return self.back(self.residual(x))

    def normal(self, x: Float[Array, "rows ny nx"]) -> Float[Array, "rows ny nx"]:
        """``S A^T M W A S x / ||A||^2``: (rows, ny, nx) -> (rows, ny, nx)."""
        return self.back(jax.vmap(self.row.A)(self.support * x))

    def precondition(self, x: Float[Array, "rows ny nx"], rho: Array | float) -> Float[Array, "rows ny nx"]:
        """About ``(S A^T A S / ||A||^2 + rho)^-1 x``, symmetric and positive."""
        return jax.vmap(lambda image: self.row.precondition(image, rho))(x)

    def dot(self, a: Float[Array, "rows ny nx"], b: Float[Array, "rows ny nx"]) -> Float[Array, "rows 1 1"]:
        """``<a, b>`` of each row, (rows, 1, 1): the rows of a data step are solved side by side."""
        return jnp.sum(a * b, axis=(1, 2), keepdims=True)

    def coarser(self) -> VolumeProblem:
        """The problem with bins and pixels of twice the size; the rows stay."""
        sinograms, masks, weights = half_sinogram(self.sinogram, self.mask, self.weights)
        return dataclasses.replace(
            VolumeProblem.create(self.row.coarser(), sinograms, masks), weights=weights
        )
