"""Picture of a sample of the scoreboard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.real_scoreboard.config import Config
from experiments.real_scoreboard.samples import REFERENCE

#: Share of the pixels of the reference that are below the white level, and number of panels in a line.
WHITE_SHARE, PANELS = 0.998, 5


def picture(config: Config, name: str, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """One removed set of views: the image from all views, and every candidate with its measure.

    Args:
        config: Configuration of the experiment.
        name: Name of the sample.
        results: Measures by candidate, by removed views.
        images: Images by ``"cut/candidate/label"``.
    """
    cut = shown_cut(config, list(results))
    by_label = results.get(cut, {})
    panels: list[tuple[str, np.ndarray]] = []
    for label, cell in by_label.items():
        reference = images.get(f"{cut}/{label}/{REFERENCE}")
        if reference is not None and not panels:
            panels.append((REFERENCE, reference))
        image = images.get(f"{cut}/{label}/{label}")
        if image is not None:
            score = f"{cell['psnr']:.1f} dB" if "psnr" in cell else f"error {cell['error']:.3f}"
            panels.append((f"{label}\n{score}", image))
    columns, lines = min(PANELS, max(len(panels), 1)), -(-max(len(panels), 1) // PANELS)
    figure = Figure(figsize=(2.6 * columns, 2.8 * lines + 0.3), layout="constrained")
    figure.suptitle(f"{name}, without {cut}", fontsize=9)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    if not panels:
        return figure
    white = float(np.quantile(panels[0][1].astype(np.float32), WHITE_SHARE))
    part = central_extent(panels[0][1], 0.05 * white)
    for axis, (title, image) in zip(axes, panels, strict=False):
        axis.imshow(image[part, part].astype(np.float32), cmap="gray", vmin=0, vmax=white)
        axis.set_title(title, fontsize=8)
    return figure


def shown_cut(config: Config, cuts: list[str]) -> str:
    """The removed views that the picture shows: the configured wedge, else the first set."""
    wedge = f"{config.shown:g} degrees"
    return wedge if wedge in cuts or not cuts else cuts[0]


def central_extent(image: np.ndarray, threshold: float) -> slice:
    """Central part of a square image with 98% of the pixels above ``threshold``, and a margin of 1/8."""
    rows, columns = np.nonzero(image > threshold)
    if rows.size == 0:
        return slice(None)
    half = len(image) / 2
    radius = np.quantile(np.maximum(abs(rows + 0.5 - half), abs(columns + 0.5 - half)), 0.98)
    width = min(int(np.ceil(1.125 * radius)), len(image) // 2)
    return slice(len(image) // 2 - width, len(image) // 2 + width)
