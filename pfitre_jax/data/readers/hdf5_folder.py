"""Base class of the readers of folders with one HDF5 file for each view."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import (
    MAGIC,
    SUFFIXES,
    Hdf5File,
    check_stored,
    opened_hdf5,
    read_part,
)
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import FolderReader
from pfitre_jax.data.readers.scan_folder import ScanFolder

#: Number of files that are opened to recognise the format of a folder.
OPENED_FILES = 8


@dataclasses.dataclass(frozen=True)
class MapPart:
    """A map (rows, columns) that is a part of a dataset.

    Attributes:
        dataset: Path of the dataset.
        fixed: Index along each axis that is not in the map. The others are rows and columns, in this order.
    """

    dataset: str
    fixed: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def shape(self, hdf5: Hdf5File) -> tuple[int, int]:
        """Numbers of rows and columns.

        Raises:
            ValueError: If the dataset is missing, cannot be in the file, or has another number of axes.
        """
        if self.dataset not in hdf5.datasets:
            raise ValueError(f"{hdf5.path} has no dataset /{self.dataset}; expected the map of a view")
        dataset = hdf5.datasets[self.dataset]
        check_stored(hdf5.path, dataset)
        if dataset.ndim != 2 + len(self.fixed):
            raise ValueError(
                f"{hdf5.path}: /{self.dataset} has the shape {dataset.shape}; expected "
                f"{2 + len(self.fixed)} axes"
            )
        for axis, index in self.fixed.items():
            if index >= dataset.shape[axis]:
                raise ValueError(
                    f"{hdf5.path}: /{self.dataset} has the shape {dataset.shape}; expected more than {index} "
                    f"along axis {axis}, one for each name"
                )
        rows, columns = (n for axis, n in enumerate(dataset.shape) if axis not in self.fixed)
        return rows, columns

    def read(self, path: Path, rows: slice) -> np.ndarray:
        """Rows of the map, (n, columns); its shape has been checked."""
        axes = iter([rows, slice(None)])
        count = 2 + len(self.fixed)
        index = tuple(self.fixed[axis] if axis in self.fixed else next(axes) for axis in range(count))
        return read_part(path, self.dataset, index)


@dataclasses.dataclass(frozen=True, eq=False)
class ViewFile:
    """One view, in the terms that all layouts share.

    Attributes:
        signal: The map of the view.
        angle: Stored angle of the view, and where it is or should be.
        intensity: Map of the intensity of the beam that the signal is divided by, or None.
        pixel_size: Width of a bin, micrometres, or None.
        warning: What was assumed or left out, or None; the first view's is reported.
    """

    signal: MapPart
    angle: StoredAngles
    intensity: MapPart | None = None
    pixel_size: float | None = None
    warning: str | None = None


class Hdf5FolderReader(FolderReader, Protocol):
    """Reader of a folder of HDF5 files. A layout implements the methods about one file.

    Files without the layout are ignored, with a warning. Views whose shape differs from that of most views
    are left out, with a warning: an interrupted map.
    """

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether a file has the layout."""
        ...

    def channels(self, hdf5: Hdf5File, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of a file that has the layout; by default none, for a single channel."""
        return ()

    def view(self, hdf5: Hdf5File, options: ReadOptions, channel: str | None) -> ViewFile:
        """The view in a file that has the layout.

        Args:
            hdf5: The file.
            options: What the caller states about the scan.
            channel: Name of the channel, or None if there is only one.

        Raises:
            ValueError: If it is damaged or incomplete.
        """
        ...

    def matches(self, folder: ScanFolder) -> bool:
        """Whether one of the first HDF5 files of the folder has the layout.

        Raises:
            ValueError: If a file is damaged.
        """
        return self._first(folder) is not None

    def elements(self, folder: ScanFolder, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of the first view."""
        first = self._first(folder)
        if first is None:
            return ()
        with opened_hdf5(first) as hdf5:
            return self.channels(hdf5, options)

    def read(self, folder: ScanFolder, options: ReadOptions) -> RawScan:
        """Contents of the folder, see :meth:`pfitre_jax.data.readers.reader.FolderReader.read`.

        Raises:
            ValueError: If a file is damaged or incomplete, less than half of the views have the same shape,
                they state different units, or there are no angles.
        """
        names = self.elements(folder, options)
        channel = names[choose_channel(names, options.element, folder.path)] if names else None
        views: list[_CheckedView] = []
        other = []
        for path in folder.select(MAGIC, SUFFIXES):
            with opened_hdf5(path) as hdf5:
                if not self.has_layout(hdf5):
                    other.append(path.name)
                    continue
                views.append(_CheckedView.of(hdf5, self.view(hdf5, options, channel)))
        warnings = []
        if other:
            warnings.append(
                f"{len(other)} files of the folder are no views in the format {self.name} and were ignored: "
                f"{format_names(other)}"
            )
        read, origin = choose_angles(options, _joined_angles(views, folder.path), folder.path, self.name)
        if len(read.theta_rad) != len(views):
            raise ValueError(
                f"{origin} holds {len(read.theta_rad)} angles for the {len(views)} views of {folder.path}; "
                "expected one for each view, in the natural order of the file names"
            )
        _check_intensities(views, folder.path)
        shape, kept, left_out = _common_shape(views, folder.path)
        if left_out:
            warnings.append(
                f"{len(left_out)} views have another shape than {shape} and were left out: "
                f"{format_names(left_out)}"
            )
        if views[0].view.warning is not None:
            warnings.append(views[0].view.warning)
        provenance = {"file": str(folder.path), "format": self.name, "angles": origin}
        return RawScan.create(
            _stack([views[k] for k in kept], shape),
            read.theta_rad[kept],
            kind=options.kind,
            provenance=provenance if channel is None else provenance | {"element": channel},
            warnings=(*read.warnings, *warnings),
            pixel_size=views[kept[0]].view.pixel_size,
            order_stated=True,
        )

    def _first(self, folder: ScanFolder) -> Path | None:
        """The first file that has the layout, or None; only some files are opened."""
        for path in folder.select(MAGIC, SUFFIXES)[:OPENED_FILES]:
            with opened_hdf5(path) as hdf5:
                if self.has_layout(hdf5):
                    return path
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class _CheckedView:
    """A view whose maps have been checked; its shape and type."""

    path: Path
    view: ViewFile
    shape: tuple[int, int]
    dtype: np.dtype

    @classmethod
    def of(cls, hdf5: Hdf5File, view: ViewFile) -> _CheckedView:
        """The view of an open file.

        Raises:
            ValueError: If signal and intensity differ in shape, or are not numbers.
        """
        shape, dtype = view.signal.shape(hdf5), hdf5.datasets[view.signal.dataset].dtype
        if dtype.kind not in "fiu":
            raise ValueError(f"{hdf5.path}: /{view.signal.dataset} is of type {dtype}; expected real numbers")
        if view.intensity is not None and view.intensity.shape(hdf5) != shape:
            raise ValueError(
                f"{hdf5.path}: /{view.intensity.dataset} has maps of {view.intensity.shape(hdf5)}; expected "
                f"{shape} as /{view.signal.dataset}"
            )
        return cls(hdf5.path, view, shape, dtype)


def _joined_angles(views: Sequence[_CheckedView], folder: Path) -> StoredAngles:
    """Angles of all views in one array.

    Raises:
        ValueError: If some views state no angle, or they state different units.
    """
    place = views[0].view.angle.place
    missing = [checked.path.name for checked in views if checked.view.angle.values is None]
    if len(missing) == len(views):
        return StoredAngles(place)
    if missing:
        raise ValueError(
            f"{folder}: {len(missing)} of {len(views)} files have no angle in {place} "
            f"({format_names(missing)}); expected one in each file, or a CSV file (angles='angles.csv')"
        )
    units = {checked.view.angle.unit for checked in views}
    if len(units) > 1:
        raise ValueError(
            f"{folder}: the files state different units in {place} ({', '.join(sorted(map(repr, units)))}); "
            "expected one unit"
        )
    values = []
    for checked in views:
        value = np.ravel(np.asarray(checked.view.angle.values))
        if value.size != 1:
            raise ValueError(
                f"{checked.path}: {place} holds {value.size} numbers; expected the angle of the view"
            )
        values.append(value)
    return StoredAngles(place, np.concatenate(values), units.pop())


def _check_intensities(views: Sequence[_CheckedView], folder: Path) -> None:
    """Raises ``ValueError`` if the beam was measured in some views and not in others."""
    missing = [checked.path.name for checked in views if checked.view.intensity is None]
    if 0 < len(missing) < len(views):
        raise ValueError(
            f"{folder}: {len(missing)} of {len(views)} files hold no counter of the beam "
            f"({format_names(missing)}); expected it in all files or in none, because the others are divided "
            "by it"
        )


def _common_shape(
    views: Sequence[_CheckedView], folder: Path
) -> tuple[tuple[int, int], list[int], list[str]]:
    """Shape of most views, the indices of those that have it, and the names of the others.

    Raises:
        ValueError: If less than half of the views have the same shape.
    """
    shapes = Counter(checked.shape for checked in views)
    [(shape, count)] = shapes.most_common(1)
    if 2 * count < len(views):
        raise ValueError(
            f"{folder}: the views have {len(shapes)} shapes, and less than half of them the most frequent "
            f"one, {shape}; expected maps of one shape: save them on one grid"
        )
    kept = [k for k, checked in enumerate(views) if checked.shape == shape]
    return shape, kept, [checked.path.name for checked in views if checked.shape != shape]


def _stack(views: Sequence[_CheckedView], shape: tuple[int, int]) -> LazyStack:
    """Maps of all views, to be read later."""
    full = (len(views), *shape)
    signals = [(checked.path, checked.view.signal) for checked in views]
    beams = [
        (checked.path, checked.view.intensity) for checked in views if checked.view.intensity is not None
    ]
    dtype = np.result_type(*{checked.dtype for checked in views})
    stack = LazyStack(full, dtype, lambda rows: np.stack([part.read(path, rows) for path, part in signals]))
    if not beams:
        return stack
    return stack.normalize(
        LazyStack(full, dtype, lambda rows: np.stack([part.read(path, rows) for path, part in beams]))
    )
