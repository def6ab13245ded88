"""Pictures of what the digital twin can do: its scenes, and its imperfections before and after."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.gallery import draw_gallery
from pfitre_jax.plotting.panels import Panel
from pfitre_jax.training.config import load_config
from pfitre_jax.twin.instrument import ROWWISE, SWITCHED, Instrument, draw_geometry, measure
from pfitre_jax.twin.projection import OVERSAMPLING
from pfitre_jax.twin.scenes.bank import Bank, bank_scene
from pfitre_jax.twin.scenes.data_files import find, make_banks
from pfitre_jax.twin.scenes.layouts import gdstk_is_there
from pfitre_jax.twin.scenes.mixture import BANKED, SCENES, VOLUMES

#: Examples of each scene.
EXAMPLES = 6
#: Strengths that a picture shows, well above what a good scan has.
STRENGTHS = {
    "noise": 0.04,
    "counts": 60.0,
    "gain": 0.15,
    "equalised": 1.0,
    "shift": 1.5,
    "drift": 3.0,
    "outliers": 0.15,
    "sample_drift": 8.0,
    "center_error": 4.0,
    "angle_error": 2.0,
    "absorption": 2.0,
    "blur": 2.0,
    "stripes": 0.05,
    "dead": 0.03,
    "hot": 0.03,
    "zingers": 0.005,
    "truncation": 0.3,
    "roll": 4.0,
    "row_shift": 2.0,
    "line_drift": 2.0,
    "line_walk": 2.0,
}
QUIET = Instrument(
    missing_deg=(96.0, 96.0),
    core_deg=(96.0, 96.0),
    noise=(0.0, 0.0),
    gain=(0.0, 0.0),
    shift=(0.0, 0.0),
    probability=1.0,
)


def find_banks(seed: int) -> dict[str, Bank]:
    """Banks of the files that the configuration ``general`` trains on, as far as they are there."""
    found = {}
    for name in BANKED:
        if name == "layouts" and not gdstk_is_there():
            continue
        try:
            files = find(name, getattr(load_config("general").banks, name))
        except FileNotFoundError:
            continue
        found |= make_banks({name: files}, 24, seed=seed)
    return found


def draw_scenes(size: int, seed: int, banks: Mapping[str, Bank]) -> Figure:
    """A row of examples, ``size`` pixels wide, for each scene, and for each of the ``banks``; of a volume
    four of its rows and two cuts."""
    keys = jax.random.split(jax.random.key(seed), EXAMPLES)
    scenes = SCENES | {name: functools.partial(bank_scene, bank) for name, bank in banks.items()}
    rows = [
        [Panel(name if k == 0 else "", np.asarray(scene(key, size))) for k, key in enumerate(keys)]
        for name, scene in scenes.items()
    ]
    for name, scene in VOLUMES.items():
        volume = np.asarray(scene(keys[0], _height(size), size))
        shown = np.linspace(0, len(volume) - 1, EXAMPLES - 2).astype(int)
        panels = [Panel(f"{name}, row {row}" if row == 0 else f"row {row}", volume[row]) for row in shown]
        cuts = [Panel("cut along x", volume[:, size // 2]), Panel("cut along y", volume[:, :, size // 2])]
        rows.append(panels + cuts)
    return draw_gallery(rows, title="scenes of the digital twin")


def _height(columns: int) -> int:
    """Rows of the volumes that are shown."""
    return max(columns // 3, 4)


def draw_artifacts(columns: int, views: int, seed: int) -> Figure:
    """A circuit's sinogram as it should be, with each imperfection alone, and what that changes.

    Of imperfections of rows one view of a volume of circuits.
    """
    k_scene, k_geometry, k_scan = jax.random.split(jax.random.key(seed), 3)
    geometry, _ = draw_geometry(k_geometry, QUIET, views, columns)
    scan = jax.jit(measure, static_argnums=(1, 4))
    slices = SCENES["circuits"](k_scene, OVERSAMPLING * columns)[None]
    volume = VOLUMES["circuits3d"](k_scene, _height(columns), OVERSAMPLING * columns, 1 / columns)

    def sinogram(**strengths):
        return scanned(slices, False, strengths)[0]

    def view(**strengths):
        return scanned(volume, True, strengths)[:, views // 3]

    def scanned(fine, rows, strengths):
        given = {name: (value, value) for name, value in strengths.items()}
        drawn = scan(k_scan, dataclasses.replace(QUIET, **given), geometry, fine, rows)
        return np.asarray(drawn.sinograms)

    clean, clean_view = sinogram(), view()
    rows = []
    for name in ("noise", "counts", *SWITCHED, *ROWWISE):
        # A scan that lacks nothing in any view has nothing to equalise.
        base = {"truncation": STRENGTHS["truncation"]} if name == "equalised" else {}
        picture, before = (view, clean_view) if name in ROWWISE else (sinogram, clean)
        before = picture(**base) if base else before
        after = picture(**base, **{name: STRENGTHS[name]})
        what = "view before" if name in ROWWISE else "before"
        panels = ((what, before), (f"{name} {STRENGTHS[name]:g}", after), ("change", after - before))
        rows.append([Panel(title, image) for title, image in panels])
    paired = [left + right for left, right in zip(rows[::2], [*rows[1::2], []], strict=False)]
    return draw_gallery(
        paired,
        title="imperfections of the virtual instrument (sinograms: views down; single views: rows down)",
    )
