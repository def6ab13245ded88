"""Simulation of scans with known truth."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from pfitre_jax.twin.instrument import Instrument, draw_geometry, measure
from pfitre_jax.twin.projection import OVERSAMPLING, bin_down
from pfitre_jax.twin.scenes.bank import Bank, bank_scene
from pfitre_jax.twin.scenes.mixture import BANKED, SCENES, VOLUMES


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A simulated scan.

    Attributes:
        projections: (views, rows, columns), float32, line integrals in bins, 0 where a bin is missing. Views
            without valid bins are left out.
        theta_rad: (views,), view angles without the errors of the instrument, radians.
        center: Detector index of the rotation axis, without the error of the instrument.
        truth: (rows, ny, nx), float32 in [0, 1].
    """

    projections: np.ndarray
    theta_rad: np.ndarray
    center: float
    truth: np.ndarray


def simulate_scan(
    scene: str,
    instrument: Instrument,
    *,
    bank: Bank | None = None,
    rows: int = 4,
    columns: int = 128,
    views: int = 51,
    seed: int = 0,
) -> SimulatedScan:
    """Simulates a scan of one kind of scene.

    Args:
        scene: One of :data:`SCENES` or, with a ``bank``, of :data:`BANKED`, drawn independently for each row;
            or one of :data:`VOLUMES`: the rows are then those of one volume with cubic voxels.
        instrument: Ranges of the wedge and the artifacts.
        bank: Bank for a scene that is cut from files.
        rows: Number of rows.
        columns: Number of detector columns.
        views: Number of views.
        seed: Seed of everything that is drawn.

    Raises:
        ValueError: If the scene is unknown, if it has no bank or needs none, if a size is too small, or if an
            artifact needs the rows of a volume and the rows are independent.
    """
    known = [*SCENES, *VOLUMES, *BANKED]
    if scene not in known:
        raise ValueError(f"unknown scene {scene!r}; expected one of {', '.join(known)}")
    if (scene in BANKED) != (bank is not None):
        raise ValueError(
            f"scene {scene!r} with{'out' if bank is None else ''} a bank; expected a bank for "
            f"{', '.join(BANKED)}, and none for other scenes"
        )
    for name, value, least in (("rows", rows, 1), ("columns", columns, 16), ("views", views, 2)):
        if value < least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    volume = scene in VOLUMES
    instrument.require_rows(volume)
    k_scene, k_geometry, k_measure = jax.random.split(jax.random.key(seed), 3)
    n = OVERSAMPLING * columns
    if volume:
        fine = VOLUMES[scene](k_scene, rows, n, 1 / columns)
    else:
        draw = SCENES[scene] if bank is None else functools.partial(bank_scene, bank)
        fine = jax.lax.map(lambda k: draw(k, n), jax.random.split(k_scene, rows))
    geometry, _ = draw_geometry(k_geometry, instrument, views, columns)
    scan = jax.jit(measure, static_argnums=(1, 4))(k_measure, instrument, geometry, fine, volume)
    truth = jax.vmap(bin_down)(fine)
    measured = np.any(np.asarray(scan.mask) > 0, axis=1)
    return SimulatedScan(
        np.moveaxis(np.asarray(scan.sinograms, np.float32), 0, 1)[measured],
        np.asarray(geometry.theta_rad, float)[measured],
        float(geometry.center),
        np.asarray(truth, np.float32),
    )
