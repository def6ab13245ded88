"""Measures of image and data quality."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
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


def ms_ssim(image: Float[Array, "ny nx"], truth: Float[Array, "ny nx"]) -> Float[Array, ""]:
    """Structural similarity over scales, range 1 (Wang, Simoncelli & Bovik, Asilomar 2003).

    The product of the contrast-structure terms at each scale and of :func:`ssim` at the coarsest, to the
    powers of the paper; each scale is the mean over 2 x 2 pixels of the one before. As many of its five
    scales as leave 16 pixels to the shorter side, with powers that sum to 1. Negative terms count as 0.
    """
    # ny, nx are static: the number of scales is, too.
    scales = max(1, min(5, int(np.log2(min(image.shape) / 16)) + 1))
    powers = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    powers = powers / powers.sum()
    product = jnp.ones((), truth.dtype)
    for scale, power in enumerate(powers):
        luminance, structure = _ssim_maps(image, truth, 1.5)
        term = jnp.mean(structure if scale < scales - 1 else luminance * structure)
        # The power has no finite gradient at 0.
        product *= jnp.maximum(term, 1e-4) ** power
        image, truth = _halve(image), _halve(truth)
    return product


def _halve(image):
    ny, nx = (size // 2 for size in image.shape)
    return image[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).mean(axis=(1, 3))


def ssim(image: Float[Array, "ny nx"], truth: Float[Array, "ny nx"], sigma: float = 1.5) -> Float[Array, ""]:
    """Mean structural similarity, range 1, Gaussian window (Wang et al., IEEE TIP 13, 2004).

    ``(2 mx my + c1)(2 sxy + c2) / ((mx^2 + my^2 + c1)(sx^2 + sy^2 + c2))``, ``c1 = 0.01^2``, ``c2 = 0.03^2``,
    window cut at 3.5 sigma; the mean leaves out the border that the window does not fit.
    """
    luminance, structure = _ssim_maps(image, truth, sigma)
    return jnp.mean(luminance * structure)


def _ssim_maps(image, truth, sigma: float):
    """The luminance term and the product of the contrast and the structure term, at every pixel."""
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
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1), (2 * sxy + c2) / (sx + sy + c2)
