"""Training losses, means over pixels and slices: none depends on the batch size or the number of slices."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.metrics import ms_ssim
from pfitre_jax.operators.finite_differences import gradient


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; 0 leaves it out of the program.

    l1: ``mean |z - t|``, ``z`` the proposal and ``t`` the truth
    rms: mean over slices of ``sqrt(mean (z - t)^2)``; its minimum is the mean of what may be there, where
        that of ``l1`` is the median
    gradient: ``mean |D z - D t|``, forward differences ``D``
    ms_ssim: ``1 - MS-SSIM``
    idempotence: ``mean |f(x) - f(f(x))|``, ``f`` the network
    consistency: mean over slices of ``norm(M(A z - y)) / norm(M y)``

    Raises ``ValueError`` for a negative weight, or if none of the terms that know the truth counts.
    """

    l1: float = 1.0
    rms: float = 0.0
    gradient: float = 0.1
    ms_ssim: float = 0.0
    idempotence: float = 0.0
    consistency: float = 0.0

    def __post_init__(self):
        weights = dataclasses.asdict(self)
        if not all(np.isfinite(w) and w >= 0 for w in weights.values()):
            raise ValueError(f"the losses have the weights {weights}; expected finite ones of at least 0")
        if not any(weights[name] for name in ("l1", "rms", "ms_ssim")):
            raise ValueError(
                f"the losses have the weights {weights}; expected l1, rms or ms_ssim to be positive: the "
                "others do not say what the image should be"
            )


def l1(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """``mean |image - truth|``."""
    return jnp.mean(jnp.abs(image - truth))


def rms(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """Mean over slices of ``sqrt(mean (image - truth)^2)``: easy slices count as much as hard ones."""
    # The root has no gradient at 0.
    return jnp.mean(jnp.sqrt(jnp.mean((image - truth) ** 2, axis=(1, 2)) + 1e-8))


def gradient_l1(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """``mean |D image - D truth|`` with forward differences ``D``."""
    return jnp.mean(jnp.abs(jax.vmap(gradient)(image - truth)))


def structure(image: Float[Array, "slices ny nx"], truth: Float[Array, "slices ny nx"]):
    """``1 - MS-SSIM``, mean over slices; range 1."""
    return 1 - jnp.mean(jax.vmap(ms_ssim)(image, truth))


#: The terms that compare an image with the truth, by their name in :class:`LossWeights`.
TERMS = {"l1": l1, "rms": rms, "gradient": gradient_l1, "ms_ssim": structure}


def compare(weights: LossWeights, image, truth):
    """The weighted sum of :data:`TERMS`."""
    return sum(
        getattr(weights, name) * term(image, truth) for name, term in TERMS.items() if getattr(weights, name)
    )
