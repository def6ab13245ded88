"""Forward projection of a stored result at any angles, in the raw frame of the detector."""

from __future__ import annotations

import jax
import numpy as np

from pfitre_jax.data.motion import Motion
from pfitre_jax.data.results import StoredResult
from pfitre_jax.data.roll import embed_rows, undo_roll
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector


def project_result(
    stored: StoredResult,
    theta_rad=None,
    *,
    center: float | None = None,
    roll_deg: float | None = None,
    columns: int | None = None,
    motion: Motion | None = None,
) -> np.ndarray:
    """What a detector would measure: projections (views, raw_rows, columns), NaN where no row reaches.

    The values are line integrals in the unit of the scan's data, and the rows those of its raw stack: where
    the result was corrected for a roll, the projections are turned back by it, so that they compare with the
    raw views. A raw bin between rows of which one was not reconstructed is NaN.

    theta_rad: (views,), radians; default the measured angles
    center: detector index of the rotation axis; default that of the result, moved with the middle where
        ``columns`` differ
    roll_deg: roll of the axis against the detector, degrees; default what the result was corrected for
    columns: detector bins; default those of the scan
    motion: of the views, in the place of a roll: as a detector saw them that were aligned

    Raises ``ValueError`` as :meth:`ParallelGeometry.create` does.
    """
    theta_rad = stored.theta_rad if theta_rad is None else theta_rad
    if motion is not None:
        motion.check_views(theta_rad)
        if roll_deg is not None:
            raise ValueError("a roll beside an alignment, which has one of its own; leave the roll out")
        roll_deg = motion.roll_deg
    roll_deg = stored.roll_deg if roll_deg is None else float(roll_deg)
    if not np.isfinite(roll_deg) or abs(roll_deg) >= 90:
        raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
    columns = stored.columns if columns is None else columns
    if columns < 1:
        raise ValueError(f"columns is {columns}; expected the number of detector bins, at least 1")
    if center is None:
        center = stored.center + (columns - stored.columns) / 2
    asked = ParallelGeometry.create(theta_rad, columns, center)
    # A wider detector while it is turned, so that no bin of the one asked for comes from outside.
    margin = int(np.ceil(stored.raw_rows * np.abs(np.sin(np.deg2rad(roll_deg))))) + 1 if roll_deg else 0
    if motion is not None:
        margin += int(np.ceil(np.abs(motion.shifts).max()))
    wide = ParallelGeometry.create(theta_rad, columns + 2 * margin, float(asked.center) + margin)
    A = Projector(wide, stored.volume.shape[1:])
    volume = stored.volume * np.float32(1 if stored.pixel_size is None else stored.pixel_size)
    projections = np.moveaxis(np.asarray(jax.jit(jax.vmap(A))(volume)), 0, 1)
    place = dict(row0=stored.row0, raw_rows=stored.raw_rows)
    if motion is None:
        raw, known = undo_roll(projections, roll_deg, **place)
    else:
        raw, known = motion.undo(*embed_rows(projections, **place))
    raw = np.where(known, raw, np.float32(np.nan))
    return raw[:, :, margin : margin + columns]
