"""Measures of image and data quality, and the registry of those that evaluations report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge

#: Quantities that a metric may take, see :class:`Metric`.
Quantity = Literal["image", "truth", "support", "wedge", "residual", "noise"]
#: Tables of an evaluation: of every method, and of ``pfitre`` by the value of a factor.
Table = Literal["methods", "factors"]


def psnr(
    image: Float[Array, "*shape"], truth: Float[Array, "*shape"], support: Array | None = None
) -> Float[Array, ""]:
    """Peak signal-to-noise ratio, ``-10 log10 mean((image - truth)^2)`` dB.

    The peak is 1, and the mean is over the pixels of ``support``, or over all.
    """
    weight = jnp.ones_like(truth) if support is None else jnp.asarray(support, truth.dtype)
    mse = jnp.sum(weight * (image - truth) ** 2) / jnp.sum(weight)
    return -10 * jnp.log10(mse)


def nrmse(image: Float[Array, "*shape"], truth: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Normalised root mean square error, ``||image - truth|| / ||truth||``."""
    return jnp.linalg.norm(image - truth) / jnp.linalg.norm(truth)


def relative_residual(predicted: Array, measured: Array, mask: Array | None = None) -> Float[Array, ""]:
    """``||M(predicted - measured)|| / ||M measured||`` of sinograms, ``M`` the mask of valid bins."""
    weight = 1.0 if mask is None else jnp.asarray(mask, measured.dtype)
    return jnp.linalg.norm(weight * (predicted - measured)) / jnp.linalg.norm(weight * measured)


def residual_over_noise(residual: Array, noise: Float[Array, ""]) -> Float[Array, ""]:
    """``||M(A x - y)||`` over the norm of the noise in ``y``; 1 is ideal."""
    return jnp.linalg.norm(residual) / noise


