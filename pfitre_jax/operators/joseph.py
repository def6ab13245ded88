"""Joseph's projector as two gathers, for one slice and for a batch of slices.

In a view with ``a = max(|cos|, |sin|)`` a pixel at detector coordinate ``u = x cos + y sin`` contributes to
the ray at ``t`` with weight ``w(t - u) = max(0, 1 - |t - u|/a) / a``, Joseph's method in closed form. A ray
has at most two pixels of each image line, and a pixel at most two bins of each view. The forward kernel
therefore gathers from image lines and the adjoint from views, with the same weights and no scatter.

The batched kernels keep the slices on the trailing axis, so that a gather moves contiguous runs of slices.
:func:`forward` and :func:`adjoint` take one slice; ``jax.vmap`` over slices uses the batched form.

Throughout, ``theta`` is (views,), rad, and ``offset`` (views,), the detector index at which ``t = 0``.

References:
    Joseph, IEEE TMI 1, 1982.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.typing import DTypeLike
from jaxtyping import Array

#: A batch is padded to a multiple of this many slices: XLA's CPU gather moves 32 contiguous floats several
#: times faster than 16 (benchmarks/operators.py).
LANES = 32
#: Number of slices from which padding is faster than none.
FILL_FROM = 13


def forward(theta: Array, offset: Array, image: Array, columns: int) -> Array:
    """``image (ny, nx)`` -> sinogram ``(views, columns)``."""
    return _forward(columns)(theta, offset, image)


def adjoint(theta: Array, offset: Array, sinogram: Array, shape: tuple[int, int]) -> Array:
    """``sinogram (views, columns)`` -> image ``(ny, nx)``: the exact transpose of :func:`forward`."""
    return _adjoint(shape)(theta, offset, sinogram)


def forward_exponential(theta: Array, offset: Array, images: Array, columns: int, mu: Array | float) -> Array:
    """Exponential X-ray transform: :func:`forward` weighted by ``exp(mu l)``.

    ``l`` is the distance along the ray from its point nearest to the axis, in pixels: the point is
    ``t (cos, sin) + l (-sin, cos)``. It costs as much as :func:`forward`.

    Args:
        theta: (views,), rad.
        offset: (views,), detector index at which ``t = 0``.
        images: (slices, ny, nx).
        columns: Number of bins.
        mu: (), per pixel.

    Returns:
        (slices, views, columns).

    References:
        Tretiak & Metz, SIAM J. Appl. Math. 39, 1980.
    """
    slices = images.shape[0]
    data = _filled(jnp.moveaxis(images, 0, -1))
    out = _gather_lines(theta, offset, data, columns=columns, mu=mu)
    return jnp.moveaxis(out[..., :slices], -1, 0)


@functools.cache
def _forward(columns: int):
    return _single(functools.partial(_gather_lines, columns=columns))


@functools.cache
def _adjoint(shape: tuple[int, int]):
    return _single(functools.partial(_gather_views, shape=shape))


def _single(kernel):
    """A kernel for one slice, whose ``vmap`` moves the slices to the trailing axis."""
    batched = _trailing(kernel)

    @custom_vmap
    def one(theta, offset, data):
        return kernel(theta, offset, data)

    @one.def_vmap
    def _(axis_size, in_batched, theta, offset, data):
        if any(in_batched[:2]):
            return _map_geometries(one, axis_size, in_batched, theta, offset, data), True
        return jnp.moveaxis(batched(theta, offset, jnp.moveaxis(data, 0, -1)), -1, 0), True

    return one


def _trailing(kernel):
    """A kernel for ``(..., slices)``, whose ``vmap`` merges the new axis into the slices."""

    @custom_vmap
    def many(theta, offset, data):
        return kernel(theta, offset, _filled(data))[..., : data.shape[-1]]

    @many.def_vmap
    def _(axis_size, in_batched, theta, offset, data):
        if any(in_batched[:2]):
            return _map_geometries(many, axis_size, in_batched, theta, offset, data), True
        slices = data.shape[-1]
        merged = jnp.moveaxis(data, 0, -1).reshape(*data.shape[1:3], slices * axis_size)
        out = many(theta, offset, merged)
        return jnp.moveaxis(out.reshape(*out.shape[:2], slices, axis_size), -1, 0), True

    return many


def _filled(data):
    """``data (..., slices)`` with empty slices added up to where the kernels are fastest."""
    slices = data.shape[-1]
    fill = -slices % LANES if slices >= FILL_FROM else 0
    return jnp.pad(data, ((0, 0), (0, 0), (0, fill)))


def _map_geometries(kernel, axis_size, in_batched, *args):
    """One geometry after the other: their gathers share nothing."""
    batched = tuple(
        v if b else jnp.broadcast_to(v, (axis_size, *v.shape)) for v, b in zip(args, in_batched, strict=True)
    )
    return jax.lax.map(lambda a: kernel(*a), batched)


def _trail(values, like):
    """``values`` with as many trailing axes of length 1 as ``like`` has slice axes."""
    return values[..., None] if like.ndim == 3 else values


def _gather_lines(theta, offset, image, *, columns, mu=None):
    # Views nearer to the y axis step through rows of the image, the others through its columns. Both kinds
    # read the same scan: line i of the table holds row i and column i, each between two zeros, so that an
    # index outside the image reads a zero.
    ny, nx = image.shape[:2]
    lines = max(ny, nx)
    slices = image.shape[2:]
    hx, hy = (nx - 1) / 2, (ny - 1) / 2
    fill = [(0, 0)] * len(slices)
    square = jnp.pad(image, [(0, lines - ny), (0, lines - nx), *fill])
    rows = jnp.pad(square, [(0, 0), (2, 2), *fill])
    table = jnp.concatenate([rows, jnp.pad(jnp.swapaxes(square, 0, 1), [(0, 0), (2, 2), *fill])], axis=1)
    cos, sin = jnp.cos(theta), jnp.sin(theta)
    by_rows = jnp.abs(cos) >= jnp.abs(sin)
    major = jnp.where(by_rows, cos, -sin)
    slope = jnp.where(by_rows, sin, -cos) / major
    # Position along line i of the ray at t: rows x = (t - (hy-i) sin)/cos, columns y = (t - (i-hx) cos)/sin.
    start = jnp.where(by_rows, hx - hy * slope, hy - hx * slope)
    t = jnp.arange(columns, dtype=image.dtype)[None, :] - offset[:, None]
    base = start[:, None] + t / major[:, None] + 2
    first = jnp.where(by_rows, 0, lines + 4)[:, None]
    # Where line i crosses the ray at t: l = (hy-i - t sin)/cos on rows, (i-hx + t cos)/-sin on columns.
    step, middle = jnp.where(by_rows, -1, 1) / major, jnp.where(by_rows, hy, hx)

    def add_line(total, line):
        i, values = line
        position = base + slope[:, None] * i
        whole = jnp.floor(position)
        weight = _trail(position - whole, image)
        k = jnp.clip(whole.astype(jnp.int32), 0, lines + 2) + first
        left = values.at[k].get(mode="promise_in_bounds")
        right = values.at[k + 1].get(mode="promise_in_bounds")
        if mu is None:
            return total + left + weight * (right - left), None
        factor = _trail(jnp.exp(mu * step * (i - middle))[:, None], image)
        return total + factor * (left + weight * (right - left)), None

    zero = jnp.zeros((theta.size, columns, *slices), image.dtype)
    total, _ = jax.lax.scan(add_line, zero, (jnp.arange(lines, dtype=image.dtype), table))
    scale = 1 / jnp.abs(major)[:, None]
    if mu is not None:
        scale = scale * jnp.exp(mu * jnp.where(by_rows, -slope, slope)[:, None] * t)
    return total * _trail(scale, image)


def _gather_views(theta, offset, sinogram, *, shape):
    ny, nx = shape
    slices = sinogram.shape[2:]
    padded = jnp.pad(sinogram, [(0, 0), (2, 2), *[(0, 0)] * len(slices)])

    def add_view(total, view):
        theta_v, offset_v, values = view
        k, below, a = _bins(theta_v, offset_v, shape, sinogram.shape[1], sinogram.dtype)
        k = k + 2
        left = values.at[k].get(mode="promise_in_bounds")
        right = values.at[k + 1].get(mode="promise_in_bounds")
        wl = _trail(jnp.maximum(a - below, 0) / a**2, sinogram)
        wr = _trail(jnp.maximum(a - 1 + below, 0) / a**2, sinogram)
        return total + wl * left + wr * right, None

    total, _ = jax.lax.scan(add_view, jnp.zeros((ny, nx, *slices), sinogram.dtype), (theta, offset, padded))
    return total


def _bins(theta_v, offset_v, shape, columns, dtype):
    """For each pixel: the bin at or below it (clipped to [-2, columns]), how far below, and ``a``."""
    x, y = pixel_coordinates(shape, dtype)
    cos, sin = jnp.cos(theta_v), jnp.sin(theta_v)
    u = x[None, :] * cos + y[:, None] * sin + offset_v
    whole = jnp.floor(u)
    k = jnp.clip(whole.astype(jnp.int32), -2, columns)
    return k, u - whole, jnp.maximum(jnp.abs(cos), jnp.abs(sin))


def pixel_coordinates(shape: tuple[int, ...], dtype: DTypeLike | None = None) -> tuple[Array, Array]:
    """``x (nx,)`` to the right and ``y (ny,)`` upwards, in pixels from the image's middle."""
    ny, nx = shape
    x = jnp.arange(nx, dtype=dtype) - (nx - 1) / 2
    y = (ny - 1) / 2 - jnp.arange(ny, dtype=dtype)
    return x, y


