"""What of a result the data determine, and what was supplied: by the prior, or by any other assumption."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.engine.compiled import as_arrays, compiled
from pfitre_jax.engine.scale import sample_rows
from pfitre_jax.engine.slices import CHUNK
from pfitre_jax.solvers.cg import conjugate_gradients, ratio
from pfitre_jax.solvers.problem import Problem
from pfitre_jax.solvers.weight import noise_level

#: Conjugate gradients of :func:`measured_part`; twice as many change it by less than 1%.
ITERATIONS = 40
#: The damping is at least this, relative to ``norm(A)^2 = 1``: no data are better than float32 tells.
SMALLEST_DAMPING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """measured: (rows, ny, nx), the part of the volume that the data determine at the noise level
    supplied: (rows,), ``norm(x - measured) / norm(x)``, the share that they do not; 0 for an empty slice
    damping: (), see :func:`damping`
    seconds_compile: wall time
    """

    measured: np.ndarray
    supplied: np.ndarray
    damping: float
    seconds_compile: float


def measured_part(problem: Problem, x: Float[Array, "ny nx"], damping, iterations: int = ITERATIONS):
    """``(H + damping)^-1 H x`` with ``H = S A^T M A S / norm(A)^2``: image (ny, nx) -> (ny, nx).

    What a damped least-squares reconstruction would make of noiseless data of ``x``: the identity where ``H``
    is far above ``damping``, 0 where the data say nothing, as in the missing wedge. By preconditioned
    conjugate gradients on the exact operator.

    damping: (), of :func:`damping`
    """
    image = problem.normal(x)
    return conjugate_gradients(
        lambda v: problem.normal(v) + damping * v,
        image,
        jnp.zeros_like(x),
        iterations=iterations,
        precondition=lambda r: problem.precondition(r, damping),
    )


def damping(problem: Problem, sinograms, masks, volume, residual) -> float:
    """``sigma^2 / (s^2 norm(A)^2)``: the noise's variance over the image's, relative to ``norm(A)^2 = 1``.

    With it, :func:`measured_part` is the best linear estimate of a white image from noisy data (Wiener).
    ``s^2`` is the mean square of the volume inside the support. ``sigma`` is the noise of a bin by
    :func:`pfitre_jax.solvers.weight.noise_level`, or the rms misfit of the volume where that is larger: data
    that the model does not explain determine nothing either.

    sinograms, masks: (rows, views, columns); volume: (rows, ny, nx), in units that predict them
    residual: (rows,), ``norm(M(Ax-y))/norm(My)``
    """
    rows = sample_rows(len(sinograms))
    noise = float(_noise_level(sinograms[rows].astype(np.float32), masks[rows].astype(np.float32)))
    power = [float(np.sum(y * y, where=m)) for y, m in zip(sinograms, masks.astype(bool), strict=True)]
    misfit = np.sum(np.square(residual, dtype=float) * power) / max(int(np.sum(masks)), 1)
    support = np.asarray(problem.support)
    size = float(np.mean([np.sum(np.square(x, dtype=float) * support) for x in volume])) / support.sum()
    variance = max(noise**2, float(misfit))
    # Of an empty volume nothing was measured and nothing supplied.
    found = variance / (size * float(problem.norm_squared)) if size > 0 else 1.0
    return max(found, SMALLEST_DAMPING)


def split(problem: Problem, sinograms, masks, volume, residual) -> Split:
    """The measured part of every row of ``volume``, a chunk of rows at a time; arguments of :func:`damping`.

    problem: supplies everything but sinogram and mask
    """
    sinograms, masks, volume = (np.asarray(a) for a in (sinograms, masks, volume))
    strength = damping(problem, sinograms, masks, volume, residual)
    chunk = min(CHUNK, len(volume))
    parts, seconds_compile = [], 0.0
    for begin in range(0, len(volume), chunk):
        block = slice(begin, begin + chunk)
        fill = ((0, chunk - len(volume[block])), (0, 0), (0, 0))
        arrays = (np.pad(a[block].astype(np.float32), fill) for a in (masks, volume))
        arguments = as_arrays((problem, *arrays, np.float32(strength)))
        executable, seconds = compiled(_parts, *arguments)
        seconds_compile += seconds
        parts.append(jax.tree.map(np.asarray, executable(*arguments)))
    measured, supplied = (np.concatenate(a)[: len(volume)] for a in zip(*parts, strict=True))
    return Split(measured, supplied, strength, seconds_compile)


_noise_level = jax.jit(noise_level)


@jax.jit
def _parts(problem: Problem, masks, images, strength):
    def one(mask, image):
        row = dataclasses.replace(problem, mask=mask)
        measured = measured_part(row, image, strength)
        return measured, ratio(jnp.linalg.norm(image - measured), jnp.linalg.norm(image))

    return jax.vmap(one)(masks, images)
