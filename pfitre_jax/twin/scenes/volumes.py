"""Volumes of labels or gray values from files (``.npz``, ``.npy``, TIFF): slices along the three axes."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pfitre_jax.twin.scenes.bank import MIN_DEVIATION, SIDE, Bank
from pfitre_jax.twin.scenes.images import normalise
from pfitre_jax.twin.scenes.raster import resample

#: A volume of integers with at most this number of different values holds labels.
MAX_LABELS = 8
#: Volumes with more voxels are refused.
MAX_VOXELS = 1_500_000_000
#: Smallest side of a cut, voxels, so that no voxel becomes wider than four pixels of a tile.
MIN_EXTENT = 64
# Number of cuts to try before a volume counts as flat.
_TRIALS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """A volume that tiles are cut from.

    Attributes:
        values: (nz, ny, nx), indices of labels, or gray values in [0, 1].
        labels: Number of labels, or None for gray values.
    """

    values: np.ndarray
    labels: int | None


def read_volume(path: str | os.PathLike) -> Volume:
    """Reads a volume.

    Args:
        path: A ``.npy`` or TIFF file, or a ``.npz`` file with one 3D array or with bits (``packed`` and
            ``shape``).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a volume, has more than :data:`MAX_VOXELS` voxels, or one value everywhere.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no volume at {path}; expected a .npz, .npy or TIFF file")
    try:
        values = _READERS.get(path.suffix.lower(), _unknown)(path)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} cannot be read ({error}); expected a volume") from error
    if values.ndim != 3 or min(values.shape) < 2 or values.dtype.kind not in "biuf":
        raise ValueError(
            f"{path} holds {values.dtype} of the shape {values.shape}; expected numbers (nz, ny, nx)"
        )
    if values.dtype.kind in "biu":
        labels = np.unique(values)
        if 1 < len(labels) <= MAX_LABELS:
            return Volume(np.searchsorted(labels, values).astype(np.uint8), len(labels))
    if not np.isfinite(values).all():
        raise ValueError(f"{path} has values that are not finite; expected finite numbers")
    return Volume(normalise(values, str(path)), None)


def tile(volume: Volume, rng: np.random.Generator, side: int = SIDE) -> Float[np.ndarray, "side side"]:
    """Cuts a random square from a random slice: (side, side), float32, values in [0, 1].

    Labels get random levels from 0 to 1, and borders that are sharp at any magnification.

    Args:
        volume: The volume.
        rng: Random generator.
        side: Side of the tile, pixels.

    Raises:
        ValueError: If the slices are flat almost everywhere.
    """
    for _ in range(_TRIALS):
        axis = int(rng.integers(3))
        plane = np.take(volume.values, int(rng.integers(volume.values.shape[axis])), axis)
        shorter = min(plane.shape)
        extent = min(np.exp(rng.uniform(np.log(min(MIN_EXTENT, shorter)), np.log(shorter))), shorter)
        top, left = (rng.uniform(0, size - extent) for size in plane.shape)
        if volume.labels is None:
            image = resample(plane, top, left, extent, side)
        else:
            level = np.linspace(0, 1, volume.labels)
            if volume.labels > 2:
                level[1:-1] = np.sort(rng.uniform(0.1, 0.9, volume.labels - 2))
            image = _cut_labels(plane, rng.permutation(level), top, left, extent, side)
        if image.std() > MIN_DEVIATION and image.mean() > MIN_DEVIATION:
            return np.clip(image, 0.0, 1.0).astype(np.float32)
    raise ValueError(
        f"{_TRIALS} slices of a volume {volume.values.shape} are flat; expected slices with contrast"
    )


def bank(paths: Sequence, count: int, side: int = SIDE, seed: int = 0) -> Bank:
    """Returns a bank of ``count`` tiles, equally many from each volume; a seed gives the same tiles."""
    rng = np.random.default_rng([seed, 4])
    shares = [count // len(paths) + (i < count % len(paths)) for i in range(len(paths))]
    tiles = []
    for path, share in zip(paths, shares, strict=True):
        if share:
            volume = read_volume(path)
            tiles += [tile(volume, rng, side) for _ in range(share)]
    return Bank.create(np.stack(tiles))


def _cut_labels(plane, level, top, left, extent, side):
    """Mean level of each pixel; borders lie where the linearly interpolated share of a label is one half."""
    sharpness = max(side / extent, 1.0)
    shares = np.stack([resample((plane == k) * 1.0, top, left, extent, side) for k in range(len(level))])
    shares = np.clip((shares - 0.5) * sharpness + 0.5, 0.0, 1.0)
    return np.tensordot(level, shares, 1) / np.maximum(shares.sum(axis=0), 1e-6)


def _npz(path: Path):
    with np.load(path, allow_pickle=False) as arrays:
        if {"packed", "shape"} <= set(arrays):
            shape = tuple(int(size) for size in arrays["shape"])
            _check_size(path, shape)
            return np.unpackbits(arrays["packed"], axis=-1)[..., : shape[-1]].reshape(shape)
        volumes = {name: arrays[name] for name in arrays if arrays[name].ndim == 3}
    if len(volumes) != 1:
        raise ValueError(f"{path} holds {len(volumes)} 3D arrays; expected one, or bits: packed with shape")
    return next(iter(volumes.values()))


def _npy(path: Path):
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_size(path, values.shape)
    return np.asarray(values)


def _tiff(path: Path):
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            _check_size(path, file.series[0].shape)
            return file.asarray()
    except tifffile.TiffFileError as error:
        raise ValueError(f"{path} cannot be read as TIFF ({error}); expected a stack") from error


def _unknown(path: Path):
    raise ValueError(f"{path} ends in {path.suffix!r}; expected .npz, .npy, .tif or .tiff")


def _check_size(path, shape) -> None:
    if np.prod([float(size) for size in shape]) > MAX_VOXELS:
        raise ValueError(f"{path} has the shape {tuple(shape)}; expected at most {MAX_VOXELS:.1e} voxels")


_READERS = {".npz": _npz, ".npy": _npy, ".tif": _tiff, ".tiff": _tiff}
