"""Figure of the missing wedge: truth and three reconstructions with their spectra.

``python docs/figures/wedge.py`` reconstructs a slice of the shipped sample and writes the picture.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from PIL import Image

import pfitre_jax as pf
from pfitre_jax.twin import SAMPLE

ROW = 1
METHODS = {"FBP": "fbp", "FISTA-TV": "fista-tv", "PFITRE": "pfitre"}
MARK = "#ff6a3d"


def draw(images: dict[str, np.ndarray], wedge: pf.Wedge) -> Figure:
    """Draws images and the logarithms of their spectra with the missing wedge.

    Args:
        images: Name -> (ny, nx).
        wedge: The missing wedge.
    """
    figure = Figure(figsize=(2.9 * len(images), 6.1), layout="constrained", dpi=110)
    above, below = figure.subplots(2, len(images), squeeze=False)
    spectra = {name: np.log(np.abs(spectrum(image)) + 1e-6) for name, image in images.items()}
    low, high = np.quantile(next(iter(spectra.values())), (0.1, 0.999))
    for axis, name in zip(above, images, strict=True):
        axis.imshow(images[name], cmap="gray", vmin=0, vmax=1)
        axis.set_title(name, loc="left")
    for axis, name in zip(below, images, strict=True):
        axis.imshow(spectra[name], cmap="magma", vmin=low, vmax=high, extent=(-0.5, 0.5, -0.5, 0.5))
        for half in cones(wedge):
            axis.add_patch(Polygon(half, closed=False, fill=False, edgecolor=MARK, lw=1.3))
        axis.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5))
    for axis in (*above, *below):
        axis.set(xticks=[], yticks=[])
    return figure


def spectrum(image: np.ndarray) -> np.ndarray:
    """Fourier transform (ny, nx) of an image, with frequency 0 in the middle and y up."""
    return np.fft.fftshift(np.fft.fft2(image))


def cones(wedge: pf.Wedge) -> list[np.ndarray]:
    """Both halves of the missing wedge, as corners (3, 2) in cycles per pixel.

    A view at angle theta measures the frequencies on the line through 0 at angle theta (Fourier slice
    theorem).
    """
    sides = wedge.center_rad + np.array([-0.5, 0.5]) * wedge.width_rad
    ends = np.stack([np.cos(sides), np.sin(sides)], axis=1)
    return [np.stack([sign * ends[0], np.zeros(2), sign * ends[1]]) for sign in (1, -1)]


def main() -> None:
    scan = pf.load_scan(SAMPLE)
    results = {
        name: pf.reconstruct(scan, method, rows=slice(ROW, ROW + 1)) for name, method in METHODS.items()
    }
    images = {name: result.volume[0] for name, result in results.items()}
    with np.load(SAMPLE) as sample:
        images = {"truth": sample["truth"][ROW].astype(np.float32)} | images
    whole = io.BytesIO()
    draw(images, scan.wedge).savefig(whole)
    # 64 colours: spectra do not compress.
    Image.open(whole).convert("RGB").quantize(64).save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
