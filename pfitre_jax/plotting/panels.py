"""Labelled images side by side on one grey scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import FigureBase
from matplotlib.image import AxesImage

from pfitre_jax.plotting.style import FRAME, MISSING, gray_limits, remove_ticks

#: Rows that a figure of a result shows at most.
MAX_ROWS = 4
#: A supplied component of this share of the grey scale is shaded in full.
FULL_SHADE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """A labelled image.

    Attributes:
        title: Text above the image.
        image: (ny, nx), image values.
        supplied: (ny, nx), the supplied component of the image, which is shaded, or None.
        support: (ny, nx), the pixels that may differ from 0, whose outline is drawn, or None.
        own_scale: Label of a colour scale of its own, which starts at 0, in place of the common grey scale.
        limit: End of this colour scale; by default that of the image.
    """

    title: str
    image: np.ndarray
    supplied: np.ndarray | None = None
    support: np.ndarray | None = None
    own_scale: str | None = None
    limit: float | None = None


def choose_rows(rows: int) -> np.ndarray:
    """Returns the indices of at most :data:`MAX_ROWS` evenly spaced rows of ``rows``."""
    return np.unique(np.linspace(0, rows - 1, min(rows, MAX_ROWS)).round().astype(int))


def draw_slices(figure: FigureBase, panels: Sequence[Panel], units: str) -> None:
    """Draws images on one grey scale, or with a colour scale of their own, with scale bars.

    Args:
        figure: Figure or subfigure to draw into.
        panels: The images.
        units: Unit of the image values, "1/pixel" or "1/um".
    """
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    gray = [axis for axis, panel in zip(axes, panels, strict=True) if panel.own_scale is None]
    low, high = gray_limits(np.concatenate([p.image.ravel() for p in panels if p.own_scale is None]))
    unit = units.replace("um", "µm")
    for axis, panel in zip(axes, panels, strict=True):
        if panel.own_scale is None:
            drawn = axis.imshow(panel.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        else:
            limit = gray_limits(panel.image)[1] if panel.limit is None else panel.limit
            colored = axis.imshow(panel.image, cmap="inferno", vmin=0, vmax=limit, interpolation="nearest")
            _add_color_bar(figure, colored, [axis], f"{panel.own_scale}, {unit}")
        if panel.supplied is not None:
            alpha = 0.8 * np.clip(np.abs(panel.supplied) / (FULL_SHADE * (high - low)), 0, 1)
            shade = np.empty((*alpha.shape, 4))
            shade[..., :3], shade[..., 3] = to_rgb(MISSING), alpha
            axis.imshow(shade, interpolation="nearest")
        if panel.support is not None and not panel.support.all():
            # A frame of zeros closes the outline at the edge of the image.
            extent = np.arange(-1, panel.support.shape[1] + 1), np.arange(-1, panel.support.shape[0] + 1)
            axis.contour(
                *extent, np.pad(panel.support, 1).astype(float), [0.5], colors=MISSING, linewidths=0.8
            )
            axis.set(xlim=(-0.5, extent[0][-1] - 0.5), ylim=(extent[1][-1] - 0.5, -0.5))
        axis.set_title(panel.title, loc="left")
        remove_ticks(axis)
        _add_scale_bar(axis, panel.image.shape[1])
    _add_color_bar(figure, drawn, gray, f"image value, {unit}")


def _add_color_bar(figure: FigureBase, drawn: AxesImage, axes: Sequence[Axes], label: str) -> None:
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.86, pad=0.01, aspect=28)
    bar.set_label(label)
    bar.outline.set_edgecolor(FRAME)


def _add_scale_bar(axis: Axes, columns: int) -> None:
    """Draws a bar of about a fifth of the image width, labelled with its length in pixels."""
    length = columns / 5
    step = 10 ** np.floor(np.log10(max(length, 1)))
    length = max(float(step * max(n for n in (1, 2, 5) if n * step <= max(length, 1))), 1.0)
    x, y = 0.04 * columns, 0.96 * axis.get_ylim()[0]
    axis.plot([x, x + length], [y, y], color="white", lw=2.5, solid_capstyle="butt")
    axis.text(x, y - 0.02 * columns, f"{length:g} px", color="white", fontsize=8, va="bottom", ha="left")
