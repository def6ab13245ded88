"""Figures of the digital twin: examples of its scenes, and each artifact before and after."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.gallery import draw_gallery
from pfitre_jax.plotting.panels import Panel
from pfitre_jax.twin.artifacts.artifact import Artifact
from pfitre_jax.twin.artifacts.registry import ARTIFACTS
from pfitre_jax.twin.instrument import draw_geometry, measure, quiet_instrument
from pfitre_jax.twin.projection import OVERSAMPLING
from pfitre_jax.twin.scenes.bank import Bank, bank_scene
from pfitre_jax.twin.scenes.mixture import SCENES, VOLUMES

#: Examples of each scene.
EXAMPLES = 6
#: Width of the missing wedge of the scans that are shown, degrees.
MISSING_DEG = (96.0, 96.0)


def draw_scenes(size: int, seed: int, banks: Mapping[str, Bank]) -> Figure:
    """Draws examples of every scene; of a volume four of its rows and two cuts.

    Args:
        size: Width of an example, pixels.
        seed: Seed of the scenes.
        banks: Banks of the families whose scenes come from files; a row of examples for each.
    """
    keys = jax.random.split(jax.random.key(seed), EXAMPLES)
    scenes = SCENES | {name: functools.partial(bank_scene, bank) for name, bank in banks.items()}
    rows = [
        [Panel(name if k == 0 else "", np.asarray(scene(key, size))) for k, key in enumerate(keys)]
        for name, scene in scenes.items()
    ]
    for name, scene in VOLUMES.items():
        volume = np.asarray(scene(keys[0], _height(size), size, 1 / size))
        shown = np.linspace(0, len(volume) - 1, EXAMPLES - 2).astype(int)
        panels = [Panel(f"{name}, row {row}" if row == 0 else f"row {row}", volume[row]) for row in shown]
        cuts = [Panel("cut along x", volume[:, size // 2]), Panel("cut along y", volume[:, :, size // 2])]
        rows.append(panels + cuts)
    return draw_gallery(rows, title="scenes of the digital twin")


def _height(columns: int) -> int:
    """Returns the number of rows of the volumes that are shown."""
    return max(columns // 3, 4)


def draw_artifacts(columns: int, views: int, seed: int) -> Figure:
    """Draws each artifact alone: a circuit's sinogram before and after, and the difference.

    An artifact that needs the rows of a volume is shown in one view of a volume of circuits.

    Args:
        columns: Number of detector columns.
        views: Number of views.
        seed: Seed of the scene and of the scan.
    """
    k_scene, k_geometry, k_scan = jax.random.split(jax.random.key(seed), 3)
    wedge = {"missing_deg": MISSING_DEG, "core_deg": MISSING_DEG}
    geometry, _ = draw_geometry(k_geometry, quiet_instrument(**wedge), views, columns)
    scan = jax.jit(measure, static_argnums=(1, 4))
    slices = SCENES["circuits"](k_scene, OVERSAMPLING * columns)[None]
    volume = VOLUMES["circuits3d"](k_scene, _height(columns), OVERSAMPLING * columns, 1 / columns)

    @functools.cache
    def picture(needs_rows: bool, *artifacts: Artifact) -> np.ndarray:
        ranges = {artifact.name: (artifact.gallery, artifact.gallery) for artifact in artifacts}
        scene = volume if needs_rows else slices
        scanned = scan(k_scan, quiet_instrument(**wedge, **ranges), geometry, scene, needs_rows)
        sinograms = np.asarray(scanned.sinograms)
        return sinograms[:, views // 3] if needs_rows else sinograms[0]

    rows = []
    for name, artifact in ARTIFACTS.items():
        others = [ARTIFACTS[artifact.gallery_with]] if artifact.gallery_with else []
        before = picture(artifact.needs_rows, *others)
        after = picture(artifact.needs_rows, *others, artifact)
        title = "view before" if artifact.needs_rows else "before"
        panels = ((title, before), (f"{name} {artifact.gallery:g}", after), ("change", after - before))
        rows.append([Panel(label, image) for label, image in panels])
    paired = [left + right for left, right in zip(rows[::2], [*rows[1::2], []], strict=False)]
    return draw_gallery(
        paired,
        title="artifacts of the virtual instrument (sinograms: views down; single views: rows down)",
    )
