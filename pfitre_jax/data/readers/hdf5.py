"""HDF5 scans: DXchange (APS) and NXtomo (NeXus).

DXchange  ``/exchange/data``, ``data_white``, ``data_dark``, ``theta`` (degrees)
NXtomo    an entry with ``image_key`` (0 projection, 1 flat, 2 dark, others left out), the frames ``data``
          beside it, and ``rotation_angle`` for each frame or each projection, with its ``units``;
          of several entries the one that the root's attribute ``default`` names
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np

from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.readers.angles import agreed_unit, check_numbers, read_angles, to_radians
from pfitre_jax.data.readers.file_checks import check_declared, check_memory, listed

_PROJECTION, _FLAT, _DARK = 0, 1, 2

#: Paths on which links may lead to one group: a chain of groups, each with two links to the next, has
#: 2**depth of them.
_PATHS = 1000
#: Compression filters that detectors write and that files often leave unnamed.
_FILTERS = {32001: "blosc", 32004: "LZ4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd", 32026: "blosc2"}


def read_hdf5(path, angles=None, unit: str | None = None, kind: str | None = None) -> RawScan:
    """DXchange or NXtomo file ``path``.

    angles: CSV file whose angles replace those of the file
    unit: "deg" or "rad"; default what the file says, else degrees
    kind: default "counts" where there are flats, else "absorption"

    Raises ``FileNotFoundError``; ``ValueError`` for a file that is not HDF5 or damaged, that is compressed
    with a filter that is not installed, that holds neither layout or several tomographies, whose ``units``
    contradict ``unit``, or that has no angles (0 to 180 degrees is never assumed).
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected an HDF5 file (DXchange or NXtomo)")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not an HDF5 file; expected DXchange or NXtomo, a TIFF stack, or .npz")
    try:
        with h5py.File(path, "r") as file:
            datasets = dict(_datasets(file))
            if "exchange/data" in datasets:
                read = _dxchange(path, file, datasets)
            else:
                read = _nxtomo(path, file, datasets)
    except Exception as error:  # h5py raises many kinds for a damaged file
        if isinstance(error, (ValueError, MemoryError)) and not isinstance(error, UnicodeError):
            raise
        raise ValueError(f"{path} is a damaged or truncated HDF5 file ({error}); copy it again") from error
    projections, flat, dark, theta, stored_unit, layout, where = read
    if angles is not None:
        theta_rad = read_angles(angles, unit)
        where = str(angles)
    elif theta is None:
        raise ValueError(
            f"{path} ({layout}) holds no angles, looked for {where}; "
            "give them as a CSV file, one for each view (--angles CSV)"
        )
    else:
        theta = check_numbers(theta, f"{path}: {where}")
        theta_rad = to_radians(theta, agreed_unit(unit, stored_unit, f"{path}: {where}") or "deg")
    provenance = {"file": str(path), "format": layout, "angles": where}
    return RawScan.create(projections, theta_rad, kind=kind, flat=flat, dark=dark, provenance=provenance)


def write_dxchange(
    path, projections, theta_rad, *, truth=None, attributes: Mapping[str, object] = {}
) -> None:
    """Write line integrals as DXchange: ``/exchange/data`` (views, rows, columns), ``/exchange/theta``, deg.

    truth: (rows, ny, nx), of a simulated scan, as ``/truth/data``; attributes: of the data
    """
    with h5py.File(path, "w") as file:
        data = file.create_dataset("exchange/data", data=np.asarray(projections, np.float32))
        data.attrs.update({"axes": "theta:y:x", **attributes})
        theta = file.create_dataset("exchange/theta", data=np.rad2deg(np.asarray(theta_rad, float)))
        theta.attrs["units"] = "deg"
        if truth is not None:
            file.create_dataset("truth/data", data=np.asarray(truth, np.float32)).attrs["axes"] = "rows:y:x"


