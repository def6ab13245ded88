"""Phase of complex images: removal of a linear ramp, and unwrapping."""

from __future__ import annotations

import numpy as np
from scipy import fft


def unwrapped_phase(image: np.ndarray) -> np.ndarray:
    """Phase of a complex image without its linear ramp, unwrapped, radians.

    The ramp is the mean phase step between neighbouring pixels, ``arg(sum(o[k+1] conj(o[k])))`` along each
    axis. The remaining phase ``w`` is unwrapped by least squares: ``phi`` solves
    ``laplace(phi) = div(W(grad w))`` with ``W`` the wrapping to ``(-pi, pi]``, and
    ``w + 2 pi round((phi - w) / 2 pi)`` is congruent with ``w``. This is exact where neighbouring pixels
    differ by less than pi.

    Args:
        image: (rows, columns), complex.

    Returns:
        (rows, columns) float64; the median along the border is 0.

    References:
        Ghiglia & Romero, "Robust two-dimensional weighted and unweighted phase unwrapping that uses fast
        transforms and iterative methods", J. Opt. Soc. Am. A 11, 107 (1994).
    """
    flat = _without_ramp(np.asarray(image, np.complex128))
    wrapped = np.angle(flat)
    smooth = _solve_poisson(_wrapped_laplacian(wrapped))
    # The least-squares phase has no constant; the one that agrees best with the wrapped phase is added.
    smooth += np.angle(np.sum(np.exp(1j * (wrapped - smooth))))
    phase = wrapped + 2 * np.pi * np.round((smooth - wrapped) / (2 * np.pi))
    border = np.concatenate([phase[0], phase[-1], phase[1:-1, 0], phase[1:-1, -1]])
    return phase - np.median(border)


def _without_ramp(image: np.ndarray) -> np.ndarray:
    """The image times the conjugate of its mean linear phase."""
    for axis in (0, 1):
        along = np.moveaxis(image, axis, 0)
        step = np.angle(np.sum(along[1:] * np.conj(along[:-1])))
        ramp = np.exp(-1j * step * np.arange(image.shape[axis]))
        image = image * (ramp[:, None] if axis == 0 else ramp[None, :])
    return image


def _wrapped_laplacian(wrapped: np.ndarray) -> np.ndarray:
    """Divergence of the wrapped differences; no flux crosses the border."""
    out = np.zeros(wrapped.shape)
    for axis in (0, 1):
        steps = np.angle(np.exp(1j * np.diff(wrapped, axis=axis)))
        padding = [(1, 1) if k == axis else (0, 0) for k in (0, 1)]
        out += np.diff(np.pad(steps, padding), axis=axis)
    return out


def _solve_poisson(right: np.ndarray) -> np.ndarray:
    """Solution of the discrete Poisson equation with Neumann boundaries and mean 0."""
    eigenvalues = [2 * np.cos(np.pi * np.arange(count) / count) - 2 for count in right.shape]
    scale = eigenvalues[0][:, None] + eigenvalues[1][None, :]
    scale[0, 0] = 1
    transformed = fft.dctn(right) / scale
    transformed[0, 0] = 0
    return fft.idctn(transformed)
