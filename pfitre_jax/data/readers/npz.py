"""NumPy archives: ``projections``, ``theta_deg`` or ``theta_rad``; maybe ``flat``, ``dark``, ``center``."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.readers.angles import agreed_unit, check_numbers, read_angles, to_radians
from pfitre_jax.data.readers.file_checks import check_declared, check_memory, listed

#: Names under which the angles may be stored, and their unit.
ANGLE_KEYS = {"theta_rad": "rad", "theta_deg": "deg", "angles_rad": "rad", "angles_deg": "deg"}


def read_npz(path, angles=None, unit: str | None = None, kind: str | None = None) -> RawScan:
    """Archive ``path``; its angles' unit is in their name.

    angles: CSV file whose angles replace those of the file
    unit: "deg" or "rad"; default what the name or the CSV's header says, else degrees
    kind: default "counts" where there is a flat, else "absorption"

    Raises ``FileNotFoundError``; ``ValueError`` for a file that is not an archive, is damaged or pickled, or
    lacks projections or angles; for a ``unit`` that contradicts the name.
    """
    path = Path(path)
    arrays = load_arrays(path, {"projections", "flat", "dark", "center", *ANGLE_KEYS})
    found = listed(sorted(arrays)) or "nothing"
    if "projections" not in arrays:
        raise ValueError(f"{path} holds {found}; expected 'projections' (views, rows, columns)")
    if angles is not None:
        theta_rad, origin = read_angles(angles, unit), str(angles)
    else:
        origin = next((key for key in ANGLE_KEYS if key in arrays), None)
        if origin is None:
            raise ValueError(
                f"{path} holds {found} but no angles; expected 'theta_deg' or 'theta_rad' (views,), "
                "or give a CSV file (--angles CSV)"
            )
        stated = agreed_unit(unit, ANGLE_KEYS[origin], f"{path}: the array {origin!r}")
        theta_rad = to_radians(check_numbers(arrays[origin], f"{path}: {origin}"), stated)
    center = arrays.get("center")
    if center is not None and (center.size != 1 or center.dtype.kind not in "fiu"):
        raise ValueError(f"{path}: 'center' has shape {center.shape}; expected one detector index")
    return RawScan.create(
        arrays["projections"],
        theta_rad,
        kind=kind,
        flat=arrays.get("flat"),
        dark=arrays.get("dark"),
        center=None if center is None else float(center.item()),
        provenance={"file": str(path), "format": "npz", "angles": origin},
    )


def load_arrays(path, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of archive ``path``; those whose names are not ``wanted`` stay empty.

    ``ValueError`` for a file that is no archive, is damaged or pickled, or whose arrays declare more than the
    file can hold. Members are never written to disk, whatever their names; nothing is executed.
    """
    path = Path(path)
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected an .npz archive")
    with path.open("rb") as file:
        # Whatever stands before an archive is not looked at, and is not what numpy.savez writes.
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
    check_declared(path, nbytes, "arrays")
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
    """Whether it is an array without objects; ``ValueError`` where it declares more than its member has."""
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
