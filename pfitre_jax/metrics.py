"""Measures of image and data quality."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def psnr(image: Float[Array, "*shape"], truth: Float[Array, "*shape"], support=None) -> Float[Array, ""]:
    """``-10 log10 mean((image - truth)^2)`` dB: peak range 1, mean over the pixels of ``support``."""
    weight = jnp.ones_like(truth) if support is None else jnp.asarray(support, truth.dtype)
    mse = jnp.sum(weight * (image - truth) ** 2) / jnp.sum(weight)
    return -10 * jnp.log10(mse)


def nrmse(image: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
    """``norm(image - truth) / norm(truth)``."""
    return jnp.linalg.norm(image - truth) / jnp.linalg.norm(truth)


def residual(predicted, measured, mask=None) -> Float[Array, ""]:
    """``norm(M(predicted - measured)) / norm(M measured)`` over sinograms, ``M`` the mask of valid bins."""
    weight = 1.0 if mask is None else jnp.asarray(mask, measured.dtype)
    return jnp.linalg.norm(weight * (predicted - measured)) / jnp.linalg.norm(weight * measured)


def ssim(image: Float[Array, "ny nx"], truth: Float[Array, "ny nx"], sigma: float = 1.5) -> Float[Array, ""]:
    """Mean structural similarity, range 1, Gaussian window (Wang et al., IEEE TIP 13, 2004).

    ``(2 mx my + c1)(2 sxy + c2) / ((mx^2 + my^2 + c1)(sx^2 + sy^2 + c2))``, ``c1 = 0.01^2``, ``c2 = 0.03^2``,
    window cut at 3.5 sigma; the mean leaves out the border that the window does not fit.
    """
    radius = int(3.5 * sigma + 0.5)
    offsets = jnp.arange(-radius, radius + 1)
    window = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    window = (window / window.sum()).astype(truth.dtype)

    def blur(v):
        rows = jnp.apply_along_axis(lambda a: jnp.convolve(a, window, mode="valid"), 0, v)
        return jnp.apply_along_axis(lambda a: jnp.convolve(a, window, mode="valid"), 1, rows)

    mx, my = blur(image), blur(truth)
    sx, sy, sxy = blur(image**2) - mx**2, blur(truth**2) - my**2, blur(image * truth) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return jnp.mean((2 * mx * my + c1) * (2 * sxy + c2) / ((mx**2 + my**2 + c1) * (sx + sy + c2)))
