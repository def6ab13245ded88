"""Trial reconstructions of one row with several rotation centres or rolls, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.style import FRAME, MISSING, gray_limits, new_figure, remove_ticks


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """One trial reconstruction.

    Attributes:
        value: The centre (detector index) or roll (degrees) that was used.
        image: (ny, nx), the slice.
        residual: Relative residual of the slice.
    """

    value: float
    image: np.ndarray
    residual: float


def format_value(value: float) -> str:
    """Returns the shortest text that gives a trial's value to 1e-6, for titles and tables."""
    return f"{round(float(value), 6):.12g}"


def draw_trials(trials: Sequence[Trial], *, name: str, title: str, columns: int = 5) -> Figure:
    """Figure of trials on one grey scale, each labelled with its value; the smallest residual is framed.

    Args:
        trials: The trial reconstructions.
        name: What was varied, "center" or "roll".
        title: Title of the figure.
        columns: Images in a row of the figure.
    """
    columns = min(columns, len(trials))
    rows = -(-len(trials) // columns)
    low, high = gray_limits(np.concatenate([trial.image.ravel() for trial in trials]))
    best = min(range(len(trials)), key=lambda k: trials[k].residual)
    with new_figure(2.9 * columns, 3.15 * rows + 0.5, title) as figure:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for k, (axis, trial) in enumerate(zip(axes, trials, strict=False)):
            axis.imshow(trial.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            remove_ticks(axis)
            axis.set_title(f"{name} {format_value(trial.value)}", loc="left", fontweight="bold", fontsize=11)
            axis.set_title(f"residual {trial.residual:.4g}", loc="right", fontsize=8, color=FRAME)
            axis.spines[:].set(color=MISSING if k == best else FRAME, linewidth=2.5 if k == best else 0.6)
        for axis in axes[len(trials) :]:
            axis.set_axis_off()
    return figure
