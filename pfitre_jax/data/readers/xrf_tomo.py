"""xrf-tomo (NSLS-II HXN): fluorescence maps of all views and elements in one HDF5 file.

Layout, as ``make_single_hdf`` of PyXRF's tomography tools writes it::

    /reconstruction/fitting/data      (views, channels, y, x)  fitted maps
    /reconstruction/fitting/elements  (channels,)              names such as "Cu_K"
    /reconstruction/recon/proj        (views, channels, y, x)  maps over i0, aligned (optional)
    /reconstruction/recon/rot_center                           column of the rotation axis (optional)
    /reconstruction/recon/del_x, del_y  (views,)               shifts of the alignment, bins (optional)
    /exchange/i0                      (views, y, x)            intensity of the beam
    /exchange/theta                   (views,)                 degrees
    /exchange/x                       (views, y, x)            positions, micrometres (optional)
"""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.raw import LazyStack
from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

_FITTED, _ELEMENTS = "reconstruction/fitting/data", "reconstruction/fitting/elements"
_ALIGNED, _CENTER = "reconstruction/recon/proj", "reconstruction/recon/rot_center"
_SHIFTS = ("reconstruction/recon/del_x", "reconstruction/recon/del_y")
_INTENSITY, _THETA, _POSITIONS = "exchange/i0", "exchange/theta", "exchange/x"
#: Relative difference up to which an aligned map is the map before the alignment.
_UNCHANGED = 1e-6


class XrfTomoReader(Hdf5Reader):
    """Reads files of xrf-tomo. Aligned maps are preferred; others are divided by ``/exchange/i0``."""

    name = "xrf-tomo"
    description = "HDF5 with /reconstruction/fitting/data"
    takes = frozenset({"theta_path", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds fitted maps and the names of their channels."""
        return _FITTED in hdf5.datasets and _ELEMENTS in hdf5.datasets

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the channels."""
        return hdf5.texts(_ELEMENTS)

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Maps of one channel.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        names = self.channels(hdf5)
        channel = choose_channel(names, options.element, hdf5.path)
        each = f"one map for each name in /{_ELEMENTS}"
        for dataset in (_FITTED, _ALIGNED):
            if dataset in hdf5.datasets:
                hdf5.check_shape(dataset, 4, {1: len(names)}, f"(views, {len(names)}, y, x), {each}")
        fitted, warnings = _normalized(hdf5, channel)
        projections = fitted
        if _ALIGNED in hdf5.datasets:
            projections = _maps(hdf5, _ALIGNED, channel)
            warnings = _shift_warnings(hdf5, channel)
        return Hdf5Contents(
            projections=projections,
            angles=StoredAngles.of_dataset(hdf5, _THETA),
            center=hdf5.number(_CENTER) if _ALIGNED in hdf5.datasets else None,
            pixel_size=_pixel_size(hdf5, fitted.shape),
            element=names[channel],
            dataset=f"/{_ALIGNED if _ALIGNED in hdf5.datasets else _FITTED}",
            order_stated=True,
            warnings=warnings,
        )


def _maps(hdf5: Hdf5File, name: str, channel: int, frames: np.ndarray | None = None) -> LazyStack:
    return hdf5.stack(name, frames, order=(0, 2, 3), fixed={1: channel})


def _normalized(
    hdf5: Hdf5File, channel: int, frames: np.ndarray | None = None
) -> tuple[LazyStack, tuple[str, ...]]:
    """Fitted maps over the intensity of the beam, and a warning if there is none."""
    fitted = _maps(hdf5, _FITTED, channel, frames)
    if _INTENSITY not in hdf5.datasets:
        return fitted, (f"/{_INTENSITY} is missing; the maps were not normalized by the beam",)
    beam = hdf5.stack(_INTENSITY, frames)
    if beam.shape != fitted.shape:
        raise ValueError(
            f"{hdf5.path}: /{_INTENSITY} has the shape {beam.shape}; expected {fitted.shape} as the maps"
        )
    return fitted.normalize(beam), ()


def _shift_warnings(hdf5: Hdf5File, channel: int) -> tuple[str, ...]:
    """A warning if the file states shifts that have not been applied to its maps.

    The file does not state whether they have. They have not if a view with a shift is that before the
    alignment.
    """
    names = [name for name in _SHIFTS if name in hdf5.datasets and hdf5.datasets[name].ndim == 1]
    shifts = [values for values in map(hdf5.values, names) if values.dtype.kind in "fiu"]
    views = hdf5.datasets[_ALIGNED].shape[0]
    shifted = [view for view in range(views) if any(view < len(shift) and shift[view] for shift in shifts)]
    if not shifted or hdf5.datasets[_FITTED].shape != hdf5.datasets[_ALIGNED].shape:
        return ()
    frames = np.array(shifted[:1])
    before = np.nan_to_num(_normalized(hdf5, channel, frames)[0].read(slice(None)))
    after = _maps(hdf5, _ALIGNED, channel, frames).read(slice(None))
    if np.abs(after - before).max() > _UNCHANGED * np.abs(before).max():
        return ()
    return (
        f"the shifts /{_SHIFTS[0]} and del_y have not been applied to /{_ALIGNED}, and were ignored; align "
        "the views (pf.align(scan))",
    )


def _pixel_size(hdf5: Hdf5File, shape: tuple[int, ...]) -> float | None:
    """Median distance of neighbouring columns of the first view, micrometres."""
    if _POSITIONS not in hdf5.datasets or hdf5.datasets[_POSITIONS].shape != shape or shape[2] < 2:
        return None
    first = hdf5.stack(_POSITIONS, frames=np.array([0])).read(slice(None))
    size = float(np.median(np.abs(np.diff(first, axis=2))))
    return size if np.isfinite(size) and size > 0 else None
