"""TIFF stacks for ImageJ and Fiji."""

from __future__ import annotations

from pathlib import Path

import tifffile

from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.writer import Writer
from pfitre_jax.runtime.file_mark import MARK

#: Largest size of slices in classic TIFF, whose offsets have 32 bits; the rest is for the tags. Above, the
#: file is BigTIFF.
BIGTIFF_BYTES = 2**32 - 2**25
#: Unit of the resolution tags: that of the description, as ImageJ writes it.
_NO_UNIT = 1


class TiffWriter(Writer):
    """Writes float32 pages, one for each slice, in the order of the rows.

    The description is that of ImageJ: number of slices, unit and distance of the slices. The resolution tags
    hold the pixels per micrometre. ImageJ shows the row of the raw stack as the label of a slice. ImageJ
    opens files above 4 GB, which are BigTIFF, with Bio-Formats (part of Fiji).
    """

    name = "tiff"
    suffix = ".tif"

    def write(self, path: Path, stack: ImageStack) -> None:
        """Writes the file, see :meth:`pfitre_jax.data.writers.writer.Writer.write`."""
        size, unit = (1.0, "pixel") if stack.pixel_size is None else (stack.pixel_size, "micron")
        rows = range(stack.row0, stack.row0 + stack.shape[0])
        # Written here, because tifffile has no mode for BigTIFF with the description of ImageJ.
        description = tifffile.imagej_description(
            stack.shape, axes="ZYX", hyperstack=False, unit=unit, spacing=size
        )
        labels = tifffile.imagej_metadata_tag({"Labels": [f"row {row}" for row in rows]}, "<")
        big = stack.nbytes > BIGTIFF_BYTES
        with tifffile.TiffWriter(path, bigtiff=big, byteorder="<", shaped=False) as file:
            file.write(
                stack.slices(),
                shape=stack.shape,
                dtype="float32",
                photometric="minisblack",
                description=description,
                metadata=None,
                software=MARK,
                resolution=(1 / size, 1 / size),
                resolutionunit=_NO_UNIT,
                extratags=labels,
            )
