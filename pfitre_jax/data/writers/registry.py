"""The writers by the names of their formats."""

from __future__ import annotations

from collections.abc import Iterable

from pfitre_jax.data.writers.mrc import MrcWriter
from pfitre_jax.data.writers.ome_zarr import OmeZarrWriter
from pfitre_jax.data.writers.tiff import TiffWriter
from pfitre_jax.data.writers.writer import Writer

#: All writers, by the name of their format.
WRITERS: dict[str, Writer] = {writer.name: writer for writer in (TiffWriter(), OmeZarrWriter(), MrcWriter())}
#: Name of the format of ``recon.h5``, which every result has.
HDF5 = "hdf5"


def find_writers(names: Iterable[str], *, with_hdf5: bool = True) -> list[Writer]:
    """The writers of some formats, each once; :data:`HDF5` needs none.

    Args:
        names: Names of formats.
        with_hdf5: Whether :data:`HDF5` may be among them.

    Raises:
        ValueError: A format is unknown, or its package is not installed.
    """
    allowed = ([HDF5] if with_hdf5 else []) + list(WRITERS)
    writers = []
    for name in dict.fromkeys(names):
        if name not in allowed:
            raise ValueError(f"unknown format {name!r}; expected one of {', '.join(allowed)}")
        if name != HDF5:
            WRITERS[name].check_installed()
            writers.append(WRITERS[name])
    return writers