def _datasets(
    group: h5py.Group, prefix: str = "", above: tuple = (), visits: Counter | None = None
) -> Iterator[tuple[str, h5py.Dataset]]:
    """Every dataset by its path, through links too; a group that links to one above itself is not entered.

    ``ValueError`` where links lead to one group on so many paths that following them would not end.
    """
    info = h5py.h5o.get_info(group.id)
    address = info.fileno, info.addr
    if address in above:
        return
    visits = Counter() if visits is None else visits
    visits[address] += 1
    if visits[address] > _PATHS:
        raise ValueError(
            f"{group.file.filename}: links lead to one group on more than {_PATHS} paths; expected a scan: "
            "copy it to a file of its own (h5copy)"
        )
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink) and _waits(group.file, link.filename):
            continue
        try:
            item = group[name]
        except (KeyError, OSError, RuntimeError):
            if isinstance(link, h5py.HardLink):  # the dataset is damaged
                raise
            continue  # a link whose target is missing, is no HDF5 or is the link itself
        if isinstance(item, h5py.Group):
            yield from _datasets(item, f"{prefix}{name}/", (*above, address), visits)
        elif isinstance(item, h5py.Dataset):
            yield prefix + name, item


def _linked(file: h5py.File, name: str) -> list[Path]:
    """Where HDF5 may look for the file ``name`` that ``file`` links to, if it is there."""
    folders = [Path(file.filename).parent, Path(file.filename).resolve().parent, Path()]
    for variable in ("HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX"):
        prefixes = os.environ.get(variable, "").replace("${ORIGIN}", str(folders[0])).split(os.pathsep)
        folders += [Path(prefix) for prefix in prefixes if prefix]
    paths = [folder / file for folder in folders for file in (name, Path(name).name)]
    return [path for path in paths if path.exists()]


def _waits(file: h5py.File, name: str) -> bool:
    """Whether opening ``name`` may wait for ever: a pipe or a device."""
    return any(not (path.is_file() or path.is_dir()) for path in _linked(file, name))


def _check_stored(path: Path, dataset: h5py.Dataset, above: tuple = ()) -> None:
    """``ValueError`` for a dataset whose numbers are not in HDF5 files, or cannot all be there.

    HDF5 itself gives the fill value for the part of a virtual dataset whose file is missing, takes the raw
    bytes of any file that is named, and does not return from virtual datasets that lead to themselves.
    """
    if dataset.shape is None:
        raise ValueError(f"{path}: {dataset.name} is empty; expected numbers")
    if dataset.external:
        raise ValueError(
            f"{path}: {dataset.name} takes raw bytes of files outside it "
            f"({listed(name for name, *_ in dataset.external)}); expected numbers in HDF5: copy them into "
            "the file (h5repack)"
        )
    if not dataset.is_virtual:
        # A chunk is unpacked whole, however little of it is in the dataset.
        items = max(dataset.size, math.prod(dataset.chunks or ()))
        stored = Path(dataset.file.filename).stat().st_size
        check_declared(path, items * dataset.dtype.itemsize, dataset.name, stored)
        return
    info = h5py.h5o.get_info(dataset.id)
    above = (*above, (info.fileno, info.addr))
    for name, inside in sorted({(s.file_name, s.dset_name) for s in dataset.virtual_sources()}):
        if re.search(r"%\d*b", name + inside):  # numbered files, of which HDF5 takes those that are there
            continue
        there = [Path(dataset.file.filename)] if name == "." else _linked(dataset.file, name)
        if not there or not there[0].is_file():
            raise ValueError(
                f"{path}: {dataset.name} is put together of files of which {listed([name])} is missing; "
                "expected it where it was: copy it too, or copy all into one file (h5repack)"
            )
        with h5py.File(there[0], "r") as file:
            source = file.get(inside)
            if not isinstance(source, h5py.Dataset):
                raise ValueError(
                    f"{path}: {dataset.name} is put together of datasets of which {listed([inside])} in "
                    f"{there[0]} is missing; copy the files again"
                )
            info = h5py.h5o.get_info(source.id)
            if (info.fileno, info.addr) in above:
                raise ValueError(f"{path}: {dataset.name} is put together of itself; expected numbers")
            _check_stored(path, source, above)


