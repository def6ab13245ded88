"""NXtomo (NeXus): frames with an ``image_key`` and a ``rotation_angle``.

An entry holds ``image_key`` (0 projection, 1 flat, 2 dark, other frames ignored), the frames ``data`` beside
it, and ``rotation_angle`` of the sample, else of the detector, for each frame or for each projection, with
its ``units``. ``x_rotation_axis_pixel_position`` of the detector is the centre, and ``control/data`` the
intensity of the beam in each frame. If several entries hold a tomography, the root's attribute ``default``
selects one.
"""

from __future__ import annotations

import h5py
import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles, check_numbers
from pfitre_jax.data.readers.axis_order import DEFAULT_ORDER
from pfitre_jax.data.readers.hdf5_file import Hdf5File, attribute_text
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

#: Values of ``image_key``.
PROJECTION, FLAT, DARK = 0, 1, 2
#: Distance from the edge of the detector, as a share of its columns, from which a number is a detector index.
LEAST_CENTER = 0.05


class NXtomoReader(Hdf5Reader):
    """Reads NXtomo files."""

    name = "NXtomo"
    description = "HDF5 with frames and an image_key"

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds frames with an ``image_key``."""
        return bool(_frames_by_key(hdf5))

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Contents of the one tomography of the file.

        Raises:
            ValueError: If they are damaged or incomplete, or there are several tomographies.
        """
        path, frames = hdf5.path, _frames_by_key(hdf5)
        expected = "0, 1 or 2 for each frame"
        image_keys = {
            key: check_numbers(hdf5.values(key), f"{path}: /{key}", expected).ravel() for key in frames
        }
        key = _select_tomography(hdf5, frames, image_keys)
        image_key, data = image_keys[key], hdf5.datasets[frames[key]]
        order = hdf5.axis_order(frames[key])
        views = (order or DEFAULT_ORDER)[0]
        if image_key.size != data.shape[views]:
            raise ValueError(
                f"{path}: /{key} names {image_key.size} frames but /{frames[key]} holds {data.shape[views]}; "
                "expected one image key for each frame"
            )
        ambiguous: tuple[str, ...] = ()
        if order is None and image_key.size in data.shape[1:] and np.any(image_key != PROJECTION):
            # Without flat and dark frames, the frames are the views, which RawScan compares.
            ambiguous = (
                f"another axis of /{frames[key]} is as long as that of the frames, {image_key.size}, and the "
                "file does not state the order of its axes; it was read as (frames, rows, columns)",
            )
        if not np.any(image_key == PROJECTION):
            raise ValueError(
                f"{path}: /{key} names no projection; expected image_key 0 for the frames that are"
            )
        flat, dark = (
            hdf5.values(frames[key], (*[slice(None)] * views, image_key == value)).transpose(
                order or DEFAULT_ORDER
            )
            if value in image_key
            else None
            for value in (FLAT, DARK)
        )
        theta_name = _rotation_angle(hdf5, key)
        theta = None if theta_name is None else np.asarray(hdf5.values(theta_name))
        if theta is not None and theta.size == image_key.size:
            theta = theta[image_key == PROJECTION]
        projections = hdf5.stack(frames[key], np.flatnonzero(image_key == PROJECTION), order or DEFAULT_ORDER)
        center, notes = _center(hdf5, key, projections.shape[2])
        monitor, more = _monitor(hdf5, key, image_key)
        return Hdf5Contents(
            projections=projections,
            order_stated=order is not None,
            center=center,
            monitor=monitor,
            warnings=(*ambiguous, *notes, *more),
            flat=flat,
            dark=dark,
            angles=StoredAngles(
                "rotation_angle" if theta_name is None else "/" + theta_name,
                theta,
                None if theta_name is None else hdf5.unit(theta_name),
            ),
        )


def _rotation_angle(hdf5: Hdf5File, key: str) -> str | None:
    """The ``rotation_angle`` of the sample in the entry of an ``image_key``, else the nearest one.

    That of the detector is the position of another motor.
    """
    entry = _entry(hdf5.file, key)
    prefix = "" if entry == "/" else entry + "/"
    samples = [
        name
        for name, dataset in hdf5.datasets.items()
        if name.startswith(prefix)
        and name.rsplit("/", 1)[-1] == "rotation_angle"
        and dataset.ndim == 1
        and _is_sample(hdf5.file, name)
    ]
    return min(samples, key=len) if samples else _nearest_dataset(hdf5, key, "rotation_angle", 1)


def _is_sample(file: h5py.File, name: str) -> bool:
    group = name.rsplit("/", 1)[0]
    return (
        attribute_text(file[group].attrs.get("NX_class", "")) == "NXsample"
        or group.rsplit("/", 1)[-1] == "sample"
    )


