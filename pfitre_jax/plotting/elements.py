"""Slices of several elements side by side, and an overlay of them in colours."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.panels import Panel, draw_slices
from pfitre_jax.plotting.style import gray_limits, new_figure, remove_ticks, split_figure

#: Colours of an overlay of two and of three elements, which add to white: name -> share of red, green, blue.
COLORS = {
    2: {"magenta": (1, 0, 1), "green": (0, 1, 0)},
    3: {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)},
}
#: Columns of the figure.
COLUMNS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class ElementPanel:
    """A slice of an element.

    Attributes:
        name: Name of the element.
        row: Row of the slice in the scan.
        image: (ny, nx), image values.
        measured: (ny, nx), the measured component.
        support: (ny, nx), the pixels that may differ from 0.
        units: Unit of the image values, "1/pixel" or "1/um".
    """

    name: str
    row: int
    image: np.ndarray
    measured: np.ndarray
    support: np.ndarray
    units: str


def draw_elements(panels: Sequence[ElementPanel], title: str) -> Figure:
    """Figure of the elements, each on a grey scale of its own, and of the first three in colours.

    Args:
        panels: The elements.
        title: Title of the figure.
    """
    overlaid = [panel for panel in panels[:3] if panel.image.shape == panels[0].image.shape]
    count = len(panels) + (len(overlaid) > 1)
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    with new_figure(3.3 * columns + 0.4, 3.2 * rows + 0.4, title) as figure:
        parts = split_figure(figure, height_ratios=(1,) * rows, width_ratios=(1,) * columns)
        for part, panel in zip(parts, panels, strict=False):
            supplied = panel.image - panel.measured
            text = f"{panel.name}   row {panel.row}"
            draw_slices(part, [Panel(text, panel.image, supplied, panel.support)], panel.units)
        if len(overlaid) > 1:
            axis = parts[len(panels)].subplots()
            axis.imshow(overlay([panel.image for panel in overlaid]), interpolation="nearest")
            pairs = zip(overlaid, COLORS[len(overlaid)], strict=True)
            axis.set_title(", ".join(f"{panel.name} {color}" for panel, color in pairs), loc="left")
            remove_ticks(axis)
    return figure


def overlay(images: Sequence[np.ndarray]) -> np.ndarray:
    """Colour image (ny, nx, 3) of two or three images (ny, nx), each scaled to its own grey limits."""
    colored = np.zeros((*images[0].shape, 3))
    for image, color in zip(images, COLORS[len(images)].values(), strict=True):
        low, high = gray_limits(image)
        colored += np.clip((image - low) / (high - low), 0, 1)[..., None] * color
    return colored
