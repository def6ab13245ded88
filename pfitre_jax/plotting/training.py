"""Figures of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.plotting.style import MEASURED, add_grid, new_figure, remove_ticks

#: Validation scores of a training log and their labels.
SCORES = {
    "validation_start": "initial estimate",
    "validation_one_shot": "network applied once",
    "validation_network": "network, last iteration",
    "validation_psnr": "result after the data step",
}


def draw_training_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Figure of the loss against the training step and of the validation PSNR against the hours of training.

    Args:
        records: Entries of ``log.jsonl`` with ``step``, ``hours`` and ``loss``; those after a validation also
            have the keys of :data:`SCORES`.
    """
    with new_figure(8, 3.4, dpi=110) as figure:
        left, right = figure.subplots(1, 2)
        steps, losses = ([record[name] for record in records] for name in ("step", "loss"))
        left.semilogy(steps, losses, ".", ms=2, alpha=0.4, color=MEASURED)
        if len(records) > 20:
            width = max(len(records) // 20, 2)
            mean = np.convolve(losses, np.ones(width) / width, mode="valid")
            left.semilogy(steps[width - 1 :], mean, lw=2, color=MEASURED, label=f"mean of {width} entries")
            left.legend(frameon=False, fontsize=7)
        left.set(title="training loss", xlabel="step")
        validated = [record for record in records if "validation_psnr" in record]
        # Logs of version 0.2 have no hours.
        time = "hours" if all("hours" in record for record in validated) else "step"
        for name, label in SCORES.items():
            right.plot([r[time] for r in validated], [r[name] for r in validated], ".-", label=label)
        right.set(title="validation", xlabel=time, ylabel="PSNR, dB")
        right.legend(frameon=False, fontsize=7)
        for axis in (left, right):
            add_grid(axis)
    return figure


def draw_samples(images: Mapping[str, np.ndarray], columns: int = 8) -> Figure:
    """Figure of validation slices: one row per method, grey scale 0 to 1.1.

    Args:
        images: Label -> (slices, ny, nx), image values of about [0, 1].
        columns: Slices that are drawn at most.
    """
    columns = min(columns, next(iter(images.values())).shape[0])
    with new_figure(1.5 * columns, 1.6 * len(images), dpi=110) as figure:
        axes = figure.subplots(len(images), columns, squeeze=False)
        for row, (name, stack) in zip(axes, images.items(), strict=True):
            for axis, image in zip(row, stack, strict=False):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1.1, interpolation="nearest")
                remove_ticks(axis)
            row[0].set_ylabel(name)
    return figure