def _values(path: Path, dataset: h5py.Dataset, which=()) -> np.ndarray:
    """``dataset[which]``; ``ValueError`` where it cannot be there, or needs a filter that is missing."""
    _check_stored(path, dataset)
    return _read(path, dataset, which)


def _read(path: Path, dataset: h5py.Dataset, which) -> np.ndarray:
    """:func:`_values` of a dataset that is checked."""
    check_memory(path, _selected(dataset, which) * dataset.dtype.itemsize, dataset.name)
    if dataset.is_virtual or _missing_filters(dataset):
        with contextlib.suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
    try:
        return dataset[which]
    except OSError as error:
        missing = _missing_filters(dataset)
        # A virtual dataset has no filters itself; HDF5 then looks for a plugin for those of its sources.
        if not missing and not (dataset.is_virtual and "plugin" in str(error)):
            raise
        raise ValueError(
            f"{path}: {dataset.name} is compressed with an HDF5 filter that is not installed "
            f"({', '.join(missing) or 'of a linked file'}): pip install hdf5plugin, or repack it where the "
            "filter is installed (h5repack -f NONE)"
        ) from error


def _selected(dataset: h5py.Dataset, which) -> int:
    """Number of items in ``dataset[which]``, of slices, indices and masks."""
    shape = list(dataset.shape)
    for axis, of_axis in enumerate(which if isinstance(which, tuple) else (which,)):
        if isinstance(of_axis, slice):
            shape[axis] = len(range(*of_axis.indices(shape[axis])))
        else:
            shape[axis] = np.count_nonzero(of_axis) if of_axis.dtype == bool else len(of_axis)
    return math.prod(shape)


def _stack(path: Path, name: str, dataset: h5py.Dataset, frames: np.ndarray | None = None) -> LazyStack:
    """The projections of a dataset, of all its frames or of these, as a stack that is read later."""
    _check_stored(path, dataset)
    if dataset.ndim != 3:
        return LazyStack(dataset.shape, dataset.dtype, lambda rows: None)
    count = dataset.shape[0] if frames is None else len(frames)
    which = slice(None)
    if frames is not None:
        together = frames[-1] - frames[0] == len(frames) - 1
        which = slice(int(frames[0]), int(frames[-1]) + 1) if together else frames
    rows_per_read = 1 if dataset.chunks is None else dataset.chunks[1]
    read = functools.partial(_read_rows, path, name, which)
    return LazyStack((count, *dataset.shape[1:]), dataset.dtype, read, rows_per_read)


def _read_rows(path: Path, name: str, frames, rows: slice) -> np.ndarray:
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file[name], (frames, rows))
    except (OSError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path} is a damaged or truncated HDF5 file ({error}); copy it again") from error


def _missing_filters(dataset: h5py.Dataset) -> list[str]:
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    return [
        f"{code} {_FILTERS.get(code) or name.decode(errors='replace')}".strip()
        for code, _, _, name in filters
        if not h5py.h5z.filter_avail(code)
    ]


def _dxchange(path: Path, file: h5py.File, datasets):
    def get(name):
        item = datasets.get(f"exchange/{name}")
        if item is None and name in list(file["exchange"]):
            raise ValueError(
                f"{path}: /exchange/{name} is a group, or a link whose target is missing; expected a "
                "dataset: copy the file that it links to, too"
            )
        return None if item is None else _values(path, item)

    theta = datasets.get("exchange/theta")
    return (
        _stack(path, "exchange/data", datasets["exchange/data"]),
        get("data_white"),
        get("data_dark"),
        get("theta"),
        None if theta is None else angle_unit(theta),
        "DXchange",
        "/exchange/theta",
    )


