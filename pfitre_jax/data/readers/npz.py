"""NumPy archives: ``projections``, ``theta_deg`` or ``theta_rad``; maybe ``flat``, ``dark``, ``center``."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.angle_units import RADIANS, Angles, choose_unit, convert_angles
from pfitre_jax.data.readers.angles import check_numbers, read_angle_file
from pfitre_jax.data.readers.file_checks import check_declared_size, check_memory, format_names
from pfitre_jax.data.readers.read_options import ReadOptions
from pfitre_jax.data.readers.reader import Reader
from pfitre_jax.data.readers.scan_file import ScanFile

#: Names of the array of angles, and their unit.
ANGLE_UNITS = {f"{name}_{unit}": unit for unit in RADIANS for name in ("theta", "angles")}


class NpzReader(Reader):
    """Reads NumPy archives; the unit of the angles is in their name."""

    name = "npz"
    description = "an archive with 'projections' and 'theta_deg' or 'theta_rad'"
    magic = (b"PK\x03\x04",)
    suffixes = (".npz",)

    def read(self, file: ScanFile, options: ReadOptions) -> RawScan:
        """Contents of the file, see :meth:`pfitre_jax.data.readers.reader.Reader.read`.

        Raises:
            ValueError: If the file is not an archive, is damaged or pickled, lacks projections or angles, or
                ``unit`` contradicts the name of the angles.
        """
        path, unit = file.path, options.angle_unit
        arrays = load_arrays(path, {"projections", "flat", "dark", "center", *ANGLE_UNITS})
        names = format_names(sorted(arrays)) or "nothing"
        if "projections" not in arrays:
            raise ValueError(f"{path} holds {names}; expected 'projections' (views, rows, columns)")
        if options.angles is not None:
            read, origin = read_angle_file(options.angles, unit), str(options.angles)
        else:
            keys = [key for key in ANGLE_UNITS if key in arrays]
            if not keys:
                raise ValueError(
                    f"{path} holds {names} but no angles; expected 'theta_deg' or 'theta_rad' (views,), "
                    "or give a CSV file (angles='angles.csv')"
                )
            # Of two arrays, the one in the requested unit is read and the other one compared with it.
            keys.sort(key=lambda key: ANGLE_UNITS[key] != unit)
            origin = keys[0]
            read = _read_angles(path, arrays[origin], origin, unit)
            for other in keys[1:]:
                place = f"{path}: the arrays {origin!r} and {other!r}"
                read.check_against(_read_angles(path, arrays[other], other, None), place)
        center = arrays.get("center")
        if center is not None and (center.size != 1 or center.dtype.kind not in "fiu"):
            raise ValueError(f"{path}: 'center' has shape {center.shape}; expected one detector index")
        return RawScan.create(
            arrays["projections"],
            read.theta_rad,
            kind=options.kind,
            flat=arrays.get("flat"),
            dark=arrays.get("dark"),
            center=None if center is None else float(center.item()),
            provenance={"file": str(path), "format": self.name, "angles": origin},
            warnings=read.warnings,
        )


def _read_angles(path: Path, values: np.ndarray, name: str, unit: str | None) -> Angles:
    """Angles in the array of this name, whose suffix states their unit."""
    chosen = choose_unit(unit, ANGLE_UNITS[name], f"{path}: the array {name!r}")
    try:
        return convert_angles(check_numbers(values, f"{path}: {name}"), chosen)
    except ValueError as error:
        raise ValueError(f"{path}: {name}: {error}") from error


def load_arrays(path: str | os.PathLike, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Loads the arrays of an archive safely.

    Members are never written to disk, whatever their names, and nothing is executed.

    Args:
        path: The archive.
        wanted: Names of the arrays to load; None for all.

    Returns:
        All arrays by name; those that are not wanted are empty.

    Raises:
        ValueError: If the file is not an archive, is damaged or pickled, or declares more than it can hold or
            more than there is memory.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected an .npz archive")
    with path.open("rb") as file:
        # numpy.savez writes nothing before the archive; a ZIP file in general may hold anything there.
        if file.read(2) != b"PK" or not zipfile.is_zipfile(file):
            raise ValueError(
                f"{path} is not an .npz archive, or is truncated; expected one written by numpy.savez "
                "(pickled files and single .npy arrays are not read)"
            )
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            read = {name: info for name, info in members.items() if wanted is None or name in wanted}
            plain = all([_is_plain(archive, info) for info in read.values()])
    except Exception as error:  # zipfile, its codecs and numpy raise many kinds for a damaged file
        raise ValueError(f"{path} is damaged ({error}); copy it again") from error
    if not plain:
        raise ValueError(
            f"{path} holds pickled objects, which are never loaded (they can run code); "
            "store plain arrays with numpy.savez: numbers of one type, no lists of different lengths"
        )
    nbytes = sum(info.file_size for info in read.values())
    check_declared_size(path, nbytes, "arrays")
    check_memory(path, nbytes, "arrays")
    arrays = dict.fromkeys(members, np.empty(0))
    try:
        with zipfile.ZipFile(path) as archive:
            for name, info in read.items():
                with archive.open(info) as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again") from error
    return arrays


def _is_plain(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a member is an array without Python objects.

    Raises:
        ValueError: If the array declares more than the member holds.
    """
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[version[0]](file)
        declared = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        return False
    if min(shape, default=0) < 0 or declared > member.file_size:
        raise ValueError(f"an array of shape {shape} in a member of {member.file_size} bytes")
    return True
