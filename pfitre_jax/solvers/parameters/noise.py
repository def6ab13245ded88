"""The noise in the sinograms, found from nothing but them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.conjugate_gradients import ratio
from pfitre_jax.solvers.initial_estimate import first_reconstruction
from pfitre_jax.solvers.problem import Problem

#: ``median |n|`` of a standard normal n.
MAD = 0.6745
#: Rows, evenly spread, whose misfit is looked at, and iterations of their first reconstruction, after which
#: it is nearly as near as after ten.
ROWS, ITERATIONS = 4, 3
#: Noise that is added to see how much of it stays in the misfit, over what is there.
ADDED = 0.3


def noise_level(
    sinograms: Float[Array, "slices views columns"], masks: Float[Array, "slices views columns"]
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin, by the median size of second differences along the columns.

    ``sigma = median |y[k-1] - 2 y[k] + y[k+1]| / (0.6745 sqrt 6)`` over the triples of valid bins of all
    slices (Donoho & Johnstone's estimator, Biometrika 81, 1994, on another high-pass). Sharp structure
    counts as noise where it fills the view, the more the less noise there is. A slice of zeros alone tells
    nothing; 0 where no triple is valid.
    """
    second = sinograms[..., :-2] - 2 * sinograms[..., 1:-1] + sinograms[..., 2:]
    there = (masks > 0) & jnp.any((masks > 0) & (sinograms != 0), axis=(-2, -1), keepdims=True)
    valid = there[..., :-2] & there[..., 1:-1] & there[..., 2:]
    size = jnp.nanmedian(jnp.where(valid, jnp.abs(second), jnp.nan))
    return jnp.nan_to_num(size) / (MAD * 6**0.5)


def noise_of_misfit(
    problem: Problem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
) -> Float[Array, ""]:
    """:func:`noise_level` of what first reconstructions leave unexplained, over the share of noise that does.

    ``sigma = s / q``, ``s = noise_level(r(y))``, ``q = noise_level(r(y + e) - r(y)) / noise_level(e)``, ``r``
    the misfit of :func:`pfitre_jax.solvers.initial_estimate.first_reconstruction`, ``e`` white noise of ``0.3 s``: the
    misfit holds only the structure that the image cannot take up, and ``q`` corrects for the noise that it
    did, as Ramani et al. do for a sum of squares (IEEE Trans. Image Process. 17, 2008). How near that comes,
    tells ``python -m experiments.loop_settings``. What the model cannot explain, such as a wrong geometry,
    counts as noise. 0 where there is no misfit, or all of the added noise goes into the image.

    problem: supplies everything but sinogram and mask; sinograms: divided by the scan's scale
    """
    blank = jnp.zeros(problem.A.shape, sinograms.dtype)
    white = jax.random.normal(jax.random.key(0), sinograms.shape, sinograms.dtype)

    def misfit(sinogram, mask):
        row = problem.with_sinogram(sinogram, mask)
        return row.misfit(first_reconstruction(row, blank, None, ITERATIONS))

    # Twice the same, of y and of y + e; once in the program, which takes half as long to compile so.
    def step(added, _):
        left = jax.vmap(misfit)(sinograms + added, masks)
        return ADDED * noise_level(left, masks) * white, left

    _, (left, more) = jax.lax.scan(step, jnp.zeros_like(sinograms), length=2)
    level = noise_level(left, masks)
    stays = ratio(noise_level(more - left, masks), ADDED * level * noise_level(white, masks))
    return ratio(level, stays)


def scan_noise(
    problem: Problem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"] | None = None,
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin: the smaller of :func:`noise_level` and
    :func:`noise_of_misfit`, as each of them counts something else as noise too.

    problem: supplies everything but sinogram and mask
    sinograms: of some rows of the scan, divided by its scale; the misfit is that of at most ``ROWS`` of them
    masks: 1 for a valid bin, default the problem's
    """
    sinograms = jnp.asarray(sinograms)
    masks = jnp.broadcast_to(problem.mask, sinograms.shape) if masks is None else masks
    told = jnp.any((masks > 0) & (sinograms != 0), axis=(1, 2))
    # Evenly spread over those that tell something, which come first in this order.
    order, number = jnp.argsort(~told), min(len(sinograms), ROWS)
    rows = order[((jnp.arange(number) + 0.5) * jnp.sum(told) / number).astype(int)]
    level, of_misfit = noise_level(sinograms, masks), noise_of_misfit(problem, sinograms[rows], masks[rows])
    return jnp.where(of_misfit > 0, jnp.minimum(level, of_misfit), level)
