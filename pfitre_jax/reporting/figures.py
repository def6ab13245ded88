"""Figures of a report as SVG images inside the page; each has a text for readers who do not see it."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Callable

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.alignment import draw_motion
from pfitre_jax.plotting.panels import choose_rows
from pfitre_jax.plotting.preview import draw_convergence, draw_residual_sinogram
from pfitre_jax.plotting.result_checks import (
    draw_held_out,
    draw_resolution,
    draw_row_quality,
    draw_view_chi_square,
    format_resolution,
)
from pfitre_jax.plotting.style import new_figure
from pfitre_jax.plotting.wedge_diagram import draw_wedge
from pfitre_jax.reporting.assessment import edge_direction
from pfitre_jax.reporting.finished_run import FinishedRun


@dataclasses.dataclass(frozen=True)
class EmbeddedFigure:
    """A figure inside a page.

    Attributes:
        uri: Data URI of the image.
        alt: Description in words.
    """

    uri: str
    alt: str


def embed_figure(figure: Figure, alt: str) -> EmbeddedFigure:
    """A figure as SVG, the same for the same figure.

    Args:
        figure: The figure.
        alt: Description in words.
    """
    file = io.BytesIO()
    # Without a fixed salt and date, the same report would be another file each time.
    with matplotlib.rc_context({"svg.hashsalt": "pfitre_jax"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return EmbeddedFigure("data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode(), alt)


def report_figures(run: FinishedRun) -> dict[str, EmbeddedFigure]:
    """The figures of a run by name; those without data are left out."""
    figures = {name: draw(run) for name, draw in _FIGURES.items()}
    return {name: figure for name, figure in figures.items() if figure is not None}


def _wedge(run: FinishedRun) -> EmbeddedFigure:
    wedge = run.result.wedge
    with new_figure(3.2, 3.3) as figure:
        draw_wedge(figure.add_subplot(projection="polar"), run.result.theta_rad, wedge)
    return embed_figure(
        figure,
        f"Directions of the {run.result.views} views; {wedge.width_deg:.0f} degrees around "
        f"{wedge.center_deg:.0f} degrees are missing, so that edges that run "
        f"{edge_direction(wedge.center_deg)} were not measured.",
    )


def _residual_sinogram(run: FinishedRun) -> EmbeddedFigure | None:
    residual, row = run.result.residual_sinogram, int(run.result.rows[run.result.middle])
    if not np.isfinite(residual).all():
        return None
    with new_figure(5.2, 3.3) as figure:
        draw_residual_sinogram(figure, residual, row)
    return embed_figure(figure, f"Residual sinogram of row {row}: noise without a pattern in a good result.")


def _convergence(run: FinishedRun) -> EmbeddedFigure | None:
    result = run.result
    if not np.isfinite(result.residual_history).any():
        return None
    shown = choose_rows(len(result.rows))
    with new_figure(5.2, 3.3) as figure:
        draw_convergence(
            figure.subplots(), {f"row {result.rows[k]}": result.residual_history[k] for k in shown}
        )
    rows = ", ".join(str(result.rows[k]) for k in shown)
    return embed_figure(figure, f"Relative residual after each iteration of rows {rows}.")


def _rows(run: FinishedRun) -> EmbeddedFigure | None:
    result = run.result
    if len(result.rows) < 2 or not np.isfinite(result.residual).any():
        return None
    with new_figure(5.2, 3.3) as figure:
        draw_row_quality(figure.subplots(), result.rows, result.residual, result.supplied)
    return embed_figure(
        figure, "Relative residual and supplied component of each row; the table at the end has the numbers."
    )


def _chi_square(run: FinishedRun) -> EmbeddedFigure | None:
    values = run.result.residual_statistics.get("chi_square_of_views")
    if not values:
        return None
    chi_square = np.array([np.nan if value is None else value for value in values], float)
    if not np.any(chi_square > 0):
        return None
    with new_figure(5.2, 3.3) as figure:
        draw_view_chi_square(figure.subplots(), chi_square)
    worst = int(np.nanargmax(chi_square))
    return embed_figure(
        figure,
        f"Chi-square of each view, 1 for noise alone: median {np.nanmedian(chi_square):.3g}, largest "
        f"{chi_square[worst]:.3g} in view {worst}.",
    )


def _held_out(run: FinishedRun) -> EmbeddedFigure | None:
    if run.result.validation is None:
        return None
    with new_figure(5.2, 3.3) as figure:
        draw_held_out(figure.subplots(), run.result.validation, run.result.method)
    return embed_figure(figure, "Prediction errors of held-out views; the table has the numbers.")


def _resolution(run: FinishedRun) -> EmbeddedFigure | None:
    if run.result.resolution is None:
        return None
    with new_figure(6.0, 3.7) as figure:
        draw_resolution(figure.subplots(), run.result.resolution)
    return embed_figure(
        figure,
        "Fourier ring correlation of two half sets of the views against the spatial frequency: "
        f"{format_resolution(run.result.resolution['rings'])} over all directions.",
    )


def _alignment(run: FinishedRun) -> EmbeddedFigure | None:
    motion = run.motion
    if motion is None:
        return None
    with new_figure(10.6, 3.0) as figure:
        shifts, gains = figure.subplots(1, 2, width_ratios=(1.4, 1))
        draw_motion(
            shifts,
            "shift of each view, bins",
            {"along columns": motion.shifts, "along rows": motion.row_shifts},
        )
        draw_motion(gains, "gain of each view", {"gain": motion.gain})
    return embed_figure(
        figure,
        f"Corrected motion of the views: shifts of {np.std(motion.shifts):.2f} bins rms along the columns "
        f"and {np.std(motion.row_shifts):.2f} along the rows; gains of {np.std(motion.gain):.1%} rms.",
    )


_FIGURES: dict[str, Callable[[FinishedRun], EmbeddedFigure | None]] = {
    "wedge": _wedge,
    "residual_sinogram": _residual_sinogram,
    "convergence": _convergence,
    "rows": _rows,
    "chi_square": _chi_square,
    "held_out": _held_out,
    "resolution": _resolution,
    "alignment": _alignment,
}