def _nxtomo(path: Path, file: h5py.File, datasets):
    keys = [name for name in datasets if name.rsplit("/", 1)[-1] == "image_key"]
    frames = {key: _beside(datasets, key, "data", 3) for key in keys}
    keys = [key for key in keys if frames[key] is not None]
    if not keys:
        raise ValueError(
            f"{path} holds neither /exchange/data (DXchange) nor frames with an image_key (NXtomo); "
            f"expected one of them, found {listed('/' + name for name in datasets) or 'nothing'}"
        )
    expected = "0, 1 or 2 for each frame"
    image_keys = {
        key: check_numbers(_values(path, datasets[key]), f"{path}: /{key}", expected).ravel() for key in keys
    }
    key = _one_tomography(path, file, datasets, frames, image_keys)
    image_key = image_keys[key]
    data = datasets[frames[key]]
    if image_key.size != data.shape[0]:
        raise ValueError(
            f"{path}: /{key} names {image_key.size} frames but /{frames[key]} holds {data.shape[0]}; "
            "expected one image key for each frame"
        )
    if not np.any(image_key == _PROJECTION):
        raise ValueError(f"{path}: /{key} names no projection (image_key 0)")
    fields = {
        which: _values(path, data, image_key == which) for which in (_FLAT, _DARK) if which in image_key
    }
    where = _beside(datasets, key, "rotation_angle", 1)
    theta = unit = None
    if where is not None:
        theta, unit = np.asarray(_values(path, datasets[where])), angle_unit(datasets[where])
        if theta.size == image_key.size:
            theta = theta[image_key == _PROJECTION]
    return (
        _stack(path, frames[key], data, np.flatnonzero(image_key == _PROJECTION)),
        fields.get(_FLAT),
        fields.get(_DARK),
        theta,
        unit,
        "NXtomo",
        "rotation_angle" if where is None else "/" + where,
    )


def _one_tomography(path: Path, file: h5py.File, datasets, frames, image_keys) -> str:
    """The image key to read, one of ``image_keys``; ``ValueError`` where several entries hold projections."""
    keys = [key for key, values in image_keys.items() if np.any(values == _PROJECTION)] or list(image_keys)
    default = _word(file.attrs.get("default", "")).strip("/")
    marked = [key for key in keys if default and key.startswith(default + "/")]
    # Links show one tomography in several places: an entry is another one only if its frames are, too.
    found = {}
    for key in marked or keys:
        entry = _entry(file, key)
        data = datasets[frames[key]]
        if not any(file[entry] == file[other] or data == datasets[frames[k]] for other, k in found.items()):
            found[entry] = key
    if len(found) > 1:
        raise ValueError(
            f"{path} holds {len(found)} tomographies ({', '.join('/' + entry for entry in found)}); expected "
            "one: name it in the attribute 'default' of the root, or copy it to a file of its own (h5copy)"
        )
    return next(iter(found.values()))


def _entry(file: h5py.File, key: str) -> str:
    """The innermost NeXus entry around ``key``, else the outermost group."""
    parts = key.split("/")[:-1]
    groups = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    marked = (g for g in groups if _word(file[g].attrs.get("NX_class", "")) in ("NXentry", "NXsubentry"))
    return next(marked, groups[-1] if groups else "/")


def _beside(datasets, key: str, name: str, ndim: int) -> str | None:
    """The dataset ``name`` that shares the longest path with ``key``, at least its entry."""
    entry = key.split("/")
    best, depth = None, 0
    for candidate, item in datasets.items():
        parts = candidate.split("/")
        if parts[-1] != name or item.ndim != ndim:
            continue
        shared = next((i for i, (a, b) in enumerate(zip(parts, entry, strict=False)) if a != b), len(parts))
        if shared > depth:
            best, depth = candidate, shared
    return best


def angle_unit(dataset: h5py.Dataset) -> str | None:
    """The unit of angles, "deg" or "rad", as a dataset tells it."""
    unit = dataset.attrs.get("units", dataset.attrs.get("unit"))
    if unit is None:
        return None
    word = _word(unit).lower()
    if word.startswith("deg") or word == "°":
        return "deg"
    if word.startswith("rad"):
        return "rad"
    return None


def _word(attribute) -> str:
    """Text attribute, as bytes, as a string or as an array of one."""
    words = np.asarray(attribute).ravel()
    word = words[0] if words.size else ""
    return (word.decode(errors="replace") if isinstance(word, bytes) else str(word)).strip()
