"""Pictures of a training run, and of an adaptation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.training.adaptation import Adapted


def curve(log: Path, path: Path) -> None:
    """Loss and validation PSNR against the step, from the run's ``log.jsonl``."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy([r["step"] for r in records], [r["loss"] for r in records], ".", ms=2, alpha=0.4)
    if len(records) > 20:
        width = max(len(records) // 20, 2)
        smooth = np.convolve([r["loss"] for r in records], np.ones(width) / width, mode="valid")
        left.semilogy([r["step"] for r in records][width - 1 :], smooth, lw=2)
    left.set(title="training loss", xlabel="step")
    checked = [r for r in records if "validation_psnr" in r]
    names = {
        "validation_start": "first reconstruction",
        "validation_one_shot": "network, once",
        "validation_network": "network, last iteration",
        "validation_psnr": "result (after the data step)",
    }
    for name, label in names.items():
        right.plot([r["step"] for r in checked], [r[name] for r in checked], ".-", label=label)
    right.set(title="validation", xlabel="step", ylabel="PSNR, dB")
    right.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def samples(images: dict[str, np.ndarray], path: Path, columns: int = 8) -> None:
    """Rows of images, one row per entry of ``images`` (slices, ny, nx), one gray scale."""
    shown = min(columns, next(iter(images.values())).shape[0])
    figure = Figure(figsize=(1.5 * shown, 1.6 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), shown, squeeze=False)
    for row, (name, stack) in zip(axes, images.items(), strict=True):
        for axis, image in zip(row, stack, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1.1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    figure.savefig(path, dpi=110)


def adaptation(adapted: Adapted) -> Figure:
    """Error of the prediction of the views left out, against the steps made."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    steps = np.arange(1, len(adapted.losses) + 1)
    axis.plot(steps, adapted.losses, ".", ms=4, color="0.7", label="views left out of a step")
    axis.plot(adapted.looks, adapted.errors, "o-", label="views that no step sees")
    axis.axvline(adapted.step, color="k", lw=0.8, ls=":", label=f"kept: step {adapted.step}")
    axis.set(xlabel="step", ylabel="norm(Ax - y) / norm(y)", ylim=(0, None))
    axis.legend(fontsize=8)
    return figure
