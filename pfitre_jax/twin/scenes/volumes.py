"""Volumes from files (``.npz``, ``.npy``, TIFF stacks), of labels or greys: slices along the three axes."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pfitre_jax.twin.scenes.bank import FLAT, SIDE, Bank
from pfitre_jax.twin.scenes.images import normalised
from pfitre_jax.twin.scenes.raster import resample

#: A volume of whole numbers with no more different ones holds labels.
MAX_LABELS = 8
#: Volumes with more voxels are refused.
MAX_VOXELS = 1_500_000_000
#: The smallest side of a slice that is cut out, in voxels: no voxel becomes wider than four pixels of a tile.
LEAST = 64
_TRIALS = 40


@dataclasses.dataclass(frozen=True, eq=False)
class Volume:
    """values: (nz, ny, nx), indices of labels where there are ``labels`` of them, else greys in [0, 1]."""

    values: np.ndarray
    labels: int | None


def read_volume(path) -> Volume:
    """A volume from ``.npz`` (the only 3D array in it, or bits: ``packed`` with ``shape``), ``.npy`` or TIFF.

    Raises ``FileNotFoundError``; ``ValueError`` for what is no volume, is larger than :data:`MAX_VOXELS`, or
    has one value only.
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
        raise ValueError(f"{path} has values that are no numbers; expected finite ones")
    return Volume(normalised(values, str(path)), None)


def tile(volume: Volume, rng: np.random.Generator, side: int = SIDE) -> Float[np.ndarray, "side side"]:
    """A random square of a random slice, ``(side, side)`` float32 in [0, 1]; labels get random levels, the
    darkest 0 and the brightest 1, and sharp borders at any magnification.

    Raises ``ValueError`` where the slices are flat next to everywhere.
    """
    for _ in range(_TRIALS):
        axis = int(rng.integers(3))
        plane = np.take(volume.values, int(rng.integers(volume.values.shape[axis])), axis)
        shorter = min(plane.shape)
        extent = min(np.exp(rng.uniform(np.log(min(LEAST, shorter)), np.log(shorter))), shorter)
        top, left = (rng.uniform(0, size - extent) for size in plane.shape)
        if volume.labels is None:
            image = resample(plane, top, left, extent, side)
        else:
            level = np.linspace(0, 1, volume.labels)
            if volume.labels > 2:
                level[1:-1] = np.sort(rng.uniform(0.1, 0.9, volume.labels - 2))
            image = _labelled(plane, rng.permutation(level), top, left, extent, side)
        if image.std() > FLAT and image.mean() > FLAT:
            return np.clip(image, 0.0, 1.0).astype(np.float32)
    raise ValueError(
        f"{_TRIALS} slices of a volume {volume.values.shape} are flat; expected something on them"
    )


def bank(paths: Sequence, count: int, side: int = SIDE, seed: int = 0) -> Bank:
    """``count`` tiles of the volumes at ``paths``, as many of each; the same seed, the same tiles."""
    rng = np.random.default_rng([seed, 4])
    shares = [count // len(paths) + (i < count % len(paths)) for i in range(len(paths))]
    tiles = []
    for path, share in zip(paths, shares, strict=True):
        volume = read_volume(path) if share else None
        tiles += [tile(volume, rng, side) for _ in range(share)]
    return Bank.create(np.stack(tiles))


def _labelled(plane, level, top, left, extent, side):
    """Each label's own share of a pixel, with the border where linear interpolation has one half."""
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
        found = {name: arrays[name] for name in arrays if arrays[name].ndim == 3}
    if len(found) != 1:
        raise ValueError(f"{path} holds {len(found)} 3D arrays; expected one, or bits: packed with shape")
    return next(iter(found.values()))


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
