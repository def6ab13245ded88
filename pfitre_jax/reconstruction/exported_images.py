"""Images of a result that are written for other programs: slices, components and intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from jaxtyping import Float

from pfitre_jax.data.writers.registry import WRITERS
from pfitre_jax.data.writers.writer import Writer
from pfitre_jax.reconstruction.row_block import LazyVolume, read_blocks

#: Images of a result, in words, and the command that computes them.
_DESCRIPTIONS = {
    "slices": "slices",
    "measured": "measured component",
    "supplied": "supplied component",
    "lower": "lower limit of the intervals",
    "upper": "upper limit of the intervals",
}
_COMMANDS = dict.fromkeys(_DESCRIPTIONS, "pfitre recon") | dict.fromkeys(
    ("lower", "upper"), "pfitre recon --intervals"
)
#: Names of the images.
IMAGES = tuple(_DESCRIPTIONS)


def export_name(image: str, writer: Writer) -> str:
    """Name of the file of an image in a format."""
    return f"recon{'' if image == 'slices' else '_' + image}{writer.suffix}"


def export_names() -> list[str]:
    """Names of the files of all images in all formats."""
    return [export_name(image, writer) for image in IMAGES for writer in WRITERS.values()]


def read_image(
    image: str, stored: Mapping[str, np.ndarray | LazyVolume | None]
) -> Callable[[], Iterator[tuple[slice, Float[np.ndarray, "rows ny nx"]]]]:
    """Function that returns an iterator over blocks of rows of an image: their range and their values.

    Args:
        image: Name in :data:`IMAGES`.
        stored: Volumes (rows, ny, nx) by the names of all images but "supplied"; None for one that is not
            known.

    Raises:
        ValueError: The image is unknown, or the result does not have it.
    """
    if image not in IMAGES:
        raise ValueError(f"unknown image {image!r}; expected one of {', '.join(IMAGES)}")
    volume = stored["slices" if image == "supplied" else image]
    part = stored["measured"] if image == "supplied" else None
    if volume is None or (image == "supplied" and part is None):
        raise ValueError(
            f"the result has no {_DESCRIPTIONS[image]}; expected the recon.h5 of {_COMMANDS[image]}"
        )
    return lambda: read_blocks(volume) if part is None else _difference(volume, part)


def _difference(
    volume: np.ndarray | LazyVolume, part: np.ndarray | LazyVolume
) -> Iterator[tuple[slice, np.ndarray]]:
    for (rows, block), (_, subtracted) in zip(read_blocks(volume), read_blocks(part), strict=True):
        yield rows, block - subtracted
