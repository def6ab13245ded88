"""Noise estimated from the sinograms alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.solvers.conjugate_gradients import ratio
from pfitre_jax.solvers.initial_estimate import initial_estimate
from pfitre_jax.solvers.slice_problem import SliceProblem

#: ``median |n|`` of a standard normal ``n``.
MAD = 0.6745
#: Number of rows, evenly spread, whose residual is used.
ROWS = 4
#: Iterations of their initial estimate; ten iterations give nearly the same residual.
ITERATIONS = 3
#: Standard deviation of the test noise, relative to the noise in the residual.
ADDED = 0.3


def noise_from_differences(
    sinograms: Float[Array, "slices views columns"], masks: Float[Array, "slices views columns"]
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin, from second differences along the columns.

    ``sigma = median |y[k-1] - 2 y[k] + y[k+1]| / (0.6745 sqrt 6)`` over the triples of valid bins of all
    slices. It overestimates the noise where sharp structure fills the views, most in scans with little noise.
    A slice of zeros is ignored.

    Args:
        sinograms: (slices, views, columns), line integrals.
        masks: (slices, views, columns), 1 for a valid bin.

    Returns:
        (), in the units of the sinograms; 0 where no triple is valid.

    References:
        Donoho & Johnstone, Biometrika 81, 1994, with another high-pass filter.
    """
    second = sinograms[..., :-2] - 2 * sinograms[..., 1:-1] + sinograms[..., 2:]
    usable = (masks > 0) & jnp.any((masks > 0) & (sinograms != 0), axis=(-2, -1), keepdims=True)
    valid = usable[..., :-2] & usable[..., 1:-1] & usable[..., 2:]
    size = jnp.nanmedian(jnp.where(valid, jnp.abs(second), jnp.nan))
    return jnp.nan_to_num(size) / (MAD * 6**0.5)


def noise_from_residual(
    problem: SliceProblem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"],
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin, from the residual of initial estimates.

    ``sigma = s / q``, ``s = noise_from_differences(r(y))`` and
    ``q = noise_from_differences(r(y + e) - r(y)) / noise_from_differences(e)``, ``r`` the residual of
    :func:`pfitre_jax.solvers.initial_estimate.initial_estimate` and ``e`` white noise of ``0.3 s``. The
    residual holds only structure that the image cannot represent, and ``q`` is the share of the noise that
    stays in it. Errors of the model, such as a wrong geometry, count as noise. The accuracy is
    measured by ``python -m experiments.loop_settings``.

    Args:
        problem: Geometry and support; its sinogram and mask are ignored.
        sinograms: (slices, views, columns), divided by the scale of the scan.
        masks: (slices, views, columns), 1 for a valid bin.

    Returns:
        (), in the units of the sinograms; 0 where the residual is 0 or the image reproduces all test noise.

    References:
        The same idea for a sum of squares: Ramani et al., IEEE Trans. Image Process. 17, 2008.
    """
    blank = jnp.zeros(problem.A.shape, sinograms.dtype)
    white = jax.random.normal(jax.random.key(0), sinograms.shape, sinograms.dtype)

    def residual(sinogram, mask):
        row = problem.with_sinogram(sinogram, mask)
        return row.residual(initial_estimate(row, blank, None, ITERATIONS))

    # A scan over y and y + e compiles the reconstruction once, which halves the compile time.
    def step(added, _):
        residuals = jax.vmap(residual)(sinograms + added, masks)
        return ADDED * noise_from_differences(residuals, masks) * white, residuals

    _, (without, with_noise) = jax.lax.scan(step, jnp.zeros_like(sinograms), length=2)
    level = noise_from_differences(without, masks)
    added = ADDED * level * noise_from_differences(white, masks)
    return ratio(level, ratio(noise_from_differences(with_noise - without, masks), added))


def estimate_noise(
    problem: SliceProblem,
    sinograms: Float[Array, "slices views columns"],
    masks: Float[Array, "slices views columns"] | None = None,
) -> Float[Array, ""]:
    """Standard deviation of the noise in a bin.

    The smaller of :func:`noise_from_differences` and :func:`noise_from_residual`, because each overestimates
    the noise in other cases.

    Args:
        problem: Geometry and support; its sinogram is ignored.
        sinograms: (slices, views, columns), rows of the scan divided by its scale. At most :data:`ROWS` of
            them are reconstructed.
        masks: (slices, views, columns), 1 for a valid bin. None: that of ``problem``.

    Returns:
        (), in the units of the sinograms.
    """
    sinograms = jnp.asarray(sinograms)
    masks = jnp.broadcast_to(problem.mask, sinograms.shape) if masks is None else masks
    signal = jnp.any((masks > 0) & (sinograms != 0), axis=(1, 2))
    # Rows with signal come first in this order; those used are spread evenly over them.
    order, number = jnp.argsort(~signal), min(len(sinograms), ROWS)
    rows = order[((jnp.arange(number) + 0.5) * jnp.sum(signal) / number).astype(int)]
    differences = noise_from_differences(sinograms, masks)
    residual = noise_from_residual(problem, sinograms[rows], masks[rows])
    return jnp.where(residual > 0, jnp.minimum(differences, residual), differences)
