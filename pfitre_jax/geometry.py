"""Conventions of the scan: angles, rotation centre, per-view shifts and the missing wedge.

============ =============================================================================================
projections  ``(views, rows, columns)`` float32; ``rows`` run along the rotation axis, one row is one slice
sinogram     ``(views, columns)``: one row of the projections
volume       ``(rows, ny, nx)``; image ``(ny, nx)``; pixel ``(i, j)`` sits at ``x = j - (nx-1)/2``,
             ``y = (ny-1)/2 - i`` (pixels)
angle        ``theta_rad (views,)``; files hold degrees
ray          ``x cos(theta) + y sin(theta) = t``; detector bin ``k`` of view ``v`` sits at
             ``t = k - center - shifts[v]``
center       detector index of the rotation axis, bins counted from 0; default ``(columns-1)/2``
============ =============================================================================================
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

#: Larger angles (more than two turns) are refused, because they look like degrees.
MAX_ABS_THETA_RAD = 4 * np.pi
#: Views whose angles differ by less than this modulo pi are the same view, radians.
SAME_VIEW_RAD = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ParallelGeometry:
    """Parallel-beam geometry; a pytree whose arrays can be differentiated and whose sizes are static.

    Use :meth:`create`, which validates; the bare constructor does not, because JAX calls it with tracers.

    Attributes:
        theta_rad: (views,), radians.
        center: (), detector index of the rotation axis.
        shifts: (views,), bins; the projection of view ``v`` is displaced by ``+shifts[v]`` along the columns.
        columns: Number of detector bins.
    """

    theta_rad: Float[Array, " views"]
    center: Float[Array, ""]
    shifts: Float[Array, " views"]
    columns: int = dataclasses.field(metadata={"static": True})

    @classmethod
    def create(
        cls, theta_rad: ArrayLike, columns: int, center: float | None = None, shifts: ArrayLike | None = None
    ) -> ParallelGeometry:
        """Validated geometry.

        Args:
            theta_rad: (views,), radians.
            columns: Number of detector bins.
            center: Detector index of the rotation axis; None for the middle, ``(columns-1)/2``.
            shifts: (views,), bins; None for 0.

        Raises:
            ValueError: If angles are not finite, look like degrees or are not 1D; the centre is outside the
                detector; or the number of shifts differs from the number of views.

        >>> ParallelGeometry.create(theta_rad=[0.0, 0.5], columns=150, center=75.0).views
        2
        """
        theta = check_theta_rad(theta_rad)
        if int(columns) != columns or columns < 1:
            raise ValueError(f"columns is {columns!r}; expected the number of detector bins, at least 1")
        columns = int(columns)
        center = (columns - 1) / 2 if center is None else check_center(center, columns)
        shifts = np.zeros(theta.size) if shifts is None else np.asarray(shifts, float)
        if shifts.shape != theta.shape or not np.all(np.isfinite(shifts)):
            raise ValueError(
                f"shifts have shape {shifts.shape}; expected one finite shift (bins) for each of "
                f"the {theta.size} views"
            )
        dtype = jnp.result_type(float)
        return cls(jnp.asarray(theta, dtype), jnp.asarray(center, dtype), jnp.asarray(shifts, dtype), columns)

    @property
    def views(self) -> int:
        """Number of views."""
        return self.theta_rad.shape[0]

    @property
    def disc_radius(self) -> Float[Array, ""]:
        """Radius of the disc about the axis that is inside every view at any angle, pixels.

        It extends to the outer side of the last bin at the nearer edge of the detector, minus the largest
        shift.
        """
        reach = jnp.minimum(self.center, self.columns - 1 - self.center) + 0.5
        return reach - jnp.max(jnp.abs(self.shifts))

    @property
    def reach(self) -> Float[Array, ""]:
        """Radius to the outer side of the last bin at the farther edge of the detector, pixels.

        Views over a whole turn see each ray within it once or twice, see :func:`covers_full_turn`.
        """
        reach = jnp.maximum(self.center, self.columns - 1 - self.center) + 0.5
        return reach - jnp.max(jnp.abs(self.shifts))


def remove_object_shift(theta_rad: ArrayLike, shifts: ArrayLike) -> np.ndarray:
    """Shifts of the views without the part that a shift of the object in its plane explains.

    That part is the least-squares fit of ``a cos(theta) + b sin(theta)``.

    Args:
        theta_rad: (views,), radians.
        shifts: (views,), bins.

    Returns:
        (views,), bins.
    """
    theta, shifts = np.asarray(theta_rad), np.asarray(shifts)
    basis = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    return shifts - basis @ np.linalg.lstsq(basis, shifts, rcond=1e-3)[0]


def check_center(center: float, columns: int) -> float:
    """Returns ``center`` as a float.

    Raises:
        ValueError: If it is outside the detector.
    """
    center = float(center)
    if not 0 <= center <= columns - 1:
        raise ValueError(
            f"the centre {center:g} is outside the detector; expected a detector index between 0 and "
            f"{columns - 1} (bins are counted from 0)"
        )
    return center


def check_theta_rad(theta_rad: ArrayLike) -> np.ndarray:
    """Returns the angles as an array (views,), float64, radians.

    Raises:
        ValueError: If they are not 1D, not finite, or look like degrees.
    """
    theta = np.asarray(theta_rad, float)
    if theta.ndim != 1 or theta.size == 0:
        raise ValueError(f"angles have shape {theta.shape}; expected one angle for each view, shape (views,)")
    if not np.all(np.isfinite(theta)):
        bad = int(np.flatnonzero(~np.isfinite(theta))[0])
        raise ValueError(f"the angle of view {bad} is {theta[bad]}; expected finite angles")
    largest = float(np.abs(theta).max())
    if largest > MAX_ABS_THETA_RAD:
        raise ValueError(
            f"the largest angle is {largest:g} rad; these look like degrees: expected radians "
            "(np.deg2rad, or angle unit 'deg')"
        )
    return theta


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Wedge:
    """The missing wedge: the view angles, modulo pi, that were not measured.

    Attributes:
        center_rad: Middle of the gap, in [0, pi).
        width_rad: Width of the gap minus the spacing of the views; 0 for a full scan.
    """

    center_rad: float | Float[Array, ""]
    width_rad: float | Float[Array, ""]

    @classmethod
    def from_angles(cls, theta_rad: ArrayLike) -> Wedge:
        """The largest angular gap modulo pi, minus the :func:`view_spacing`.

        Args:
            theta_rad: (views,), radians. Traced angles are not validated, and their wedge has no gradient.

        Raises:
            ValueError: If the angles are not 1D, not finite, or look like degrees.

        >>> round(float(np.rad2deg(Wedge.from_angles(np.deg2rad(np.arange(0.0, 90.0))).width_rad)))
        90
        """
        if isinstance(theta_rad, jax.core.Tracer):
            return cls(*_traced_gap(jax.lax.stop_gradient(theta_rad)))
        return cls(*largest_gap(check_theta_rad(theta_rad)))

    @property
    def width_deg(self) -> float:
        """Width of the gap, degrees."""
        return float(np.rad2deg(self.width_rad))

    @property
    def center_deg(self) -> float:
        """Middle of the gap, degrees."""
        return float(np.rad2deg(self.center_rad))


def view_spacing(gaps: Any) -> Any:
    """Spacing of the views: the median gap of a random angle, (n,) -> ().

    Half of the angular range, without the largest gap, lies in gaps of at most this width. Several exposures
    at nearly the same angle, whose gaps are tiny, do not change it, as they would change the median gap.

    Args:
        gaps: (n,), gaps between neighbouring angles, radians, of NumPy or JAX.
    """
    xp = jnp if isinstance(gaps, jax.Array) else np
    ordered = xp.sort(gaps)
    if gaps.shape[0] == 1:
        return ordered[0]
    covered = xp.cumsum(ordered[:-1])
    # Rounding must not skip the last one of several equal gaps.
    k = xp.argmax(covered >= 0.4999 * covered[-1])
    return xp.where(covered[-1] > 0, ordered[k], ordered[-1])


def covers_full_turn(theta_rad: Any) -> Any:
    """Whether the views cover a whole turn, so that each has one from the opposite side: (views,) -> ().

    The largest gap modulo 2 pi is then at most three spacings (:func:`view_spacing`), and below 90 degrees.

    Args:
        theta_rad: (views,), radians, of NumPy or JAX.
    """
    xp = jnp if isinstance(theta_rad, jax.Array) else np
    theta = xp.sort(xp.mod(theta_rad, 2 * np.pi))
    gaps = xp.diff(theta, append=theta[:1] + 2 * np.pi)
    largest = xp.max(gaps)
    return (largest <= 3.001 * view_spacing(gaps)) & (largest < np.pi / 2)


def largest_gap(theta_rad: np.ndarray) -> tuple[float, float]:
    """Middle and width of the :class:`Wedge` of valid angles (views,), radians."""
    theta = np.unique(np.round(np.mod(theta_rad, np.pi), 9))
    # An angle slightly below pi is the same view as 0.
    if theta.size > 1 and theta[0] + np.pi - theta[-1] < SAME_VIEW_RAD:
        theta = theta[:-1]
    if theta.size == 1:
        return float(np.mod(theta[0] + np.pi / 2, np.pi)), float(np.pi)
    gaps = np.diff(np.append(theta, theta[0] + np.pi))
    k = int(np.argmax(gaps))
    width = max(float(gaps[k] - view_spacing(gaps)), 0.0)
    return float(np.mod(theta[k] + gaps[k] / 2, np.pi)), 0.0 if width < SAME_VIEW_RAD else width


def _traced_gap(theta_rad: Float[Array, " views"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """:func:`largest_gap` in JAX. Views closer than 1e-5 rad count as one, because angles are float32."""
    theta = jnp.sort(jnp.mod(theta_rad, jnp.pi))
    gaps = jnp.diff(theta, append=theta[:1] + jnp.pi)
    distinct = gaps > 1e-5
    k = jnp.argmax(gaps)
    width = jnp.maximum(gaps[k] - view_spacing(gaps), 0)
    width = jnp.where(jnp.sum(distinct) == 1, jnp.pi, jnp.where(width < 1e-5, 0, width))
    return jnp.mod(theta[k] + gaps[k] / 2, jnp.pi), width
