"""The projector as a linear physics of DeepInverse, on tensors of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from pfitre_jax.operators.projector import Projector

if TYPE_CHECKING:
    import torch
    from deepinv.physics import LinearPhysics


def linear_physics(projector: Projector, normalize: bool = False, **options: Any) -> LinearPhysics:
    """Linear physics of DeepInverse: images (batch, channels, ny, nx) -> (batch, channels, views, columns).

    ``A`` and ``A_adjoint`` are the exact pair of the projector, and each is the backward pass of the other,
    so that gradients of any order pass through. Tensors and arrays share their memory (DLPack), on the device
    of the tensor. ``A_dagger`` and ``prox_l2`` are those of DeepInverse, with these operators.

    Args:
        projector: The projector.
        normalize: Whether the operator is divided by its norm ``||A||``, as the step sizes of DeepInverse
            expect; the measurements must be divided by it, too.
        **options: Further arguments of ``deepinv.physics.LinearPhysics``, such as ``noise_model``.
    """
    from deepinv.physics import LinearPhysics

    norm = jnp.sqrt(projector.norm_squared()) if normalize else 1.0
    forward, adjoint = differentiable_pair(
        jax.vmap(jax.vmap(lambda image: projector(image) / norm)),
        jax.vmap(jax.vmap(lambda sinogram: projector.T(sinogram) / norm)),
        projector.geometry.theta_rad.dtype,
    )
    # DeepInverse passes the parameters of a physics to both functions; this physics has none.
    return LinearPhysics(
        A=lambda image, **_: forward(image),
        A_adjoint=lambda sinogram, **_: adjoint(sinogram),
        img_size=(1, *projector.image_shape),
        **options,
    )


def differentiable_pair(
    forward: Callable[[jax.Array], jax.Array], adjoint: Callable[[jax.Array], jax.Array], dtype: jnp.dtype
) -> tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]:
    """A linear function of JAX and its adjoint as functions of tensors, each the gradient of the other.

    Args:
        forward: ``A``.
        adjoint: ``A^T``.
        dtype: Type of the values.
    """
    import torch

    def on_tensors(function: Callable[[jax.Array], jax.Array]) -> Callable[[torch.Tensor], torch.Tensor]:
        compiled = jax.jit(function)
        name = jnp.dtype(dtype).name

        def apply(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.dtype != getattr(torch, name):
                raise ValueError(
                    f"the tensor has the type {tensor.dtype}; expected torch.{name}, as the angles of the "
                    f"projector: convert it with tensor.to(torch.{name})"
                )
            # The tensor may change once this function has returned: JAX must have read it by then.
            result = compiled(jax.dlpack.from_dlpack(tensor.detach().contiguous())).block_until_ready()
            return torch.from_dlpack(result)

        return apply

    apply_forward, apply_adjoint = on_tensors(forward), on_tensors(adjoint)

    class Forward(torch.autograd.Function):
        """``A``, with the backward pass ``A^T``."""

        @staticmethod
        def forward(_, image):
            return apply_forward(image)

        @staticmethod
        def backward(_, sinogram):
            return Adjoint.apply(sinogram)

    class Adjoint(torch.autograd.Function):
        """``A^T``, with the backward pass ``A``."""

        @staticmethod
        def forward(_, sinogram):
            return apply_adjoint(sinogram)

        @staticmethod
        def backward(_, image):
            return Forward.apply(image)

    return Forward.apply, Adjoint.apply
