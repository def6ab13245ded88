"""Geometries of the ASTRA toolbox as a projector, and back.

ASTRA's rays in two dimensions are ``x cos(theta) + y sin(theta) = t`` with ``y`` upwards, as here. Row 0 of
an image is at the top in two dimensions and at the bottom in three, so that the angles of ``parallel3d``
change their sign. Slices of a volume are rows of the detector.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector

#: Types of projection geometry that describe parallel beams about one axis.
SUPPORTED = ("parallel", "parallel_vec", "parallel3d", "parallel3d_vec")
#: Largest relative error of lengths and directions that counts as rounding.
TOLERANCE = 1e-5


def from_astra(proj_geom: dict[str, Any], vol_geom: dict[str, Any]) -> Projector:
    """Projector of an image, or of each slice of a volume, with the line integrals of ASTRA's ``linear``.

    Lengths are in pixels: the pixels and the detector bins must have size 1. A detector or a volume that is
    not centred becomes a centre of rotation and shifts of the views. ASTRA's three-dimensional data have the
    axes (rows, views, columns) and (rows, ny, nx)::

        sinograms = jax.vmap(from_astra(proj_geom, vol_geom))(volume)

    Args:
        proj_geom: Projection geometry "parallel", "parallel_vec", "parallel3d" or "parallel3d_vec".
        vol_geom: Volume geometry, with slices in three dimensions.

    Raises:
        ValueError: The beam is not parallel, a length is not 1, or the slices are no rows of the detector.
    """
    kind = proj_geom["type"]
    if kind not in SUPPORTED:
        raise ValueError(
            f"the projection geometry is {kind!r}; expected a parallel beam, one of {', '.join(SUPPORTED)}: "
            "rebin data of a fan or cone beam to parallel beams"
        )
    volumetric = kind.startswith("parallel3d")
    if volumetric != ("GridSliceCount" in vol_geom):
        raise ValueError(
            f"the projection geometry is {kind!r} and the volume geometry has "
            f"{'no slices' if volumetric else 'slices'}; expected both in two or both in three dimensions"
        )
    if volumetric:
        _check_rows(proj_geom, vol_geom)
    columns = proj_geom["DetectorColCount" if volumetric else "DetectorCount"]
    theta, axis = (
        _vector_views(proj_geom, columns) if kind.endswith("_vec") else _angle_views(proj_geom, columns)
    )
    # The rotation axis is the origin of ASTRA's coordinates; the middle of the image takes its place.
    ny, nx = vol_geom["GridRowCount"], vol_geom["GridColCount"]
    axis = axis + np.cos(theta) * _middle(vol_geom, "X", nx) + np.sin(theta) * _middle(vol_geom, "Y", ny)
    # The centre must be a bin of the detector; the rest of a large offset is a shift.
    center = float(np.clip(np.mean(axis), 0, columns - 1))
    shifts = np.where(np.abs(axis - center) < TOLERANCE, 0.0, axis - center)
    # Row 0 is at the bottom of ASTRA's volume: y changes its sign.
    return Projector(
        ParallelGeometry.create(-theta if volumetric else theta, columns, center, shifts), (ny, nx)
    )


def to_astra(projector: Projector, rows: int | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Projection geometry and volume geometry of a projector, for the functions of ASTRA.

    Args:
        projector: The projector.
        rows: Number of slices of a volume; None for a single image, in two dimensions.

    Returns:
        ``proj_geom`` of the type "parallel" ("parallel3d") for a centred axis, else of "parallel_vec"
        ("parallel3d_vec"), and ``vol_geom``.
    """
    import astra

    geometry = projector.geometry
    # Row 0 is at the bottom of ASTRA's volume.
    sign = 1.0 if rows is None else -1.0
    theta = sign * np.asarray(geometry.theta_rad, float)
    offset = (geometry.columns - 1) / 2 - np.asarray(geometry.center + geometry.shifts, float)
    ny, nx = projector.image_shape
    volume = astra.create_vol_geom(ny, nx) if rows is None else astra.create_vol_geom(ny, nx, rows)
    if not offset.any():
        if rows is None:
            return astra.create_proj_geom("parallel", 1.0, geometry.columns, theta), volume
        return astra.create_proj_geom("parallel3d", 1.0, 1.0, rows, geometry.columns, theta), volume
    cos, sin = np.cos(theta), np.sin(theta)
    if rows is None:
        vectors = np.stack([sin, -cos, offset * cos, offset * sin, cos, sin], axis=1)
        return astra.create_proj_geom("parallel_vec", geometry.columns, vectors), volume
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    vectors = np.stack(
        [sin, -cos, zero, offset * cos, offset * sin, zero, cos, sin, zero, zero, zero, one], axis=1
    )
    return astra.create_proj_geom("parallel3d_vec", rows, geometry.columns, vectors), volume


