"""Images of a result that are written for other programs: the slices and their components."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from pfitre_jax.data.writers.registry import WRITERS
from pfitre_jax.data.writers.writer import Writer
from pfitre_jax.reconstruction.row_block import LazyVolume

#: Names of the images.
IMAGES = ("slices", "measured", "supplied")


def export_name(image: str, writer: Writer) -> str:
    """Name of the file of an image in a format."""
    return f"recon{'' if image == 'slices' else '_' + image}{writer.suffix}"


def export_names() -> list[str]:
    """Names of the files of all images in all formats."""
    return [export_name(image, writer) for image in IMAGES for writer in WRITERS.values()]


def check_image(image: str, measured: np.ndarray | LazyVolume | None) -> np.ndarray | LazyVolume | None:
    """Checks that a result has an image, and returns its measured component.

    Raises:
        ValueError: The image is unknown, or needs the measured component, and there is none.
    """
    if image not in IMAGES:
        raise ValueError(f"unknown image {image!r}; expected one of {', '.join(IMAGES)}")
    if image != "slices" and measured is None:
        raise ValueError(f"the result has no {image} component; expected a result of pfitre recon")
    return measured


def read_image(
    image: str, volume: np.ndarray | LazyVolume, measured: np.ndarray | LazyVolume | None
) -> Iterator[tuple[slice, Float[np.ndarray, "rows ny nx"]]]:
    """Blocks of rows of an image of :data:`IMAGES`, and their ranges.

    Args:
        image: Name of the image.
        volume: (rows, ny, nx), the slices.
        measured: (rows, ny, nx), their measured component; None if it is not known.
    """
    if image == "slices" or measured is None:
        yield from _blocks(volume)
    elif image == "measured":
        yield from _blocks(measured)
    else:
        for (rows, block), (_, part) in zip(_blocks(volume), _blocks(measured), strict=True):
            yield rows, block - part


def _blocks(volume: np.ndarray | LazyVolume) -> Iterator[tuple[slice, np.ndarray]]:
    return volume.read() if isinstance(volume, LazyVolume) else iter([(slice(0, len(volume)), volume)])
