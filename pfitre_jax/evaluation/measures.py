"""What a reconstruction is judged by, beside its truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import Wedge
from pfitre_jax.metrics import psnr, ssim

if TYPE_CHECKING:
    from pfitre_jax.evaluation.scans import Scans

#: Of each reconstruction, see :func:`judge`.
MEASURES = ("psnr", "ssim", "residual_over_noise", "error_inside", "error_outside")


def wedge_power(image: Float[Array, "ny nx"], wedge: Wedge) -> tuple[Array, Array]:
    """``(inside, outside)``: ``sum |F(k)|^2 / (ny nx)`` over the double cone of directions that no view
    measures, ``|angle(k) - center| < width/2`` modulo pi, and over all others; together ``sum x^2``.

    The mean, which every view measures, counts as outside (Fourier slice theorem).
    """
    ny, nx = image.shape
    power = jnp.abs(jnp.fft.fft2(image)) ** 2 / (ny * nx)
    # y points up, rows go down.
    fx, fy = jnp.fft.fftfreq(nx)[None, :], -jnp.fft.fftfreq(ny)[:, None]
    off = jnp.mod(jnp.arctan2(fy, fx) - wedge.center_rad + jnp.pi / 2, jnp.pi) - jnp.pi / 2
    inside = (jnp.abs(off) < wedge.width_rad / 2) & (fx**2 + fy**2 > 0)
    return jnp.sum(jnp.where(inside, power, 0)), jnp.sum(jnp.where(inside, 0, power))


@jax.jit
def judge(scans: Scans, images: Float[Array, "scans ny nx"]) -> dict[str, Float[Array, " scans"]]:
    """Every one of :data:`MEASURES`.

    psnr: dB, range 1, inside the support; ssim: of the whole field
    residual_over_noise: ``norm(M(Ax - y))`` over the norm of the noise in ``y``
    error_inside, error_outside: norm of the error over that of the truth, both in the frequencies inside, or
        outside, the missing wedge: 1 inside where nothing was found, 0 where all was
    """
    support = scans.problem.support

    def one(problem, image, truth, noise):
        error = wedge_power(support * (image - truth), problem.wedge)
        there = wedge_power(truth, problem.wedge)
        inside, outside = (jnp.sqrt(e / t) for e, t in zip(error, there, strict=True))
        return {
            "psnr": psnr(image, truth, support),
            "ssim": ssim(image, truth),
            "residual_over_noise": jnp.linalg.norm(problem.residual(image)) / noise,
            "error_inside": inside,
            "error_outside": outside,
        }

    return scans.each(one, images, scans.truth, scans.noise)
