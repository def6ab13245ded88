"""Layers of napari for a result: tuples of data, properties and type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Number of slices from which the range of the gray values is determined.
_SAMPLED = 5
#: Colour maps of layers that are not gray.
_COLORMAPS = {"supplied": "PiYG"}


def image_layers(
    images: Mapping[str, Any], pixel_size: float | None, metadata: Mapping[str, Any], element: str = ""
) -> list[tuple[Any, dict[str, Any], str]]:
    """Layers of images of one shape; the first one is visible.

    Slices and their components have the same range of gray values, so that they can be compared. The range of
    the supplied component is symmetric.

    Args:
        images: Arrays (rows, ny, nx) by name; the first one sets the range of the gray values.
        pixel_size: Size of a pixel and distance of two slices, micrometres; None if unknown.
        metadata: Properties of the result, which each layer carries.
        element: Name of the element, with which the names of the layers start.
    """
    first = next(iter(images.values()))
    low, high = gray_range(first)
    layers = []
    for name, image in images.items():
        span = max(abs(low), abs(high))
        properties = {
            "name": f"{element} {name}".strip(),
            "scale": [1.0 if pixel_size is None else pixel_size] * 3,
            "units": ["pixel" if pixel_size is None else "um"] * 3,
            "axis_labels": ["row", "y", "x"],
            "contrast_limits": [-span, span] if name == "supplied" else [low, high],
            "colormap": _COLORMAPS.get(name, "gray"),
            "visible": image is first,
            "metadata": dict(metadata),
        }
        layers.append((image, properties, "image"))
    return layers


def gray_range(image: Any) -> tuple[float, float]:
    """Limits of nearly all values of some slices, evenly spread over an image (rows, ny, nx)."""
    rows = np.unique(np.linspace(0, image.shape[0] - 1, _SAMPLED).round().astype(int))
    values = np.stack([np.asarray(image[int(row)]) for row in rows])
    low, high = (float(limit) for limit in np.nanquantile(values, [0.001, 0.999]))
    return (low, high) if high > low else (low, low + 1)
