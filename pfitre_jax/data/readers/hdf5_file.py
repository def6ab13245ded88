"""Safe access to the datasets of an HDF5 file: links, virtual datasets, filters and declared sizes."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pfitre_jax.data.raw import LazyStack
from pfitre_jax.data.readers.angle_units import find_unit
from pfitre_jax.data.readers.axis_order import DEFAULT_ORDER, axis_order
from pfitre_jax.data.readers.file_checks import check_declared_size, check_memory, format_names

#: First bytes of an HDF5 file, and of one that MATLAB (v7.3) writes, whose HDF5 data begin after 512 bytes.
MAGIC = (b"\x89HDF\r\n\x1a\n", b"MATLAB 7")
#: Suffixes of HDF5 files.
SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".emd", ".mat")

#: Largest number of paths of links to one group. A chain of groups, each with two links to the next, has
#: 2**depth of them.
_MOST_PATHS = 1000
#: Compression filters that detectors use and that files often do not name.
_FILTERS = {32001: "blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32026: "blosc2"}


class Hdf5File:
    """An open HDF5 file and its datasets.

    Attributes:
        path: Path of the file.
        file: The open file.
        datasets: Every dataset by its path without the leading "/", also those behind links.
    """

    def __init__(self, path: Path):
        """Opens the file.

        Raises:
            ValueError: If it is not HDF5, is damaged, or has links that cannot be followed.
        """
        if not h5py.is_hdf5(path):
            raise ValueError(
                f"{path} is not an HDF5 file, or is truncated; expected HDF5 by its name: copy it again"
            )
        self.path = path
        with damage_as_value_error(path):
            self.file = h5py.File(path, "r")
            try:
                self.datasets = dict(_datasets(self.file))
            except BaseException:
                self.file.close()
                raise

    def close(self) -> None:
        """Closes the file."""
        self.file.close()

    def values(self, name: str, selection: Any = ()) -> np.ndarray:
        """Values of a dataset, all or those that the index ``selection`` selects.

        Raises:
            ValueError: If they cannot be in the file, do not fit into memory, or need a filter that is not
                installed.
        """
        check_stored(self.path, self.datasets[name])
        return _read(self.path, self.datasets[name], selection)

    def unit(self, name: str) -> str | None:
        """Unit of a dataset as its attributes state it, or None if they state none."""
        return stated_unit(self.datasets[name])

    def texts(self, name: str) -> tuple[str, ...]:
        """Values of a dataset of text, such as the names of channels.

        Raises:
            ValueError: If they are not text.
        """
        values = self.values(name).ravel()
        if values.dtype.kind not in "SUO":
            raise ValueError(f"{self.path}: /{name} is of type {values.dtype}; expected text")
        return tuple(attribute_text(value) for value in values)

    def number(self, name: str) -> float | None:
        """The one finite number in a dataset, or None if there is no such dataset or no such number."""
        if name not in self.datasets or self.datasets[name].size != 1:
            return None
        value = self.values(name)
        finite = value.dtype.kind in "fiu" and np.isfinite(value).all()
        return float(value.ravel()[0]) if finite else None

    def check_shape(self, name: str, ndim: int, lengths: Mapping[int, int], expected: str) -> None:
        """Checks the shape of a dataset.

        Args:
            name: Path of the dataset.
            ndim: Number of its axes.
            lengths: Lengths of some axes.
            expected: Description of the shape, for the message.

        Raises:
            ValueError: If it has another shape.
        """
        shape = self.datasets[name].shape
        fits = shape is not None and len(shape) == ndim
        if not fits or any(shape[axis] != length for axis, length in lengths.items()):
            raise ValueError(f"{self.path}: /{name} has the shape {shape}; expected {expected}")

    def check_index(self, name: str, axis: int, index: int) -> None:
        """Checks that a dataset has an index along an axis.

        Raises:
            ValueError: If it is shorter.
        """
        shape = self.datasets[name].shape
        if index >= shape[axis]:
            raise ValueError(
                f"{self.path}: /{name} has the shape {shape}; expected an index below {shape[axis]} along "
                f"axis {axis} and not {index}"
            )

    def axis_order(self, name: str) -> tuple[int, ...] | None:
        """Axes of the views, rows and columns of a dataset, see :func:`axis_order`."""
        return axis_order(self.file, name, self.datasets)

    def stack(
        self,
        name: str,
        frames: np.ndarray | None = None,
        order: tuple[int, ...] = DEFAULT_ORDER,
        fixed: Mapping[int, int] | None = None,
    ) -> LazyStack:
        """The projections in a dataset, to be read later.

        Args:
            name: Path of the dataset.
            frames: (views,), ascending indices of the projections, or None for all frames.
            order: Axes of the views, rows and columns.
            fixed: Index along each further axis, such as that of the channels.
        """
        dataset, fixed = self.datasets[name], dict(fixed or {})
        check_stored(self.path, dataset)
        if dataset.ndim != 3 + len(fixed):
            # RawScan refuses the shape before anything is read.
            return LazyStack(dataset.shape, dataset.dtype, lambda rows: np.empty(0))
        views, rows, columns = (dataset.shape[axis] for axis in order)
        count = views if frames is None else len(frames)
        selection: slice | np.ndarray = slice(None)
        if frames is not None:
            neighbours = frames[-1] - frames[0] == len(frames) - 1
            selection = slice(int(frames[0]), int(frames[-1]) + 1) if neighbours else frames
        rows_per_read = 1 if dataset.chunks is None else dataset.chunks[order[1]]
        # The fixed axes are not in what is read.
        kept = tuple(int(np.argsort(np.argsort(order))[k]) for k in range(3))
        parts = {**fixed, order[0]: selection, order[2]: slice(None)}

        def read(rows: slice) -> np.ndarray:
            index = tuple((parts | {order[1]: rows})[axis] for axis in range(dataset_ndim))
            return read_part(self.path, name, index).transpose(kept)

        dataset_ndim = dataset.ndim
        return LazyStack((count, rows, columns), dataset.dtype, read, rows_per_read)


@contextlib.contextmanager
def damage_as_value_error(path: Path) -> Iterator[None]:
    """Turns the many kinds of errors that h5py raises for a damaged file into ``ValueError``."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (ValueError, MemoryError)) and not isinstance(error, UnicodeError):
            raise
        raise ValueError(_unreadable(path, error)) from error


