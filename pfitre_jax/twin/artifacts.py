"""What goes wrong in a scan, one function for each imperfection: pure, seeded by a key, of one strength.

Sinograms are ``(..., views, columns)``: leading axes are slices of one scan, which share what belongs to the
scan (gain, shifts, columns) and have noise of their own. Where the slices are the rows of one volume, what
mixes or moves rows takes ``(rows, views, columns)``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jax.scipy.signal import convolve
from jaxtyping import Array, Float

#: Taps of the blur's kernel to each side.
_BLUR_REACH = 6


def add_noise(key, sinogram, level):
    """Gaussian noise of standard deviation ``level * max(sinogram)`` in every bin."""
    return sinogram + level * jnp.max(sinogram) * jax.random.normal(key, sinogram.shape, sinogram.dtype)


def count_photons(key, sinogram, counts):
    """Poisson counts in the place of the signal, as an emission measurement (fluorescence) gives them.

    ``k ~ Poisson(counts * y / max(y))``, and ``k`` back in the units of ``y``: the mean stays, the variance
    in counts is the mean. Negative values count as 0.

    counts: (), in the brightest bin
    """
    unit = jnp.max(sinogram) / counts
    unit = jnp.where(unit > 0, unit, 1)
    drawn = jax.random.poisson(key, jnp.maximum(sinogram, 0) / unit, sinogram.shape)
    return drawn.astype(sinogram.dtype) * unit


def apply_gain(key, sinogram, rms):
    """Each view times ``1 + rms * normal``, the same in all slices."""
    shape = (*(1 for _ in sinogram.shape[:-2]), sinogram.shape[-2], 1)
    return sinogram * (1 + rms * jax.random.normal(key, shape, sinogram.dtype))


def equalise(sinogram):
    """Each view of each slice scaled to the mean sum of the views, as some pipelines normalise.

    Right for a whole sample that is seen from all sides; wrong under roll, truncation and absorption.
    """
    sums = jnp.sum(sinogram, axis=-1, keepdims=True)
    mean = jnp.mean(sums, axis=-2, keepdims=True)
    return sinogram * jnp.where(sums > 0, mean / jnp.where(sums > 0, sums, 1), 1)


def draw_shifts(key, views: int, rms):
    """Per-view shifts along the columns, bins, (views,): independent jitter of standard deviation ``rms``.

    A combination of 1, cos and sin of the view angle is a change of centre and of the object's place, not an
    error; jitter contains little of it and it is left in.
    """
    return rms * jax.random.normal(key, (views,))


def draw_drift(key, views: int, rms):
    """Shifts that wander slowly over the scan, bins, (views,): four cosines of random weight, rms ``rms``.

    The constant is left out: that would be another centre.
    """
    orders = jnp.arange(1, 5)
    waves = jnp.cos(jnp.pi * orders[:, None] * (jnp.arange(views)[None, :] + 0.5) / views)
    # Slower ones are stronger; cosines have the mean square 1/2.
    weights = jax.random.normal(key, (4,)) / orders
    return rms * (weights @ waves) / jnp.sqrt(jnp.sum(1 / orders**2) / 2)


def draw_outliers(key, views: int, share, size: float = 5.0):
    """Shifts of a few views that slipped, bins, (views,): ``share`` of them by up to ``size`` either way."""
    key_which, key_size = jax.random.split(key)
    slipped = jax.random.uniform(key_which, (views,)) < share
    return slipped * jax.random.uniform(key_size, (views,), minval=-size, maxval=size)


def draw_sample_drift(key, theta_rad: Float[Array, " views"], distance):
    """Shifts, bins, (views,), of a sample that moves straight by ``distance`` bins during the scan.

    In a random direction ``phi`` of the plane: ``s_v = distance * (v/V - 1/2) * cos(theta_v - phi)``.
    """
    views = theta_rad.shape[0]
    phi = jax.random.uniform(key, maxval=2 * jnp.pi)
    return distance * (jnp.arange(views) / views - 0.5) * jnp.cos(theta_rad - phi)


def draw_angle_errors(key, views: int, rms_deg):
    """Errors of the view angles, radians, (views,), independent, standard deviation ``rms_deg`` degrees."""
    return jnp.deg2rad(rms_deg) * jax.random.normal(key, (views,))


def draw_line_ramps(key, rows: int, views: int, rms) -> Float[Array, "rows views"]:
    """Shifts of each row in each view, bins: a stage that drifts steadily while a probe scans row after row.

    Within a view the shifts are a straight line about 0, its slope normal and drawn for each view.
    """
    time = jnp.arange(rows) - (rows - 1) / 2
    time = time / jnp.maximum(jnp.sqrt(jnp.mean(time**2)), 1e-6)
    return rms * time[:, None] * jax.random.normal(key, (1, views))


def draw_line_walks(key, rows: int, views: int, rms) -> Float[Array, "rows views"]:
    """:func:`draw_line_ramps` of a stage whose shift is a random walk from row to row, with mean 0.

    ``R`` unit steps are on average ``sqrt((R - 1/R) / 6)`` rms about their mean.
    """
    walks = jnp.cumsum(jax.random.normal(key, (rows, views)), axis=0)
    size = jnp.sqrt(max(rows - 1 / rows, 1e-6) / 6)
    return rms * (walks - jnp.mean(walks, axis=0, keepdims=True)) / size


def move_rows(key, volume_scan: Float[Array, "rows views columns"], rms):
    """Each view moved along the rows by ``rms * normal`` bins, as a stage that jitters along the axis.

    Detector row ``i`` sees row ``i - s``, the weighted mean of the two that it straddles; beyond its first
    and last row the object goes on unchanged.
    """
    rows, views, _ = volume_scan.shape
    shifts = rms * jax.random.normal(key, (views,))
    seen = jnp.clip(jnp.arange(rows)[:, None] - shifts[None, :], 0, rows - 1)
    below = jnp.clip(jnp.floor(seen).astype(jnp.int32), 0, max(rows - 2, 0))
    view, above = jnp.arange(views)[None, :], jnp.minimum(below + 1, rows - 1)
    share = (seen - below)[..., None].astype(volume_scan.dtype)
    return (1 - share) * volume_scan[below, view] + share * volume_scan[above, view]


def roll_views(volume_scan: Float[Array, "rows views columns"], roll_deg):
    """Each view as a detector sees it whose columns are rolled by ``roll_deg`` against the rotation axis.

    ``scipy.ndimage.rotate(projections, +roll_deg, axes=(1, 2), reshape=False)`` of ``(views, rows, columns)``
    mends it: this is the turn by ``-roll_deg`` about the middle of the detector, bilinear. Beyond its edges
    the object goes on unchanged.
    """
    rows, _, columns = volume_scan.shape
    i = (jnp.arange(rows) - (rows - 1) / 2)[:, None]
    k = (jnp.arange(columns) - (columns - 1) / 2)[None, :]
    angle = jnp.deg2rad(roll_deg)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    at = [(rows - 1) / 2 + cos * i - sin * k, (columns - 1) / 2 + sin * i + cos * k]
    turn = lambda view: map_coordinates(view, at, order=1, mode="nearest")  # noqa: E731
    return jax.vmap(turn, 1, 1)(volume_scan)


def blur(sinogram, sigma):
    """A Gaussian point spread of ``sigma`` bins along the columns; signal at the edge is carried on."""
    taps = jnp.arange(-_BLUR_REACH, _BLUR_REACH + 1)
    sigma = jnp.maximum(sigma, 1e-3)
    kernel = jnp.exp(-(taps**2) / (2 * sigma**2))
    kernel = (kernel / jnp.sum(kernel)).astype(sinogram.dtype)
    flat = sinogram.reshape(-1, sinogram.shape[-1])
    padded = jnp.pad(flat, ((0, 0), (_BLUR_REACH, _BLUR_REACH)), mode="edge")
    return jax.vmap(lambda line: convolve(line, kernel, mode="valid"))(padded).reshape(sinogram.shape)


def add_stripes(key, sinogram, rms):
    """An offset of each column, the same in all views and slices, of standard deviation ``rms * max(y)``."""
    offsets = jax.random.normal(key, sinogram.shape[-1:], sinogram.dtype)
    return sinogram + rms * jnp.max(sinogram) * jnp.broadcast_to(offsets, sinogram.shape)


def kill_columns(key, sinogram, share):
    """Each column is dead, 0 in all views and slices, with probability ``share``."""
    alive = jax.random.uniform(key, sinogram.shape[-1:]) >= share
    return sinogram * jnp.broadcast_to(alive, sinogram.shape)


def heat_columns(key, sinogram, share):
    """Each column is hot with probability ``share``: it reads the largest value in all views and slices."""
    hot = jax.random.uniform(key, sinogram.shape[-1:]) < share
    return jnp.where(jnp.broadcast_to(hot, sinogram.shape), jnp.max(sinogram), sinogram)


def add_zingers(key, sinogram, share):
    """Each bin is hit with probability ``share``: one to three times the largest value is added."""
    key_which, key_size = jax.random.split(key)
    hit = jax.random.uniform(key_which, sinogram.shape) < share
    size = jax.random.uniform(key_size, sinogram.shape, sinogram.dtype, 1.0, 3.0)
    return sinogram + hit * size * jnp.max(sinogram)


def narrow_field(key, views: int, columns: int, share) -> Float[Array, "views columns"]:
    """Mask (views, columns) of a scan in which some views run out of the field of view.

    A run of neighbouring views, a quarter of them on average, loses ``share`` of the columns at one side.
    """
    key_side, key_start, key_length = jax.random.split(key, 3)
    length = jax.random.uniform(key_length, maxval=0.5) * views
    start = jax.random.uniform(key_start) * views
    view, column = jnp.arange(views), jnp.arange(columns)
    column = jnp.where(jax.random.uniform(key_side) < 0.5, column, column[::-1])
    lost = ((view >= start) & (view < start + length))[:, None] & (column < share * columns)[None, :]
    return 1.0 - lost