def geometry_gradient(theta: Array, offset: Array, image: Array, sinogram: Array) -> tuple[Array, Array]:
    """Gradient of ``<A image, sinogram>`` to ``theta`` and ``offset``, each (views,).

    With ``tau = t - u``: ``dw/dtau = -sign(tau)/a^2``, ``dw/da = -1/a^2 + 2|tau|/a^3`` inside the footprint,
    ``du/dtheta = -x sin + y cos``. Written for autodiff, so that second derivatives exist; the kinks at
    45 degrees and at bin edges carry none. One view at a time, recomputed in the backward pass: memory
    does not grow with the number of views.
    """
    shape = image.shape
    padded = jnp.pad(sinogram, ((0, 0), (2, 2)))

    @jax.checkpoint
    def view(arguments):
        theta_v, offset_v, values = arguments
        x, y = pixel_coordinates(shape, image.dtype)
        cos, sin = jnp.cos(theta_v), jnp.sin(theta_v)
        k, below, a = _bins(theta_v, offset_v, shape, sinogram.shape[1], image.dtype)
        k = k + 2
        above = 1 - below
        left = jnp.where(below < a, values.at[k].get(mode="promise_in_bounds"), 0)
        right = jnp.where(above < a, values.at[k + 1].get(mode="promise_in_bounds"), 0)
        # tau is -below at the left bin and +above at the right one.
        by_tau = (left - right) / a**2
        by_a = left * (2 * below / a - 1) / a**2 + right * (2 * above / a - 1) / a**2
        du = y[:, None] * cos - x[None, :] * sin
        da = jnp.where(jnp.abs(cos) >= jnp.abs(sin), -jnp.sign(cos) * sin, jnp.sign(sin) * cos)
        d_theta = jnp.sum(image * (by_a * da - by_tau * du))
        d_offset = -jnp.sum(image * by_tau)
        return d_theta, d_offset

    return jax.lax.map(view, (theta, offset, padded))