@contextlib.contextmanager
def opened_hdf5(path: Path) -> Iterator[Hdf5File]:
    """An open HDF5 file; whatever h5py raises for a damaged one is a ``ValueError``."""
    with damage_as_value_error(path):
        hdf5 = Hdf5File(path)
        try:
            yield hdf5
        finally:
            hdf5.close()


def _unreadable(path: Path, error: Exception) -> str:
    """Message for a file that HDF5 cannot open or read."""
    if "unable to lock file" in str(error):
        return (
            f"{path} is locked by another program, which is writing it; expected a finished scan: wait until "
            "the acquisition has closed the file, or follow it with `pfitre watch`"
        )
    if "already open for write" in str(error):
        return (
            f"{path} is open for writing, or its writer was killed; expected a finished scan: wait until "
            "the acquisition has closed it or follow it with `pfitre watch`; if nothing writes it any more, "
            "make it readable with `h5clear -s FILE`"
        )
    return f"{path} is a damaged or truncated HDF5 file ({error}); copy it again"


def stated_unit(dataset: h5py.Dataset) -> str | None:
    """Unit of a dataset as its attribute ``units`` or ``unit`` states it, or None.

    Raises:
        ValueError: If there are several such attributes, and they differ.
    """
    texts = [attribute_text(dataset.attrs[key]) for key in dataset.attrs if key.lower() in ("units", "unit")]
    texts = [text for text in texts if text]
    if len({find_unit(text) or text for text in texts}) > 1:
        raise ValueError(
            f"{dataset.file.filename}: the attributes of {dataset.name} state the units "
            f"{' and '.join(map(repr, texts))}; expected one"
        )
    return texts[0] if texts else None


def attribute_text(attribute: Any) -> str:
    """Text of an attribute that is stored as bytes, as a string, or as an array of one of them."""
    words = np.asarray(attribute).ravel()
    word = words[0] if words.size else ""
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).strip()


def check_stored(path: Path, dataset: h5py.Dataset, above: tuple = ()) -> None:
    """Checks that the numbers of a dataset are in HDF5 files and can all be there.

    HDF5 itself returns the fill value for the part of a virtual dataset whose file is missing, reads raw
    bytes of any file that is named, and does not return from virtual datasets that refer to themselves.

    Args:
        path: The scan file, for messages.
        dataset: The dataset.
        above: Addresses of the virtual datasets that refer to it.

    Raises:
        ValueError: If they are not.
    """
    if dataset.shape is None:
        raise ValueError(f"{path}: {dataset.name} is empty; expected numbers")
    if dataset.external:
        raise ValueError(
            f"{path}: {dataset.name} refers to raw bytes outside the file "
            f"({format_names(name for name, *_ in dataset.external)}); expected numbers in HDF5: copy them "
            "into the file (h5repack)"
        )
    if not dataset.is_virtual:
        # HDF5 unpacks whole chunks, also where the dataset is smaller than a chunk.
        items = max(dataset.size, math.prod(dataset.chunks or ()))
        stored = Path(dataset.file.filename).stat().st_size
        check_declared_size(path, items * dataset.dtype.itemsize, dataset.name, stored)
        return
    info = h5py.h5o.get_info(dataset.id)
    above = (*above, (info.fileno, info.addr))
    for name, inside in sorted({(s.file_name, s.dset_name) for s in dataset.virtual_sources()}):
        if re.search(r"%\d*b", name + inside):  # numbered files; HDF5 reads those that exist
            continue
        sources = [Path(dataset.file.filename)] if name == "." else _linked_files(dataset.file, name)
        if not sources or not sources[0].is_file():
            raise ValueError(
                f"{path}: {dataset.name} is a virtual dataset whose file {format_names([name])} is missing; "
                "expected it where it was: copy it too, or copy everything into one file (h5repack)"
            )
        with h5py.File(sources[0], "r") as file:
            source = file.get(inside)
            if not isinstance(source, h5py.Dataset):
                raise ValueError(
                    f"{path}: {dataset.name} is a virtual dataset whose source {format_names([inside])} in "
                    f"{sources[0]} is missing; copy the files again"
                )
            info = h5py.h5o.get_info(source.id)
            if (info.fileno, info.addr) in above:
                raise ValueError(
                    f"{path}: {dataset.name} is a virtual dataset that refers to itself; expected numbers"
                )
            check_stored(path, source, above)


