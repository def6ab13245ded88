"""Checks of the arrays of a scan. Each raises ``ValueError`` with the expected form and the fix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.geometry import check_theta_rad

#: Columns of the narrowest detector: the noise is estimated from second differences along them.
LEAST_COLUMNS = 3


def check_shape(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Checks that an array of this shape and type can be projections ``(views, rows, columns)``."""
    if dtype.kind not in "fiub":
        raise ValueError(f"the projections are of type {dtype}; expected real numbers")
    if len(shape) != 3:
        raise ValueError(
            f"the projections have shape {shape}; expected a stack (views, rows, columns); "
            "a single sinogram has the shape (views, 1, columns)"
        )
    if 0 in shape:
        raise ValueError(
            f"the projections have shape {shape}, which holds no bin at all; expected (views, rows, columns)"
        )


def check_columns(columns: int) -> None:
    """Checks that a detector is wide enough for a reconstruction."""
    if columns < LEAST_COLUMNS:
        raise ValueError(
            f"the detector has {columns} column{'s' * (columns > 1)}; expected at least {LEAST_COLUMNS}, "
            "from which a slice and its noise can be estimated: check the order of the axes, (views, rows, "
            "columns)"
        )


def check_stack(projections: ArrayLike) -> np.ndarray:
    """Returns ``projections`` as an array (views, rows, columns) of real numbers."""
    projections = np.asarray(projections)
    check_shape(projections.shape, projections.dtype)
    return projections


def check_angles(theta_rad: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the angles of projections of this shape as an array (views,), float64, radians.

    Called once for each scan: when its raw data are read, or when it is created from arrays.
    """
    theta = check_theta_rad(theta_rad)
    if theta.size != shape[0]:
        raise ValueError(
            f"{theta.size} angles for {shape[0]} views; expected one angle for each view: give the "
            f"angles of this scan (stack of shape {shape}, read as (views, rows, columns))"
            + (" or transpose it: another axis has as many entries" if theta.size in shape[1:] else "")
        )
    return theta


def check_finite(
    projections: np.ndarray, mask: np.ndarray | None = None, mask_nan: bool = False, row0: int = 0
) -> np.ndarray:
    """Returns which bins are finite in float32, (views, rows, columns) bool.

    Args:
        projections: (views, rows, columns).
        mask: (views, rows, columns), True for a valid bin, or None if all are valid.
        mask_nan: Whether valid bins may be NaN or infinite.
        row0: Number of the first row, for the message.

    Raises:
        ValueError: If a valid bin is not finite and ``mask_nan`` is False.
    """
    finite = np.isfinite(as_float32(projections))
    bad = ~finite if mask is None else ~finite & mask
    if bad.any() and not mask_nan:
        view, row, column = (int(i) for i in np.argwhere(bad)[0] + [0, row0, 0])
        raise ValueError(
            f"{int(bad.sum())} bins are NaN or infinite in float32, first at view {view}, row {row}, column "
            f"{column}; expected finite values: correct the file, or mask these bins (mask_nan=True)"
        )
    return finite


class NoSignal(ValueError):
    """A scan without a valid bin that is not 0, or whose line integrals are negative as a whole."""


def check_content(any_valid: bool, any_signal: bool) -> None:
    """Checks that a scan has a valid bin, and a valid bin that is not 0.

    Raises:
        NoSignal: If it has not.
    """
    if not any_valid:
        raise NoSignal("no valid bin is left in the scan; expected at least one measured bin")
    if not any_signal:
        raise NoSignal(
            "all projections are 0; expected line integrals of a sample: is this the right dataset, or a "
            "dark or an empty scan?"
        )


def as_float32(projections: np.ndarray) -> np.ndarray:
    """Returns ``projections`` in float32, infinite where they exceed its range."""
    with np.errstate(over="ignore"):
        return projections.astype(np.float32, copy=False)
