"""The projector as a linear operator of SCICO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax

from pfitre_jax.operators.projector import Projector

if TYPE_CHECKING:
    from scico.linop import LinearOperator


def linear_operator(projector: Projector, rows: int | None = None, jit: bool = True) -> LinearOperator:
    """Linear operator of SCICO for losses and optimisers: ``H @ x`` is ``A x``, ``H.T @ y`` is ``A^T y``.

    The adjoint is the exact one of the projector, and the gradient of a loss is computed by it. There is no
    forward mode (``H.jvp``). The angles are those of :class:`pfitre_jax.ParallelGeometry`; the ones of
    ``scico.linop.xray.XRayTransform2D`` are larger by pi/2 for the same image.

    Args:
        projector: The projector.
        rows: Number of slices that share the geometry, (rows, ny, nx) -> (rows, views, columns); None for a
            single one, (ny, nx) -> (views, columns).
        jit: Whether the operator is compiled.
    """
    from scico.linop import LinearOperator

    batch = () if rows is None else (rows,)
    dtype = projector.geometry.theta_rad.dtype
    return LinearOperator(
        input_shape=(*batch, *projector.image_shape),
        output_shape=(*batch, *projector.sinogram_shape),
        eval_fn=projector if rows is None else jax.vmap(projector),
        adj_fn=projector.T if rows is None else jax.vmap(projector.T),
        input_dtype=dtype,
        output_dtype=dtype,
        jit=jit,
    )