def _angle_views(proj_geom: dict[str, Any], columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Angle, and detector index of the origin, of each view of a geometry with angles, (views,) each."""
    theta = np.asarray(proj_geom["ProjectionAngles"], float)
    spacing = proj_geom["DetectorWidth" if proj_geom["type"] == "parallel" else "DetectorSpacingX"]
    _check_length("the spacing of the detector bins", spacing)
    return theta, np.full(theta.shape, (columns - 1) / 2)


def _vector_views(proj_geom: dict[str, Any], columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Angle, and detector index of the origin, of each view of a geometry with vectors, (views,) each.

    A point ``p`` is seen in bin ``k = (columns - 1)/2 + n.(p - d) / n.u``, with ``d`` the middle of the
    detector, ``u`` the step from bin to bin, and ``n`` the unit vector across the rays on the side of ``u``.
    """
    vectors = np.asarray(proj_geom["Vectors"], float)
    ray, detector, step = (vectors[:, k : k + 2] for k in ((0, 2, 4) if vectors.shape[1] == 6 else (0, 3, 6)))
    normal = np.stack([-ray[:, 1], ray[:, 0]], axis=1) / np.linalg.norm(ray, axis=1, keepdims=True)
    spacing = np.sum(normal * step, axis=1)
    normal *= np.sign(spacing)[:, None]
    _check_length("the spacing of the detector bins across the beam", np.abs(spacing))
    axis = (columns - 1) / 2 - np.sum(normal * detector, axis=1)
    return np.arctan2(normal[:, 1], normal[:, 0]), axis


def _check_rows(proj_geom: dict[str, Any], vol_geom: dict[str, Any]) -> None:
    """Checks that each slice of the volume is one row of the detector.

    Raises:
        ValueError: Rays or columns leave the plane of a slice, or slices and rows differ.
    """
    slices, rows = vol_geom["GridSliceCount"], proj_geom["DetectorRowCount"]
    if slices != rows:
        raise ValueError(
            f"the volume has {slices} slices and the detector {rows} rows; expected one row for each slice"
        )
    height = _middle(vol_geom, "Z", slices)
    if proj_geom["type"] == "parallel3d":
        out_of_plane, spacing = np.array([height]), proj_geom["DetectorSpacingY"]
    else:
        vectors = np.asarray(proj_geom["Vectors"], float)
        ray, detector, step, along = (vectors[:, k : k + 3] for k in (0, 3, 6, 9))
        slope = ray[:, 2] / np.linalg.norm(ray, axis=1)
        out_of_plane = np.stack([slope, detector[:, 2] - height, step[:, 2], *along[:, :2].T])
        spacing = along[:, 2]
    if np.abs(out_of_plane).max() > TOLERANCE:
        raise ValueError(
            "the rays or the detector leave the planes of the slices; expected a rotation about z, and the "
            "detector and the volume at one height: correct roll and tilt of the detector in the data"
        )
    _check_length("the spacing of the detector rows", spacing)


def _middle(vol_geom: dict[str, Any], axis: str, count: int) -> float:
    """Middle of the volume along an axis.

    Raises:
        ValueError: The size of the pixels along this axis is not 1.
    """
    # A geometry that was not made by astra.create_vol_geom may have no window.
    option = vol_geom.get("option", {})
    low = option.get(f"WindowMin{axis}", -count / 2)
    high = option.get(f"WindowMax{axis}", count / 2)
    _check_length(f"the size of the pixels along {axis.lower()}", (high - low) / count)
    return (low + high) / 2


def _check_length(name: str, value: float | np.ndarray) -> None:
    """Raises a ``ValueError`` unless a length is 1."""
    values = np.atleast_1d(value)
    wrong = values[np.abs(values - 1) > TOLERANCE]
    if wrong.size:
        raise ValueError(
            f"{name} is {wrong[0]:g}; expected 1: divide the lengths of both geometries, and the sinogram, "
            "by the size of a pixel"
        )
