"""Export of XRFtomo (APS): fluorescence maps of all elements and views in one HDF5 file.

Layout, as ``save_hdf5`` of XRFtomo writes it::

    /data      (elements, views, y, x)
    /elements  (elements,)  names
    /thetas    (views,)     degrees
"""

from __future__ import annotations

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.channels import choose_channel
from pfitre_jax.data.readers.hdf5_file import Hdf5File
from pfitre_jax.data.readers.hdf5_reader import Hdf5Contents, Hdf5Reader
from pfitre_jax.data.readers.read_options import ReadOptions


class XrftomoExportReader(Hdf5Reader):
    """Reads exports of XRFtomo."""

    name = "XRFtomo"
    description = "HDF5 with /data, /elements and /thetas"
    takes = frozenset({"theta_path", "element"})

    def has_layout(self, hdf5: Hdf5File) -> bool:
        """Whether the file holds data and the names of elements."""
        return "data" in hdf5.datasets and "elements" in hdf5.datasets

    def channels(self, hdf5: Hdf5File) -> tuple[str, ...]:
        """Names of the elements."""
        return hdf5.texts("elements")

    def contents(self, hdf5: Hdf5File, options: ReadOptions) -> Hdf5Contents:
        """Maps of one element.

        Raises:
            ValueError: If they are damaged or incomplete.
        """
        names = self.channels(hdf5)
        channel = choose_channel(names, options.element, hdf5.path)
        hdf5.check_shape(
            "data", 4, {0: len(names)}, "(elements, views, y, x), one stack for each of /elements"
        )
        return Hdf5Contents(
            projections=hdf5.stack("data", order=(1, 2, 3), fixed={0: channel}),
            angles=StoredAngles.of_dataset(hdf5, "thetas"),
            element=names[channel],
            order_stated=True,
        )
