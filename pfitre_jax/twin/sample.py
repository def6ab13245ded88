"""Example scan of the package: a simulated limited-angle scan of circuits, with its truth.

``python -m pfitre_jax.twin.sample`` writes it to ``pfitre_jax/samples/chip.npz``.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.twin.artifacts.intensity import apply_gain
from pfitre_jax.twin.artifacts.noise import add_noise
from pfitre_jax.twin.artifacts.view_shifts import draw_shifts
from pfitre_jax.twin.projection import bin_down, project_finely
from pfitre_jax.twin.scenes.heldout import heldout

#: File of the example scan.
SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "chip.npz"
#: Seed of the held-out scene of each row.
SCENES = (519, 501, 502, 521, 508, 510, 536, 528)
#: Width of the scenes, pixels; narrower than the detector, so that every view contains the whole object.
FIELD = 128
#: Number of detector columns.
COLUMNS = 140
#: Column of the rotation axis.
CENTER = 68.2
#: Standard deviation of the noise over the largest value of a sinogram.
NOISE = 0.01
#: Standard deviation of the gains of the views.
GAIN = 0.01
#: Standard deviation of the shifts of the views, bins.
SHIFT = 0.15
#: Angles of the views, degrees: 48 views over 84 degrees, and three views that are opposite to the end of
#: this range, which determine the rotation axis. 96 degrees are missing.
THETA_DEG = np.concatenate([np.linspace(-66.0, 18.0, 48), [114.0, 116.0, 118.0]])


def make() -> dict[str, np.ndarray]:
    """Simulates the scan.

    Returns:
        The arrays of the file: ``projections`` (views, rows, columns), ``theta_deg`` (views,), ``center`` ()
        and ``truth`` (rows, ny, nx).
    """
    k_noise, k_gain, k_shift = jax.random.split(jax.random.key(20), 3)
    shifts = draw_shifts(k_shift, THETA_DEG.size, SHIFT)
    geometry = ParallelGeometry.create(np.deg2rad(THETA_DEG), COLUMNS, CENTER, np.asarray(shifts))
    fine = jnp.stack([heldout(seed, 2 * FIELD)[0] for seed in SCENES])
    air = COLUMNS - FIELD
    fine = jnp.pad(fine, ((0, 0), (air, air), (air, air)))
    sinograms = jax.vmap(functools.partial(project_finely, geometry))(fine)
    sinograms = jax.vmap(lambda y: apply_gain(k_gain, y, GAIN))(sinograms)
    keys = jax.random.split(k_noise, len(SCENES))
    sinograms = jax.vmap(add_noise, in_axes=(0, 0, None))(keys, sinograms, NOISE)
    truth = jax.vmap(bin_down)(fine)
    return {
        "projections": np.moveaxis(np.asarray(sinograms, np.float32), 0, 1),
        "theta_deg": THETA_DEG,
        "center": np.array(CENTER),
        "truth": np.asarray(truth, np.float16),
    }


if __name__ == "__main__":
    SAMPLE.parent.mkdir(exist_ok=True)
    arrays: dict[str, Any] = make()
    np.savez_compressed(SAMPLE, **arrays)
    print(f"{SAMPLE}: {SAMPLE.stat().st_size / 1e3:.0f} kB")
