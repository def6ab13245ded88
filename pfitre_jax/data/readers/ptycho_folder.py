"""Ptychography: a folder with one reconstruction of PtychoShelves or fold_slice (MATLAB v7.3) for each view.

Layout of a file, which is HDF5::

    /reconstruction/object or /object  (columns, rows)  complex, MATLAB stores columns first
    /reconstruction/p/dx_spec          pixel size, metres (optional)

The projection is minus the phase: an object transmits ``exp(-i k delta)``. Linear ramps are removed and the
phase is unwrapped, see :func:`pfitre_jax.data.readers.phase.unwrapped_phase`. Views of different size are cut
to the smallest one about their middle. The angles are in a CSV file, or where ``theta_path`` names them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.angles import StoredAngles, choose_angles
from pfitre_jax.data.readers.file_checks import check_memory, format_names
from pfitre_jax.data.readers.hdf5_file import MAGIC, SUFFIXES, Hdf5File, opened_hdf5
from pfitre_jax.data.readers.hdf5_folder import OPENED_FILES
from pfitre_jax.data.readers.hdf5_values import find_angles
from pfitre_jax.data.readers.phase import unwrapped_phase
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import FolderReader
from pfitre_jax.data.readers.scan_folder import ScanFolder

_OBJECTS = ("reconstruction/object", "object")
_PIXEL = "reconstruction/p/dx_spec"
#: Smallest number of pixels of a side of a view.
_LEAST_SIZE = 3


class PtychoFolderReader(FolderReader):
    """Reads folders of ptychographic reconstructions as phase. All views are held in memory."""

    name = "ptychography"
    description = "a MATLAB v7.3 file with /reconstruction/object for each view, with the angles as CSV"
    takes = frozenset({"theta_path"})

    def matches(self, folder: ScanFolder) -> bool:
        """Whether one of the first HDF5 files of the folder holds an object.

        Raises:
            ValueError: If it is damaged.
        """
        paths = folder.select(MAGIC, SUFFIXES)[:OPENED_FILES]
        return any(self._has_object(path) for path in paths)

    def read(self, folder: ScanFolder, options: ReadOptions) -> RawScan:
        """Contents of the folder, see :meth:`pfitre_jax.data.readers.reader.FolderReader.read`.

        Raises:
            ValueError: If a file is damaged, an object is not complex, or there are no angles.
        """
        paths, other, angles = [], [], []
        sizes, pixel_sizes = [], []
        for path in folder.select(MAGIC, SUFFIXES):
            with opened_hdf5(path) as hdf5:
                name = _object(hdf5)
                if name is None:
                    other.append(path.name)
                    continue
                paths.append(path)
                sizes.append(_size(hdf5, name))
                pixel_sizes.append(_pixel_size(hdf5))
                if options.theta_path is not None and options.angles is None:
                    angles.append(find_angles(hdf5, options.theta_path))
        shape = min(rows for rows, _ in sizes), min(columns for _, columns in sizes)
        check_memory(folder.path, 4 * len(paths) * shape[0] * shape[1], "phases")
        stored = _joined(angles, folder.path)
        read, origin = choose_angles(options, stored, folder.path, self.name)
        stack = np.empty((len(paths), *shape), np.float32)
        for view, path in enumerate(paths):
            with opened_hdf5(path) as hdf5:
                stack[view] = _projection(hdf5, shape)
        warnings = []
        if len(set(sizes)) > 1:
            warnings.append(f"views of different size were cut to {shape[0]} x {shape[1]} about their middle")
        if other:
            warnings.append(f"{len(other)} files hold no object and were ignored: {format_names(other)}")
        known = [size for size in pixel_sizes if size is not None]
        if known and (len(known) < len(paths) or np.ptp(known) > 1e-3 * known[0]):
            warnings.append("the views have different pixel sizes; that of the first one is used")
        return RawScan.create(
            stack,
            read.theta_rad,
            kind=options.kind,
            provenance={"file": str(folder.path), "format": self.name, "angles": origin},
            warnings=(*read.warnings, *warnings),
            pixel_size=known[0] if known else None,
            order_stated=True,
        )

    def _has_object(self, path: Path) -> bool:
        with opened_hdf5(path) as hdf5:
            return _object(hdf5) is not None


def _object(hdf5: Hdf5File) -> str | None:
    return next((name for name in _OBJECTS if name in hdf5.datasets), None)


def _size(hdf5: Hdf5File, name: str) -> tuple[int, int]:
    """Numbers of rows and columns of an object.

    Raises:
        ValueError: If it is no complex image.
    """
    dataset = hdf5.datasets[name]
    fields = dataset.dtype.names
    is_complex = dataset.dtype.kind == "c" or fields in (("real", "imag"), ("r", "i"))
    shape = tuple(size for size in dataset.shape or () if size > 1)
    if not is_complex or len(shape) != 2 or min(shape) < _LEAST_SIZE:
        raise ValueError(
            f"{hdf5.path}: /{name} is of type {dataset.dtype} and shape {dataset.shape}; expected a complex "
            "object (columns, rows) of one slice"
        )
    return shape[1], shape[0]


def _projection(hdf5: Hdf5File, shape: tuple[int, int]) -> np.ndarray:
    """Minus the phase of the middle of the object, (rows, columns)."""
    name = _object(hdf5) or _OBJECTS[0]
    values = hdf5.values(name)
    if values.dtype.names:
        real, imaginary = (values[field] for field in values.dtype.names)
        values = real + 1j * imaginary
    image = np.squeeze(values).T
    if not np.isfinite(image).all():
        raise ValueError(f"{hdf5.path}: /{name} holds values that are NaN or infinite; expected an object")
    first = [(size - wanted) // 2 for size, wanted in zip(image.shape, shape, strict=True)]
    image = image[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    return -unwrapped_phase(image)


def _pixel_size(hdf5: Hdf5File) -> float | None:
    """Pixel size in micrometres, or None."""
    if _PIXEL not in hdf5.datasets:
        return None
    values = np.ravel(hdf5.values(_PIXEL))
    known = values.dtype.kind in "fiu" and values.size and np.isfinite(values[0]) and values[0] > 0
    return float(values[0]) * 1e6 if known else None


def _joined(angles: list[StoredAngles], folder: Path) -> StoredAngles:
    """Angles of all views in one array."""
    if not angles:
        return StoredAngles("the files (theta_path='/PATH' names them)")
    values = [np.ravel(np.asarray(angle.values)) for angle in angles]
    if {value.size for value in values} != {1} or len({angle.unit for angle in angles}) > 1:
        raise ValueError(
            f"{folder}: {angles[0].place} holds more than one number, or different units; expected the angle "
            "of the view in each file"
        )
    return StoredAngles(angles[0].place, np.concatenate(values), angles[0].unit)
