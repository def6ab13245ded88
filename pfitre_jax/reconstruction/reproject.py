"""Forward projection of a result at any angles, in the raw frame of the detector."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.roll import embed_rows, undo_roll
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.reconstruction.result import Result


def project_result(
    result: Result,
    theta_rad: Float[np.ndarray, " views"] | None = None,
    *,
    center: float | None = None,
    roll_deg: float | None = None,
    columns: int | None = None,
    motion: Motion | None = None,
) -> Float[np.ndarray, "views raw_rows columns"]:
    """Projections of a result as the detector would measure them, NaN where no reconstructed row projects.

    They are line integrals in the units of the scan's data, in the rows of its raw stack. Where the result
    was corrected for a roll, the projections are rotated back, so that they compare with the raw views. A raw
    bin between rows is NaN unless both were reconstructed.

    Args:
        result: A result, from :func:`pfitre_jax.reconstruct` or :func:`pfitre_jax.read_result`.
        theta_rad: (views,), radians; by default the measured angles.
        center: Detector index of the rotation axis; by default that of the motion or, without one, of the
            result, moved with the middle of the detector where ``columns`` differ.
        roll_deg: Roll of the axis against the detector, degrees; by default the roll that was corrected.
        columns: Number of detector columns; by default those of the scan.
        motion: Motion of the views, which includes a roll: the projections are those before alignment.

    Raises:
        ValueError: An argument is invalid.
    """
    theta_rad = result.theta_rad if theta_rad is None else theta_rad
    if motion is not None:
        motion.check_views(theta_rad)
        if roll_deg is not None:
            raise ValueError("both a roll and a motion, which includes a roll; expected one of them")
        roll_deg = motion.roll_deg
    roll_deg = result.roll_deg if roll_deg is None else float(roll_deg)
    if not np.isfinite(roll_deg) or abs(roll_deg) >= 90:
        raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
    columns = result.columns if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns is {columns}; expected the number of detector columns, at least 1")
    if center is None:
        measured = result.center if motion is None else motion.center
        center = measured + (columns - result.columns) / 2
    geometry = ParallelGeometry.create(theta_rad, columns, center)
    # The detector is wider while it is rotated, so that no bin of the requested one comes from outside.
    margin = int(np.ceil(result.raw_rows * np.abs(np.sin(np.deg2rad(roll_deg))))) + 1 if roll_deg else 0
    if motion is not None:
        margin += int(np.ceil(np.abs(motion.shifts).max()))
    wide = ParallelGeometry.create(theta_rad, columns + 2 * margin, float(geometry.center) + margin)
    A = Projector(wide, result.volume.shape[1:])
    volume = np.asarray(result.volume) * np.float32(1 if result.pixel_size is None else result.pixel_size)
    projections = np.moveaxis(np.asarray(jax.jit(jax.vmap(A))(volume)), 0, 1)
    if motion is None:
        raw, known = undo_roll(projections, roll_deg, row0=result.row0, raw_rows=result.raw_rows)
    else:
        raw, known = motion.undo(*embed_rows(projections, row0=result.row0, raw_rows=result.raw_rows))
    raw = np.where(known, raw, np.float32(np.nan))
    return raw[:, :, margin : margin + columns]
