"""APS MAPS and XRF-Maps: a folder with one HDF5 file of fluorescence maps for each view.

Layout of a file::

    /MAPS/XRF_Analyzed/{NNLS,Fitted,ROI}/Counts_Per_Sec  (channels, y, x)  maps
    /MAPS/XRF_Analyzed/{NNLS,Fitted,ROI}/Channel_Names   (channels,)
    /MAPS/XRF_fits, /MAPS/XRF_roi                        (channels, y, x)  maps of older files
    /MAPS/channel_names                                  (channels,)
    /MAPS/Scan/Extra_PVs/Names, Values                   (n,)              process variables
    /MAPS/extra_pvs_as_csv                               (n,)              "name, value" in older files

The angle is one of the process variables.
"""

from __future__ import annotations

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.csv_table import parse_value
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_folder import Hdf5FolderReader, MapPart, ViewFile
from pfitre_jax.data.readers.hdf5_values import find_angles
from pfitre_jax.data.readers.read_options import ReadOptions

_ANALYZED = "MAPS/XRF_Analyzed/"
#: Datasets of maps in order of preference: fits before sums over regions of the spectrum.
_MAPS = (
    *(f"{_ANALYZED}{kind}/Counts_Per_Sec" for kind in ("NNLS", "Fitted", "ROI")),
    *("MAPS/XRF_fits", "MAPS/XRF_roi"),
)
_NAMES = "MAPS/channel_names"
_PV_NAMES, _PV_VALUES = "MAPS/Scan/Extra_PVs/Names", "MAPS/Scan/Extra_PVs/Values"
_PV_CSV = "MAPS/extra_pvs_as_csv"
#: Process variables of the rotation at beamlines 2-ID-E and 9-ID, in order of preference.
ROTATION_PVS = ("2xfm:m60.VAL", "2xfm:m58.VAL", "9idbTAU:SM:ST:ActPos")


class MapsReader(Hdf5FolderReader):
    """Reads folders of MAPS and XRF-Maps. The angle is the process variable that ``theta_path`` names."""

    name = "MAPS"
    description = "one HDF5 file with /MAPS/XRF_Analyzed or /MAPS/XRF_fits for each view"
    takes = frozenset({"theta_path", "element", "dataset"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds maps."""
        return any(name in hdf5.datasets for name in _MAPS)

    def channels(self, hdf5: Hdf5File, options: ReadOptions) -> tuple[str, ...]:
        """Names of the channels of the maps.

        Raises:
            ValueError: If the file has none.
        """
        maps = _dataset(hdf5, options)
        names = [
            name for name in (maps.rsplit("/", 1)[0] + "/Channel_Names", _NAMES) if name in hdf5.datasets
        ]
        if not names:
            raise ValueError(f"{hdf5.path} has no dataset /{_NAMES}; expected a name for each map in /{maps}")
        return hdf5.texts(names[0])

    def view(self, hdf5: Hdf5File, options: ReadOptions, channel: str | None) -> ViewFile:
        """The map of the channel, and the angle among the process variables.

        Raises:
            ValueError: If the file lacks the channel or the process variable, or is damaged.
        """
        names, maps = self.channels(hdf5, options), _dataset(hdf5, options)
        if channel not in names:
            raise ValueError(
                f"{hdf5.path} has no channel {channel!r} for /{maps}; expected that of the others"
            )
        return ViewFile(MapPart(maps, {0: names.index(channel)}), _angle(hdf5, options))


def _dataset(hdf5: Hdf5File, options: ReadOptions) -> str:
    """The dataset of the maps.

    Raises:
        ValueError: If it is not in the file.
    """
    known = [name for name in _MAPS if name in hdf5.datasets]
    if options.dataset is None and known:
        return known[0]
    name = (options.dataset or _MAPS[0]).strip("/")
    if name not in hdf5.datasets:
        listed = format_names("/" + name for name in known) or "maps"
        raise ValueError(f"{hdf5.path} has no dataset /{name}; expected {listed}")
    return name


def _angle(hdf5: Hdf5File, options: ReadOptions) -> StoredAngles:
    """The angle of the view: a process variable, or a dataset or attribute if its path starts with "/"."""
    requested = options.theta_path
    if requested is not None and requested.startswith("/"):
        return find_angles(hdf5, requested)
    variables = _process_variables(hdf5)
    names = ROTATION_PVS if requested is None else (requested,)
    place = f"the process variable {' or '.join(names)} (theta_path='NAME')"
    for name in names:
        value = parse_value(variables.get(name, ""))
        if value is not None:
            return StoredAngles(f"the process variable {name}", [value[0]], value[1])
    if requested is not None:
        found = "not a number" if requested in variables else "not among its process variables"
        raise ValueError(f"{hdf5.path}: {requested} is {found}; expected the angle of the view")
    return StoredAngles(place)


def _process_variables(hdf5: Hdf5File) -> dict[str, str]:
    """Values of the process variables by their name."""
    if _PV_NAMES in hdf5.datasets and _PV_VALUES in hdf5.datasets:
        return dict(zip(hdf5.texts(_PV_NAMES), hdf5.texts(_PV_VALUES), strict=False))
    if _PV_CSV in hdf5.datasets:
        pairs = (line.split(",") for line in hdf5.texts(_PV_CSV))
        return {pair[0].strip(): pair[-1].strip() for pair in pairs if len(pair) > 1}
    return {}