def _datasets(
    group: h5py.Group, prefix: str = "", above: tuple = (), visits: Counter | None = None
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset of a group with its path, also behind links.

    A group that links to a group above itself is not entered a second time.

    Raises:
        ValueError: If links lead to one group on so many paths that following them would not end.
    """
    info = h5py.h5o.get_info(group.id)
    address = info.fileno, info.addr
    if address in above:
        return
    visits = Counter() if visits is None else visits
    visits[address] += 1
    if visits[address] > _MOST_PATHS:
        raise ValueError(
            f"{group.file.filename}: links lead to one group on more than {_MOST_PATHS} paths; expected a "
            "scan: copy it to a file of its own (h5copy)"
        )
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink) and _may_block(group.file, link.filename):
            continue
        try:
            item = group[name]
        except (KeyError, OSError, RuntimeError):
            if isinstance(link, h5py.HardLink):  # the dataset is damaged
                raise
            continue  # the link's target is missing, is not HDF5, or is the link itself
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{prefix}{name}/", (*above, address), visits)
        elif isinstance(item, h5py.Dataset):
            yield prefix + name, item


def _linked_files(file: h5py.File, name: str) -> list[Path]:
    """Existing files that HDF5 may open for the file ``name`` that ``file`` links to."""
    folders = [Path(file.filename).parent, Path(file.filename).resolve().parent, Path()]
    for variable in ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX"):
        prefixes = os.environ.get(variable, "").replace("${ORIGIN}", str(folders[0])).split(os.pathsep)
        folders += [Path(prefix) for prefix in prefixes if prefix]
    paths = [folder / file for folder in folders for file in (name, Path(name).name)]
    return [path for path in paths if path.exists()]


def _may_block(file: h5py.File, name: str) -> bool:
    """Whether opening the linked file ``name`` may block for ever, because it is a pipe or a device."""
    return any(not (path.is_file() or path.is_dir()) for path in _linked_files(file, name))


def _read(path: Path, dataset: h5py.Dataset, selection) -> np.ndarray:
    """Values of a dataset that has been checked."""
    check_memory(path, _count_selected(dataset, selection) * dataset.dtype.itemsize, dataset.name)
    if dataset.is_virtual or _missing_filters(dataset):
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
    try:
        return dataset[selection]
    except OSError as error:
        missing = _missing_filters(dataset)
        # A virtual dataset has no filters itself; HDF5 then needs a plugin for those of its sources.
        if not missing and not (dataset.is_virtual and "plugin" in str(error)):
            raise
        raise ValueError(
            f"{path}: {dataset.name} is compressed with an HDF5 filter that is not installed "
            f"({', '.join(missing) or 'of a linked file'}): pip install hdf5plugin, or repack it where the "
            "filter is installed (h5repack -f NONE)"
        ) from error


def _count_selected(dataset: h5py.Dataset, selection) -> int:
    """Number of items in ``dataset[selection]`` for slices, an index, indices and masks."""
    shape = list(dataset.shape)
    for axis, index in enumerate(selection if isinstance(selection, tuple) else (selection,)):
        if isinstance(index, int):
            shape[axis] = 1
        elif isinstance(index, slice):
            shape[axis] = len(range(*index.indices(shape[axis])))
        else:
            shape[axis] = np.count_nonzero(index) if index.dtype == bool else len(index)
    return math.prod(shape)


def read_part(path: Path, name: str, selection: tuple) -> np.ndarray:
    """The selected values of a dataset that has been checked, of a file that is opened for it.

    Raises:
        ValueError: If the file is damaged, or the dataset is not in it any more.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file[name], selection)
    except (OSError, RuntimeError, TypeError, KeyError) as error:
        raise ValueError(_unreadable(path, error)) from error


def _missing_filters(dataset: h5py.Dataset) -> list[str]:
    """Numbers and names of the filters of a dataset that are not installed."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    return [
        f"{code} {_FILTERS.get(code) or name.decode(errors='replace')}".strip()
        for code, _, _, name in filters
        if not h5py.h5z.filter_avail(code)
    ]
