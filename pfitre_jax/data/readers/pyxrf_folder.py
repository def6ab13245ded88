"""A folder of PyXRF: one HDF5 file with fitted fluorescence maps for each view.

Layout of a file::

    /xrfmap/detsum/xrf_fit       (channels, y, x)  fitted maps
    /xrfmap/detsum/xrf_fit_name  (channels,)       names such as "Cu_K"
    /xrfmap/scalers/name         (scalers,)        names of the counters
    /xrfmap/scalers/val          (y, x, scalers)   their counts
    /xrfmap/scan_metadata        attributes param_theta, param_theta_units, param_input

``param_theta`` is in millidegrees at HXN and SRX, which ``param_theta_units`` states ("mdeg").
"""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_folder import Hdf5FolderReader, MapPart, ViewFile
from pfitre_jax.data.readers.hdf5_values import find_angles
from pfitre_jax.data.readers.read_options import ReadOptions

_MAPS, _NAMES = "xrfmap/detsum/xrf_fit", "xrfmap/detsum/xrf_fit_name"
_SCALERS, _SCALER_NAMES = "xrfmap/scalers/val", "xrfmap/scalers/name"
_METADATA, _THETA = "xrfmap/scan_metadata", "param_theta"
#: Names of the counter of the incident beam, in lower case, in order of preference.
_BEAM = ("i0", "sclr1_ch4")


class PyXRFFolderReader(Hdf5FolderReader):
    """Reads folders of PyXRF. Maps are divided by the counter of the incident beam, if it is there."""

    name = "PyXRF"
    description = "one HDF5 file with /xrfmap/detsum/xrf_fit for each view"
    takes = frozenset({"theta_path", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds fitted maps and their names."""
        return _MAPS in hdf5.datasets and _NAMES in hdf5.datasets

    def channels(self, hdf5: Hdf5File, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels."""
        return hdf5.texts(_NAMES)

    def view(self, hdf5: Hdf5File, options: ReadOptions, channel: str | None) -> ViewFile:
        """The map of the channel, and the angle in the metadata.

        Raises:
            ValueError: If the file lacks the channel, or is damaged.
        """
        names = self.channels(hdf5, options)
        if channel not in names:
            raise ValueError(
                f"{hdf5.path} has no channel {channel!r} in /{_NAMES}; expected that of the others"
            )
        signal = MapPart(_MAPS, {0: names.index(channel)})
        beam = _beam(hdf5)
        warning = None
        if beam is None:
            warning = (
                f"/{_SCALER_NAMES} has none of the counters {' and '.join(_BEAM)}; the maps were not "
                "normalized by the beam"
            )
        return ViewFile(signal, _angle(hdf5, options), beam, _pixel_size(hdf5), warning)


def _angle(hdf5: Hdf5File, options: ReadOptions) -> StoredAngles:
    if options.theta_path is not None:
        return find_angles(hdf5, options.theta_path)
    place = f"{_METADATA}@{_THETA}"
    if _METADATA in hdf5.file and _THETA in hdf5.file[_METADATA].attrs:
        return find_angles(hdf5, place)
    return StoredAngles(f"/{place}")


def _beam(hdf5: Hdf5File) -> MapPart | None:
    """Map of the incident beam, or None if no known counter is in the file."""
    if _SCALERS not in hdf5.datasets or _SCALER_NAMES not in hdf5.datasets:
        return None
    names = [name.lower() for name in hdf5.texts(_SCALER_NAMES)]
    known = [name for name in _BEAM if name in names]
    return MapPart(_SCALERS, {2: names.index(known[0])}) if known else None


def _pixel_size(hdf5: Hdf5File) -> float | None:
    """Width of a pixel from the range of the fast axis: ``param_input`` is start, stop, number, ..."""
    attributes = hdf5.file[_METADATA].attrs if _METADATA in hdf5.file else {}
    values = np.ravel(attributes.get("param_input", []))
    if values.dtype.kind not in "fiu" or values.size < 3 or not np.isfinite(values[:3]).all():
        return None
    start, stop, number = (float(value) for value in values[:3])
    return abs(stop - start) / number if number >= 1 and start != stop else None
