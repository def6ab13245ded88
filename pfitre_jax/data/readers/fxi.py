"""NSLS-II FXI (18-ID): a scan of full-field X-ray microscopy in one HDF5 file.

Layout::

    /img_tomo                 (views, y, x)  counts
    /img_bkg, /img_bkg_avg    (n, y, x)      flat frames, their mean
    /img_dark, /img_dark_avg  (n, y, x)      dark frames, their mean
    /angle                    (views,)       degrees
    /Pixel Size               "20.0nm", or a number in nanometres
"""

from __future__ import annotations

import re

import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.hdf5_file import Hdf5File, attribute_text
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

_DATA, _THETA, _PIXEL = "img_tomo", "angle", "Pixel Size"


class FxiReader(Hdf5Reader):
    """Reads scans of NSLS-II FXI. Single frames are preferred to their mean."""

    name = "FXI"
    description = "HDF5 with /img_tomo and /angle"

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds ``/img_tomo``."""
        return _DATA in hdf5.datasets

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Projections, flat and dark frames, and angles.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        hdf5.check_shape(_DATA, 3, {}, "(views, y, x)")
        flat, dark = (_frames(hdf5, name) for name in ("img_bkg", "img_dark"))
        return Hdf5Contents(
            projections=hdf5.stack(_DATA),
            flat=flat,
            dark=dark,
            angles=StoredAngles.of_dataset(hdf5, _THETA),
            pixel_size=_pixel_size(hdf5),
            # Counts without flat and dark frames are refused, and not taken for line integrals.
            kind="counts",
            order_stated=True,
        )


def _frames(hdf5: Hdf5File, name: str) -> np.ndarray | None:
    names = [name for name in (name, f"{name}_avg") if name in hdf5.datasets]
    return hdf5.values(names[0]) if names else None


def _pixel_size(hdf5: Hdf5File) -> float | None:
    """Width of a pixel, micrometres; None if the file states none."""
    if _PIXEL not in hdf5.datasets or hdf5.datasets[_PIXEL].size != 1:
        return None
    match = re.fullmatch(r"\s*([\d.]+)\s*(nm)?\s*", attribute_text(hdf5.values(_PIXEL)))
    size = float(match[1]) / 1000 if match and match[1].count(".") <= 1 and match[1] != "." else 0.0
    return size or None
