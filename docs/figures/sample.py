"""First figure of the README: the shipped sample, two reconstructions, and how far each pixel may be off.

``python docs/figures/sample.py`` reconstructs the middle row of the sample and writes the picture. The second
line of images needs a prior with calibrated intervals; without one there is a single line, as before.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import pfitre_jax as pf
from pfitre_jax.data.sample_files import read_truth
from pfitre_jax.plotting.panels import Panel, draw_slices
from pfitre_jax.plotting.style import gray_limits, new_figure, split_figure
from pfitre_jax.twin import SAMPLE

ROW = 4
WIDTH, HEIGHT = 3.3, 3.45


def draw(truth: np.ndarray, classical: pf.Result, learned: pf.Result) -> Figure:
    """Draws truth and results of one row, and the interval of the learned one beside its true error.

    Args:
        truth: (n, n), the true slice, per pixel.
        classical: Result of total variation.
        learned: Result of ``pfitre``, with the limits of its intervals if there are any.
    """
    image = _same_field(learned.volume[0], truth)
    first = [
        Panel("the true slice", truth),
        Panel("FISTA-TV, a classical method", _same_field(classical.volume[0], truth)),
    ]
    first.append(Panel("pfitre", image))
    supplied = None if learned.measured is None else image - _same_field(learned.measured[0], truth)
    shaded = Panel("shaded: not measured, but supplied by the prior", image, supplied)
    if learned.upper is None:
        with new_figure(WIDTH * 4 + 0.6, HEIGHT) as figure:
            draw_slices(figure, [*first, shaded], learned.units)
        return figure
    half_width, error = _same_field(learned.upper[0], truth) - image, np.abs(image - truth)
    limit = gray_limits(np.stack([half_width, error]))[1]
    second = [
        shaded,
        Panel("stated: 9 of 10 pixels are off by less", half_width, own_scale="uncertainty", limit=limit),
        Panel("how far they are really off", error, own_scale="true error", limit=limit),
    ]
    with new_figure(WIDTH * 3 + 1.2, HEIGHT * 2) as figure:
        for part, panels in zip(split_figure(figure, height_ratios=(1, 1)), (first, second), strict=True):
            draw_slices(part, panels, learned.units)
    return figure


def _same_field(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The middle of an image, of the shape of the truth."""
    margin = (len(image) - len(truth)) // 2
    return image[margin : margin + len(truth), margin : margin + len(truth)]


def main() -> None:
    settings = {"prior": sys.argv[1]} if len(sys.argv) > 1 else {}
    scan, rows = pf.load_scan(SAMPLE), slice(ROW, ROW + 1)
    classical = pf.reconstruct(scan, "fista-tv", rows=rows)
    learned = pf.reconstruct(scan, "pfitre", rows=rows, **settings)
    whole = io.BytesIO()
    draw(read_truth(SAMPLE, ROW), classical, learned).savefig(whole)
    Image.open(whole).convert("RGB").quantize(256).save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
