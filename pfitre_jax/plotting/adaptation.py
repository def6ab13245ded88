"""Figure of the adaptation of a prior to a scan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.style import (
    FRAME,
    MEASURED,
    MISSING,
    TEXT,
    add_grid,
    gray_limits,
    new_figure,
    remove_ticks,
)

#: Errors of a round, with their labels and line styles.
CURVES = {
    "interpolated": ("held-out views between others", MEASURED, "o-"),
    "extrapolated": ("held-out views at the ends", MISSING, "o-"),
    "residual": ("views in use", FRAME, "o:"),
    "equivariance": ("rotated images", TEXT, "o--"),
}


def draw_adaptation(record: Mapping[str, Any], before: np.ndarray, after: np.ndarray) -> Figure:
    """Figure of the errors by round, and of one row before and after with the difference.

    Args:
        record: Record of the adaptation, see :meth:`pfitre_jax.training.Adaptation.record`.
        before: (n, n), the row with the prior before the adaptation.
        after: (n, n), the row with the prior that is kept.
    """
    rounds, kept = record["rounds"], record["chosen"]
    low, high = gray_limits(np.stack([before, after]))
    span = (high - low) / 2
    with new_figure(14, 3.7) as figure:
        errors, *images = figure.subplots(1, 4, width_ratios=(1.3, 1, 1, 1))
        for name, (label, color, style) in CURVES.items():
            first = rounds[0][name] or 1.0
            errors.plot([r[name] / first for r in rounds], style, ms=4, color=color, label=label)
        errors.axvline(kept, color=TEXT, lw=0.8, ls=":")
        errors.set(xlabel="round", ylabel="error relative to round 0", xticks=range(len(rounds)))
        errors.set_title(f"round {kept} is kept" if kept else "the prior is unchanged", loc="left")
        add_grid(errors)
        errors.legend(frameon=False, fontsize=7)
        shown = (
            ("before", before, low, high),
            ("after", after, low, high),
            (f"difference, -{span:.2g} to {span:.2g}", after - before, -span, span),
        )
        for axis, (title, image, least, most) in zip(images, shown, strict=True):
            axis.imshow(image, cmap="gray", vmin=least, vmax=most, interpolation="nearest")
            axis.set_title(title, loc="left")
            remove_ticks(axis)
    return figure
