"""The 3D file of PyXRF: fluorescence maps of all views, one group for each element.

Layout, as ``h5file_for_recon`` writes it::

    /element_data/<El>/data  (views, y, x)  maps, normalized by the beam
    /angle/data              (views,)       degrees, or the unit in the attribute ``units``
"""

from __future__ import annotations

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions

_GROUP, _THETA = "element_data/", "angle/data"


class PyXRFVolumeReader(Hdf5Reader):
    """Reads the 3D files of PyXRF."""

    name = "PyXRF 3D"
    description = "HDF5 with /element_data/<element>/data and /angle/data"
    takes = frozenset({"theta_path", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds the maps of an element."""
        return bool(self.channels(hdf5))

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the elements."""
        names = [name for name in hdf5.datasets if name.startswith(_GROUP) and name.endswith("/data")]
        return tuple(name.removeprefix(_GROUP).removesuffix("/data") for name in names)

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Maps of one element.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        names = self.channels(hdf5)
        element = names[choose_channel(names, options.element, hdf5.path)]
        hdf5.check_shape(f"{_GROUP}{element}/data", 3, {}, "(views, y, x)")
        return Hdf5Contents(
            projections=hdf5.stack(f"{_GROUP}{element}/data"),
            angles=StoredAngles.of_dataset(hdf5, _THETA),
            element=element,
            order_stated=True,
        )
