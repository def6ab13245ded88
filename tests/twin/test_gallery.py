"""The gallery shows every scene and every artifact."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from pfitre_jax.twin import gallery
from pfitre_jax.twin.artifacts.registry import ARTIFACTS
from pfitre_jax.twin.scenes.bank import Bank
from pfitre_jax.twin.scenes.mixture import BANKED, SCENES, VOLUMES

pytestmark = pytest.mark.slow


def panels(figure):
    """Title -> image of every panel whose title is unique."""
    axes = [a for a in figure.findobj(matplotlib.axes.Axes) if a.images]
    return {a.get_title("left"): np.asarray(a.images[0].get_array()) for a in axes}


def test_every_scene_is_drawn():
    banks = {name: Bank.create(np.ones((1, 16, 16))) for name in BANKED}
    shown = panels(gallery.draw_scenes(24, 0, banks))
    whole = {*SCENES, *BANKED}
    assert whole | {f"{name}, row 0" for name in VOLUMES} | {"cut along x", "cut along y"} <= set(shown)
    assert all(image.shape == (24, 24) for title, image in shown.items() if "cut" not in title)
    # Rows of one volume, stacked; the cuts are those of the last volume.
    np.testing.assert_array_equal(shown["cut along x"][0], shown[f"{list(VOLUMES)[-1]}, row 0"][12])


def test_every_artifact_is_drawn_and_visible():
    shown = panels(gallery.draw_artifacts(24, 10, 0))
    names = {title.split()[0]: image for title, image in shown.items()}
    assert set(ARTIFACTS) <= set(names)
    clean = names["before"]
    assert clean.shape == (10, 24)
    for name in ("noise", "gain", "shift", "stripes", "center_error"):
        assert np.linalg.norm(names[name] - clean) > 0.02 * np.linalg.norm(clean)
    view = names["view"]
    assert view.shape == (8, 24)
    for name in [a.name for a in ARTIFACTS.values() if a.needs_rows]:
        assert np.linalg.norm(names[name] - view) > 0.02 * np.linalg.norm(view)
