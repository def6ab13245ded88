"""Training losses: a registry, and the weights of its entries.

Every loss is a mean over pixels and slices: none depends on the batch size or on the number of slices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pfitre_jax.metrics import ms_ssim
from pfitre_jax.operators.finite_differences import gradient
from pfitre_jax.runtime.fields import add_fields

Images = Float[Array, "slices ny nx"]

#: Added to the absolute error of a pixel, in units of the image scale.
SMALLEST_ERROR = 1e-3


def l1(image: Images, truth: Images) -> Float[Array, ""]:
    """``mean |image - truth|``."""
    return jnp.mean(jnp.abs(image - truth))


def rms(image: Images, truth: Images) -> Float[Array, ""]:
    """Mean over slices of ``sqrt(mean (image - truth)^2)``: easy slices count as much as hard ones."""
    # The root has no gradient at 0.
    return jnp.mean(jnp.sqrt(jnp.mean((image - truth) ** 2, axis=(1, 2)) + 1e-8))


def gradient_l1(image: Images, truth: Images) -> Float[Array, ""]:
    """``mean |D image - D truth|`` with forward differences ``D``."""
    return jnp.mean(jnp.abs(jax.vmap(gradient)(image - truth)))


def structure(image: Images, truth: Images) -> Float[Array, ""]:
    """``1 - MS-SSIM``, mean over slices, for values in [0, 1]."""
    return 1 - jnp.mean(jax.vmap(ms_ssim)(image, truth))


@dataclasses.dataclass(frozen=True)
class Proposal:
    """Proposal of a prior, and quantities that the losses need.

    Attributes:
        image: (slices, ny, nx), the proposal.
        truth: (slices, ny, nx).
        propose_again: Returns the prior's proposal for the proposal, (slices, ny, nx).
        relative_residual: Returns ``||M(A z - y)|| / ||M y||`` of the proposal ``z``, (slices,).
        expected_error: Returns the loop's result (slices, ny, nx), the absolute error that the prior expects
            of it, (slices, ny, nx), and the support (ny, nx).
    """

    image: Images
    truth: Images
    propose_again: Callable[[], Images] | None = None
    relative_residual: Callable[[], Float[Array, " slices"]] | None = None
    expected_error: Callable[[], tuple[Images, Images, Float[Array, "ny nx"]]] | None = None


def idempotence(proposal: Proposal) -> Float[Array, ""]:
    """``mean |z - f(z)|``, for a proposal with ``propose_again``."""
    assert proposal.propose_again is not None
    return l1(proposal.propose_again(), proposal.image)


def consistency(proposal: Proposal) -> Float[Array, ""]:
    """Mean over slices of the relative residual, for a proposal with ``relative_residual``."""
    assert proposal.relative_residual is not None
    return jnp.mean(proposal.relative_residual())


@dataclasses.dataclass(frozen=True)
class Loss:
    """One term of the loss; its weight is a field of :class:`LossWeights`.

    Attributes:
        name: Its name in configurations.
        function: Returns the loss of a proposal, ().
        help: Its formula, and its use.
        weight: Default of its weight.
        every_iteration: Whether it is computed for the proposals of all unrolled iterations and for the
            loop's result, from image and truth only; otherwise for the last proposal.
        determines_image: Whether its minimum determines the image, so that it can be the only loss.
    """

    name: str
    function: Callable[[Proposal], Float[Array, ""]]
    help: str
    weight: float = 0.0
    every_iteration: bool = True
    determines_image: bool = False


def expected_error(proposal: Proposal) -> Float[Array, ""]:
    """``mean(e / b + log b)``, ``b`` the expected error of the loop's result ``x``, ``e = |x - t| + 0.001``.

    That is the negative logarithm of a Laplace likelihood, whose minimum ``b`` is the mean of ``e``. The
    addition bounds ``b`` where all errors are 0. The mean is over the support.
    """
    assert proposal.expected_error is not None
    result, expected, support = proposal.expected_error()
    # The error is to be predicted here, not to be reduced.
    error = jnp.abs(jax.lax.stop_gradient(result) - proposal.truth) + SMALLEST_ERROR
    return jnp.mean(error / expected + jnp.log(expected), where=support[None] > 0)


#: Every loss; ``z`` is the proposal, ``t`` the truth and ``f`` the network.
LOSSES = (
    Loss("l1", lambda p: l1(p.image, p.truth), "``mean |z - t|``.", 1.0, determines_image=True),
    Loss(
        "rms",
        lambda p: rms(p.image, p.truth),
        "Mean over slices of ``sqrt(mean (z - t)^2)``; its minimum is the mean of the possible images, where "
        "that of ``l1`` is the median.",
        determines_image=True,
    ),
    Loss(
        "gradient",
        lambda p: gradient_l1(p.image, p.truth),
        "``mean |D z - D t|``, with forward differences ``D``.",
        0.1,
    ),
    Loss("ms_ssim", lambda p: structure(p.image, p.truth), "``1 - MS-SSIM``.", determines_image=True),
    Loss(
        "idempotence",
        idempotence,
        "``mean |z - f(z)|``.",
        every_iteration=False,
    ),
    Loss(
        "consistency",
        consistency,
        "Mean over slices of ``||M(A z - y)|| / ||M y||``.",
        every_iteration=False,
    ),
    Loss(
        "expected_error",
        expected_error,
        "``mean(e / b + log b)``, with the absolute error ``e`` of the loop's result and the expected error "
        "``b``; for a network with ``expected_error``, whose image it does not change.",
        every_iteration=False,
    ),
)


@dataclasses.dataclass(frozen=True)
@add_fields((loss.name, "float", loss.weight, loss.help) for loss in LOSSES)
class LossWeights:
    """Weight of each loss of :data:`LOSSES`; 0 leaves it out of the program.

    Raises:
        ValueError: If a weight is negative or not finite, or if all losses that determine the image
            have the weight 0.
    """

    if TYPE_CHECKING:
        # One weight for each loss of the registry.
        def __init__(self, **weights: float) -> None: ...

        def __getattr__(self, name: str) -> float: ...

    def __post_init__(self) -> None:
        weights: dict[str, Any] = dataclasses.asdict(self)
        if not all(np.isfinite(w) and w >= 0 for w in weights.values()):
            raise ValueError(f"the losses have the weights {weights}; expected finite weights of at least 0")
        determining = [loss.name for loss in LOSSES if loss.determines_image]
        if not any(weights[name] for name in determining):
            raise ValueError(
                f"the losses have the weights {weights}; expected one of {', '.join(determining)} to be "
                "positive: the others do not determine the image"
            )

    def of(self, loss: Loss) -> float:
        """Returns the weight of a loss."""
        return getattr(self, loss.name)


def weighted_loss(weights: LossWeights, proposal: Proposal, *, every_iteration: bool) -> Float[Array, ""]:
    """Weighted sum of the losses with this ``every_iteration``; 0 if all their weights are 0."""
    terms = [
        weights.of(loss) * loss.function(proposal)
        for loss in LOSSES
        if loss.every_iteration == every_iteration and weights.of(loss)
    ]
    return sum(terms, start=jnp.zeros(()))


def compare(weights: LossWeights, image: Images, truth: Images) -> Float[Array, ""]:
    """The weighted sum of the losses between an image and the truth.

    Slices whose largest true value exceeds 1 are divided by it. A few bright pixels in a weak object, which
    the scale of a scan ignores, would otherwise outweigh all other slices.
    """
    level = jnp.maximum(jnp.max(truth, axis=(1, 2), keepdims=True), 1)
    return weighted_loss(weights, Proposal(image / level, truth / level), every_iteration=True)
