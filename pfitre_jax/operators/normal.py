"""``A^T A`` of a parallel-beam scan approximated by one convolution, and its inverse as a preconditioner.

Away from the detector's edges ``A^T A`` is nearly the convolution with
``K(d) = sum_views B3(d.n/a) / a``, ``B3`` the cubic B-spline (the footprint's autocorrelation). Its cost does
not depend on the number of views. It is about 1% off on smooth images and 20% on white ones (views along
an axis alias between finite bins). It holds only where every pixel of the support reaches the detector, and
ignores the weights of bins. The solvers use it as a preconditioner for the exact operator.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from scipy.fft import next_fast_len

from pfitre_jax.operators.projector import Projector


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NormalKernel:
    """Transfer function of ``A^T A`` on a grid padded against wrap-around; use :meth:`create`.

    Attributes:
        transfer: (my, mx//2 + 1), real FFT of ``K``, not negative.
        support: (ny, nx), 1 inside and 0 outside the support.
        padded: (my, mx), shape of the padded grid.
    """

    transfer: Float[Array, "my mh"]
    support: Float[Array, "ny nx"]
    padded: tuple[int, int] = dataclasses.field(metadata={"static": True})

    @classmethod
    def create(
        cls,
        A: Projector,
        support: Float[Array, "ny nx"] | None = None,
        view_weights: Float[Array, " views"] | None = None,
    ) -> NormalKernel:
        """Creates the kernel of a projector.

        Args:
            A: Projector.
            support: (ny, nx), ``S``, applied before and after the convolution. None: 1 everywhere.
            view_weights: (views,), ``W`` of ``A^T W A``. None: 1.
        """
        ny, nx = A.image_shape
        padded = next_fast_len(2 * ny - 1, real=True), next_fast_len(2 * nx - 1, real=True)
        theta = A.geometry.theta_rad
        dx = _signed_index(padded[1], theta.dtype)
        dy = -_signed_index(padded[0], theta.dtype)

        def add_view(total, view):
            theta_v, weight = view
            cos, sin = jnp.cos(theta_v), jnp.sin(theta_v)
            a = jnp.maximum(jnp.abs(cos), jnp.abs(sin))
            return total + weight * cubic_b_spline((dx[None, :] * cos + dy[:, None] * sin) / a) / a, None

        weights = jnp.ones_like(theta) if view_weights is None else view_weights
        kernel, _ = jax.lax.scan(add_view, jnp.zeros(padded, theta.dtype), (theta, weights))
        transfer = jnp.maximum(jnp.fft.rfft2(kernel).real, 0)
        support = jnp.ones(A.shape, theta.dtype) if support is None else jnp.asarray(support, theta.dtype)
        return cls(transfer, support, padded)

    def __call__(self, image: Float[Array, "ny nx"]) -> Float[Array, "ny nx"]:
        """``S K S x``, about ``S A^T A S x``: (ny, nx) -> (ny, nx)."""
        return self._filter(image, self.transfer)

    def precondition(self, image: Float[Array, "ny nx"], damping: Array | float) -> Float[Array, "ny nx"]:
        """``S F^-1 (K + damping)^-1 F S x``, symmetric, positive, close to ``(A^T A + damping)^-1 x``."""
        return self._filter(image, 1 / (self.transfer + damping))

    def _filter(self, image, transfer):
        ny, nx = self.support.shape
        spectrum = jnp.fft.rfft2(image * self.support, s=self.padded) * transfer
        return (jnp.fft.irfft2(spectrum, s=self.padded)[:ny, :nx] * self.support).astype(image.dtype)


def cubic_b_spline(u: Array) -> Array:
    """``B3(u)``: 2/3 - u^2 + |u|^3/2 for |u| <= 1, (2 - |u|)^3/6 for 1 <= |u| <= 2, else 0."""
    u = jnp.abs(u)
    near = 2 / 3 - u**2 + u**3 / 2
    far = jnp.maximum(2 - u, 0) ** 3 / 6
    return jnp.where(u < 1, near, far)


def _signed_index(size: int, dtype):
    """Displacement of each FFT index: 0, 1, ..., -2, -1."""
    i = jnp.arange(size)
    return jnp.where(i <= size // 2, i, i - size).astype(dtype)
