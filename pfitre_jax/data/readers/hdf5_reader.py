"""Base class of the readers of HDF5 layouts."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles
from pfitre_jax.data.readers.hdf5_file import MAGIC, SUFFIXES, Hdf5File, damage_as_value_error
from pfitre_jax.data.readers.hdf5_values import find_angles
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile


@dataclasses.dataclass(frozen=True, eq=False)
class Hdf5Contents:
    """Contents of an HDF5 scan, in the terms that all layouts share.

    Attributes:
        projections: (views, rows, columns), to be read later.
        angles: Stored angles, and where they are or should be.
        flat: (n, rows, columns), flat frames, or None.
        dark: (n, rows, columns), dark frames, or None.
        order_stated: Whether the file, its format or the caller states which axes are views, rows and
            columns.
        center: Detector index of the rotation axis, or None.
        monitor: (views,), intensity of the beam in each view over that of the flat frames, or None.
        pixel_size: Width of a detector bin, micrometres, or None.
        kind: Kind of the data if the caller states none; None for counts with flat frames, else absorption.
        element: Name of the channel, or None if there is only one.
        dataset: Dataset of the projections, for the provenance; None if the format has only one.
        warnings: What was assumed or left out, one sentence each.
    """

    projections: LazyStack
    angles: StoredAngles
    flat: np.ndarray | None = None
    dark: np.ndarray | None = None
    order_stated: bool = False
    center: float | None = None
    monitor: np.ndarray | None = None
    pixel_size: float | None = None
    kind: str | None = None
    element: str | None = None
    dataset: str | None = None
    warnings: tuple[str, ...] = ()


class Hdf5Reader(Reader, Protocol):
    """Reader of an HDF5 layout. A layout implements :meth:`has_layout` and :meth:`contents`."""

    magic: tuple[bytes, ...] = MAGIC
    suffixes: tuple[str, ...] = SUFFIXES
    takes: frozenset[str] = frozenset({"theta_path"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file has the layout."""
        ...

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Contents of a file that has the layout.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        ...

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the channels of a file that has the layout; by default none, for a single channel."""
        return ()

    def matches(self, file: ScanFile) -> bool:
        """Whether the file has the layout.

        Raises:
            ValueError: If the file is not HDF5 or is damaged.
        """
        with damage_as_value_error(file.path):
            return self.has_layout(file.hdf5)

    def elements(self, file: ScanFile, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of the file.

        Raises:
            ValueError: If the file is damaged.
        """
        with damage_as_value_error(file.path):
            return self.channels(file.hdf5)

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If the file is damaged; is compressed with a filter that is not installed; states
                units that contradict the options; or has no angles (0 to 180 degrees is never assumed).
        """
        path = file.path
        with damage_as_value_error(path):
            contents = self.contents(file.hdf5, options)
            stored = contents.angles
            if options.theta_path is not None:
                stored = find_angles(file.hdf5, options.theta_path)
        read, origin = choose_angles(options, stored, path, self.name)
        provenance = {"file": str(path), "format": self.name, "angles": origin}
        stated = {"element": contents.element, "dataset": contents.dataset}
        provenance |= {name: text for name, text in stated.items() if text is not None}
        return RawScan.create(
            contents.projections,
            read.theta_rad,
            kind=options.kind or contents.kind,
            flat=contents.flat,
            dark=contents.dark,
            provenance=provenance,
            warnings=(*read.warnings, *contents.warnings),
            center=contents.center,
            monitor=contents.monitor,
            pixel_size=contents.pixel_size,
            order_stated=contents.order_stated or options.axis_order is not None,
        )