def wedge_power(image: Float[Array, "ny nx"], wedge: Wedge) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Power of an image inside and outside the missing wedge of its spectrum.

    ``sum |F(k)|^2 / (ny nx)`` over the double cone ``|angle(k) - center| < width/2`` modulo pi, whose
    directions no view measures, and over all other frequencies. The sum of both is ``sum x^2``. The mean,
    which every view measures, counts as outside (Fourier slice theorem).

    Returns:
        Power inside and power outside, ().
    """
    ny, nx = image.shape
    power = jnp.abs(jnp.fft.fft2(image)) ** 2 / (ny * nx)
    # y points up, rows go down.
    fx, fy = jnp.fft.fftfreq(nx)[None, :], -jnp.fft.fftfreq(ny)[:, None]
    off = jnp.mod(jnp.arctan2(fy, fx) - wedge.center_rad + jnp.pi / 2, jnp.pi) - jnp.pi / 2
    inside = (jnp.abs(off) < wedge.width_rad / 2) & (fx**2 + fy**2 > 0)
    return jnp.sum(jnp.where(inside, power, 0)), jnp.sum(jnp.where(inside, 0, power))


def error_inside_wedge(image: Array, truth: Array, support: Array, wedge: Wedge) -> Float[Array, ""]:
    """Relative error of the frequencies inside the missing wedge: 0 is exact, 1 is that of a blank image."""
    return jnp.sqrt(wedge_power(support * (image - truth), wedge)[0] / wedge_power(truth, wedge)[0])


def error_outside_wedge(image: Array, truth: Array, support: Array, wedge: Wedge) -> Float[Array, ""]:
    """Relative error of the frequencies outside the missing wedge."""
    return jnp.sqrt(wedge_power(support * (image - truth), wedge)[1] / wedge_power(truth, wedge)[1])


def ms_ssim(image: Float[Array, "ny nx"], truth: Float[Array, "ny nx"]) -> Float[Array, ""]:
    """Multi-scale structural similarity of images with range 1.

    The product of the contrast-structure terms of every scale and of :func:`ssim` of the coarsest, to the
    powers of the paper. Each scale is the mean over 2 x 2 pixels of the one before. Of the five scales those
    are used that leave 16 pixels to the shorter side, with powers that sum to 1. Negative terms count as 0.

    References:
        Wang, Simoncelli & Bovik, Asilomar Conference on Signals, Systems and Computers, 2003.
    """
    # The shape is static, and so is the number of scales.
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


def _halve(image: Array) -> Array:
    ny, nx = (size // 2 for size in image.shape)
    return image[: 2 * ny, : 2 * nx].reshape(ny, 2, nx, 2).mean(axis=(1, 3))


def ssim(image: Float[Array, "ny nx"], truth: Float[Array, "ny nx"], sigma: float = 1.5) -> Float[Array, ""]:
    """Mean structural similarity of images with range 1, Gaussian window.

    ``(2 mx my + c1)(2 sxy + c2) / ((mx^2 + my^2 + c1)(sx^2 + sy^2 + c2))``, ``c1 = 0.01^2``, ``c2 = 0.03^2``.
    The window is cut at 3.5 sigma, and the mean excludes the border that is narrower than the window.

    Args:
        image: (ny, nx).
        truth: (ny, nx).
        sigma: Standard deviation of the window, pixels.

    References:
        Wang et al., IEEE Trans. Image Process. 13, 2004.
    """
    luminance, structure = _ssim_maps(image, truth, sigma)
    return jnp.mean(luminance * structure)


def _ssim_maps(image: Array, truth: Array, sigma: float) -> tuple[Array, Array]:
    """Returns the luminance term and the product of the contrast and the structure term of every pixel."""
    radius = int(3.5 * sigma + 0.5)
    offsets = jnp.arange(-radius, radius + 1)
    window = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    window = (window / window.sum()).astype(truth.dtype)

    def blur(v: Array) -> Array:
        rows = jnp.apply_along_axis(lambda a: jnp.convolve(a, window, mode="valid"), 0, v)
        return jnp.apply_along_axis(lambda a: jnp.convolve(a, window, mode="valid"), 1, rows)

    mx, my = blur(image), blur(truth)
    sx, sy, sxy = blur(image**2) - mx**2, blur(truth**2) - my**2, blur(image * truth) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return (2 * mx * my + c1) / (mx**2 + my**2 + c1), (2 * sxy + c2) / (sx + sy + c2)


@dataclasses.dataclass(frozen=True)
class Metric:
    """One measure of a reconstruction; its entry in :data:`METRICS` is all that an evaluation needs.

    Attributes:
        name: Its key in records, summaries and model cards.
        function: Returns the measure, (), from the quantities, as keyword arguments.
        quantities: Arguments of the function: ``image: (ny, nx)``; ``truth: (ny, nx)``;
            ``support: (ny, nx)``; ``wedge``; ``residual: (views, columns)``, ``M(A x - y)``; ``noise: ()``,
            norm of the noise in the sinogram.
        label: Title of its column in tables.
        unit: Unit, or an empty text.
        higher_is_better: Whether larger values are better.
        digits: Decimal places in tables.
        tables: Evaluation tables with a column of it; a metric in no table is not evaluated.
        range_in_factors: Whether the tables of factors show its range instead of its mean.
    """

    name: str
    function: Callable[..., Float[Array, ""]]
    quantities: tuple[Quantity, ...]
    label: str
    unit: str = ""
    higher_is_better: bool = False
    digits: int = 2
    tables: tuple[Table, ...] = ()
    range_in_factors: bool = False

    def __call__(self, available: Mapping[Quantity, Any]) -> Float[Array, ""]:
        """Returns the measure from the quantities that are available, a mapping by name."""
        return self.function(**{name: available[name] for name in self.quantities})


#: Every metric by its name; tables show them in this order.
METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "psnr",
            psnr,
            ("image", "truth", "support"),
            label="PSNR",
            unit="dB",
            higher_is_better=True,
            tables=("methods",),
        ),
        Metric(
            "ssim",
            ssim,
            ("image", "truth"),
            label="SSIM",
            higher_is_better=True,
            digits=3,
            tables=("methods",),
        ),
        Metric("ms_ssim", ms_ssim, ("image", "truth"), label="MS-SSIM", higher_is_better=True, digits=3),
        Metric("nrmse", nrmse, ("image", "truth"), label="NRMSE", digits=3),
        Metric(
            "residual_over_noise",
            residual_over_noise,
            ("residual", "noise"),
            label="residual / noise",
            tables=("methods", "factors"),
            range_in_factors=True,
        ),
        Metric(
            "error_inside",
            error_inside_wedge,
            ("image", "truth", "support", "wedge"),
            label="error inside the wedge",
            tables=("methods", "factors"),
        ),
        Metric(
            "error_outside",
            error_outside_wedge,
            ("image", "truth", "support", "wedge"),
            label="error outside the wedge",
            tables=("methods", "factors"),
        ),
    )
}