def _center(hdf5: Hdf5File, key: str, columns: int) -> tuple[float | None, tuple[str, ...]]:
    """The rotation axis that the detector states, and a warning if it is no detector index.

    NeXus means the absolute index; some files hold the distance from the middle, which is negative or small.
    """
    name = _nearest_dataset(hdf5, key, "x_rotation_axis_pixel_position", None)
    if name is None or hdf5.datasets[name].size != 1:
        return None, ()
    value = hdf5.values(name)
    if value.dtype.kind not in "fiu" or not np.isfinite(value).all():
        return None, ()
    center = float(value.ravel()[0])
    if LEAST_CENTER * columns <= center <= (1 - LEAST_CENTER) * columns:
        return center, ()
    return None, (
        f"/{name} is {center:g}, which is no plausible detector index between 0 and {columns - 1} (perhaps "
        "a distance from the middle); it was not used as the centre",
    )


def _monitor(hdf5: Hdf5File, key: str, image_key: np.ndarray) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Intensity of the beam in each projection over that in the flat frames, and a warning if it is unusable.

    NXtomo: the NXmonitor ``control`` holds the integrated counts of each frame.
    """
    entry = _entry(hdf5.file, key)
    prefix = "" if entry == "/" else entry + "/"
    names = [n for n in hdf5.datasets if n.startswith(prefix) and f"/{n}".endswith("/control/data")]
    flats = image_key == FLAT
    if not names or not flats.any():
        return None, ()
    name = min(names, key=len)
    counts = np.asarray(
        check_numbers(hdf5.values(name), f"{hdf5.path}: /{name}", "one for each frame"), float
    )
    if counts.shape != image_key.shape or not np.isfinite(counts).all() or np.median(counts[flats]) <= 0:
        return None, (
            f"/{name} is not one positive number for each frame; the beam was not normalised by it",
        )
    return counts[image_key == PROJECTION] / np.median(counts[flats]), ()


def _frames_by_key(hdf5: Hdf5File) -> dict[str, str]:
    """The dataset of frames for each ``image_key`` that has one."""
    keys = [name for name in hdf5.datasets if name.rsplit("/", 1)[-1] == "image_key"]
    frames = {key: _nearest_dataset(hdf5, key, "data", 3) for key in keys}
    return {key: name for key, name in frames.items() if name is not None}


def _select_tomography(hdf5: Hdf5File, frames: dict[str, str], image_keys: dict[str, np.ndarray]) -> str:
    """The ``image_key`` of the tomography to read.

    Raises:
        ValueError: If several entries hold projections and none is the default.
    """
    file = hdf5.file
    keys = [key for key, values in image_keys.items() if np.any(values == PROJECTION)] or list(image_keys)
    default = attribute_text(file.attrs.get("default", "")).strip("/")
    marked = [key for key in keys if default and key.startswith(default + "/")]
    # Links show one tomography in several places: entries differ only if their frames differ, too.
    entries: dict[str, str] = {}
    for key in marked or keys:
        entry, data = _entry(file, key), hdf5.datasets[frames[key]]
        if not any(
            file[entry] == file[other] or data == hdf5.datasets[frames[other_key]]
            for other, other_key in entries.items()
        ):
            entries[entry] = key
    if len(entries) > 1:
        raise ValueError(
            f"{hdf5.path} holds {len(entries)} tomographies ({', '.join('/' + entry for entry in entries)}); "
            "expected one: name it in the attribute 'default' of the root, or copy it to a file of its own "
            "(h5copy)"
        )
    return next(iter(entries.values()))


def _entry(file: h5py.File, key: str) -> str:
    """The innermost NeXus entry around ``key``, else the outermost group."""
    parts = key.split("/")[:-1]
    groups = ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]
    entries = (
        group
        for group in groups
        if attribute_text(file[group].attrs.get("NX_class", "")) in ("NXentry", "NXsubentry")
    )
    return next(entries, groups[-1] if groups else "/")


def _nearest_dataset(hdf5: Hdf5File, key: str, name: str, ndim: int | None) -> str | None:
    """The dataset called ``name`` that shares the longest path with ``key``, at least its entry."""
    entry = key.split("/")
    best, depth = None, 0
    for candidate, item in hdf5.datasets.items():
        parts = candidate.split("/")
        if parts[-1] != name or ndim not in (None, item.ndim):
            continue
        shared = next((i for i, (a, b) in enumerate(zip(parts, entry, strict=False)) if a != b), len(parts))
        if shared > depth:
            best, depth = candidate, shared
    return best
