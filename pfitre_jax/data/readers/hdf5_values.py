"""Values of an HDF5 file that are stored in datasets or in attributes: angles and numbers by their path."""

from __future__ import annotations

import h5py
import numpy as np

from pfitre_jax.data.readers.angles import StoredAngles
from pfitre_jax.data.readers.file_checks import format_names
from pfitre_jax.data.readers.hdf5_file import Hdf5File, attribute_text


def find_angles(hdf5: Hdf5File, path: str) -> StoredAngles:
    """Angles in a dataset ("/exchange/theta") or an attribute ("/xrfmap/scan_metadata@param_theta").

    The unit of an attribute is the attribute of the same name with ``_units`` or ``_unit``.

    Raises:
        ValueError: If there is no such dataset or attribute.
    """
    name, _, attribute = path.strip("/").partition("@")
    place = f"/{name}@{attribute}" if attribute else f"/{name}"
    if not attribute:
        check_dataset(hdf5, name, "theta_path")
        values = hdf5.values(name)
        return StoredAngles(
            place, values.ravel() if values.size == max(values.shape, default=1) else values, hdf5.unit(name)
        )
    item = hdf5.file.get(name or "/")
    if item is None or attribute not in item.attrs:
        known = format_names(item.attrs) if item is not None else ""
        found = f"; found the attributes {known}" if known else ""
        raise ValueError(f"{hdf5.path} has no {place}; expected the attribute of the angles{found}")
    return StoredAngles(place, np.ravel(item.attrs[attribute]), attribute_unit(item, attribute))


def attribute_unit(item: h5py.Group | h5py.Dataset, attribute: str) -> str | None:
    """Unit of an attribute, which another attribute states, or None."""
    for suffix in ("_units", "_unit"):
        if attribute + suffix in item.attrs:
            return attribute_text(item.attrs[attribute + suffix]) or None
    return None


def check_dataset(hdf5: Hdf5File, name: str, option: str) -> None:
    """Checks that the dataset that an option names is in the file.

    Raises:
        ValueError: If it is not; the message lists those that are.
    """
    if name not in hdf5.datasets:
        listed = format_names("/" + known for known in hdf5.datasets) or "none"
        raise ValueError(f"{hdf5.path} has no dataset /{name} ({option}='/{name}'); expected one of {listed}")
