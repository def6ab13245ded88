"""A call with the arguments and the axis order of ``tomopy.recon``, and an algorithm for ``tomopy.recon``.

TomoPy and this package have the same angles (radians, counterclockwise), the same orientation of the slices
and the same unit (per pixel). TomoPy's algorithms count the centre of rotation in two ways. Here it is the
index of a detector bin, the first one being 0, as in ``gridrec``, ``find_center``, ``find_center_vo`` and
``find_center_pc``. In ``art``, ``sirt``, ``mlem``, ``tomopy.project`` and others it is the distance from the
outer side of the first bin, which is half a bin more: subtract 0.5 from such a centre.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction.in_memory import reconstruct

#: TomoPy solves chunks of slices in several threads; JAX uses all cores for each of them.
_ONE_AT_A_TIME = threading.Lock()


def recon(
    tomo: ArrayLike,
    theta: ArrayLike,
    center: ArrayLike | str | None = None,
    sinogram_order: bool = False,
    algorithm: str = "pfitre",
    *,
    num_iter: int | None = None,
    num_gridx: int | None = None,
    num_gridy: int | None = None,
    ncore: int | None = None,
    nchunk: int | None = None,
    **options: Any,
) -> np.ndarray:
    """Reconstructs slices by a method of this package, with the arguments of ``tomopy.recon``.

    The slices are those of :func:`pfitre_jax.reconstruct` for the :func:`to_scan` of the data. Its warnings
    are Python warnings here.

    Args:
        tomo: (views, rows, columns), line integrals (after ``tomopy.minus_log``); with ``sinogram_order``
            (rows, views, columns).
        theta: (views,), radians.
        center: Detector index of the rotation axis; None for the middle of the detector; "auto" to estimate
            it. An array with one value for each row must have equal values.
        sinogram_order: Whether rows are the first axis.
        algorithm: Name of the method.
        num_iter: Number of iterations; None for that of the method.
        num_gridx: Number of pixels along the first axis of a slice; None for the number of columns.
        num_gridy: Number of pixels along the second axis of a slice; None for the number of columns.
        ncore: Not used: JAX uses all cores.
        nchunk: Largest number of rows that are solved together; None for as many as are fast.
        **options: Further arguments of :func:`pfitre_jax.reconstruct`, such as ``prior`` or ``weight``.

    Returns:
        (rows, num_gridx, num_gridy) float32, per pixel.

    Raises:
        ValueError: An argument is invalid, or the centre is not the same for all rows.
    """
    scan = to_scan(tomo, theta, center, sinogram_order)
    shape = (num_gridx or scan.columns, num_gridy or scan.columns)
    _check_grid(shape, scan.columns)
    result = reconstruct(scan, algorithm, iterations=num_iter, chunk=nchunk, **options)
    for text in result.warnings:
        warnings.warn(text, UserWarning, stacklevel=2)
    return _on_grid(np.asarray(result.volume), shape)


def pfitre(tomo: np.ndarray, center: np.ndarray, recon: np.ndarray, theta: np.ndarray, **kwargs: Any) -> None:
    """Solves a chunk of slices: an ``algorithm`` for ``tomopy.recon``.

    ::

        options = {"method": "pfitre", "prior": "general"}
        tomopy.recon(tomo, theta, center, algorithm=interop.tomopy.pfitre, ncore=1, options=options)

    Scale, noise and support are estimated from a chunk. With ``ncore=1`` there is one chunk, whose slices are
    those of :func:`recon`. Pass the centre: the one that TomoPy assumes, half the number of columns, is half
    a bin from the middle of the detector.

    Args:
        tomo: (rows, views, columns), line integrals.
        center: (rows,), detector index of the rotation axis.
        recon: (rows, num_gridx, num_gridy), overwritten with the slices.
        theta: (views,), radians.
        **kwargs: ``options``, arguments of :func:`pfitre_jax.reconstruct`; others are not used.
    """
    with _ONE_AT_A_TIME:
        scan = to_scan(tomo, theta, center, sinogram_order=True)
        _check_grid(recon.shape[1:], scan.columns)
        result = reconstruct(scan, **kwargs.get("options", {}))
    for text in result.warnings:
        warnings.warn(text, UserWarning, stacklevel=2)
    recon[:] = _on_grid(np.asarray(result.volume), recon.shape[1:])


def to_scan(
    tomo: ArrayLike,
    theta: ArrayLike,
    center: ArrayLike | str | None = None,
    sinogram_order: bool = False,
) -> Scan:
    """The scan of arrays in the order of TomoPy.

    Args:
        tomo: As in :func:`recon`.
        theta: As in :func:`recon`.
        center: As in :func:`recon`.
        sinogram_order: As in :func:`recon`.

    Raises:
        ValueError: The data are invalid, or the centre is not the same for all rows.
    """
    stack = np.asarray(tomo)
    if stack.ndim != 3:
        order = "(rows, views, columns)" if sinogram_order else "(views, rows, columns)"
        raise ValueError(f"tomo has shape {stack.shape}; expected three axes, {order}")
    views, rows = (1, 0) if sinogram_order else (0, 1)
    if stack.shape[views] != np.size(theta):
        raise ValueError(
            f"tomo of shape {stack.shape} has {stack.shape[views]} views and theta {np.size(theta)} angles; "
            f"expected one angle for each view (sinogram_order is {sinogram_order})"
        )
    return Scan.create(
        stack.swapaxes(0, 1) if sinogram_order else stack,
        theta,
        center=_one_center(center, stack.shape[rows], stack.shape[2]),
        provenance={"source": "array in the order of TomoPy"},
    )


def _one_center(center: ArrayLike | str | None, rows: int, columns: int) -> float | None:
    """The detector index of the axis; None to estimate it."""
    if center is None:
        return (columns - 1) / 2
    if isinstance(center, str):
        if center == "auto":
            return None
        raise ValueError(f"center is {center!r}; expected a number, 'auto' or None")
    values = np.ravel(np.asarray(center, float))
    if values.size not in (1, rows):
        raise ValueError(f"center has {values.size} values; expected one, or one for each of the {rows} rows")
    if np.ptp(values) > 1e-3:
        raise ValueError(
            f"center goes from {values.min():g} to {values.max():g} over the rows; expected one centre for "
            "all rows: correct a tilted axis before (pfitre_jax.with_roll on the scan of to_scan)"
        )
    return float(values.mean())


def _check_grid(shape: tuple[int, ...], columns: int) -> None:
    """Raises a ``ValueError`` unless the pixels of a grid lie on those of an image (columns, columns)."""
    if any((size - columns) % 2 for size in shape):
        raise ValueError(
            f"the grid has {shape[0]} x {shape[1]} pixels and the detector {columns} columns; expected "
            "numbers that are all even or all odd, so that pixels keep their places about the axis"
        )


def _on_grid(volume: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The middle of every slice (rows, ny, nx), or the slice in the middle of zeros: (rows, *shape)."""
    for axis, size in enumerate(shape, start=1):
        margin = (size - volume.shape[axis]) // 2
        pad = [(max(margin, 0),) * 2 if a == axis else (0, 0) for a in range(3)]
        kept = slice(max(-margin, 0), volume.shape[axis] - max(-margin, 0))
        volume = np.pad(volume[(slice(None),) * axis + (kept,)], pad)
    return volume
