"""NumPy archives: ``projections``, ``theta_deg`` or ``theta_rad``; maybe ``flat``, ``dark``, ``center``."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pfitre_jax.io.angles import agreed_unit, check_numbers, read_angles, to_radians
from pfitre_jax.io.raw import RawScan

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
    arrays = _load(path)
    found = ", ".join(sorted(arrays)) or "nothing"
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


def _load(path: Path) -> dict[str, np.ndarray]:
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected an .npz archive")
    wanted = {"projections", "flat", "dark", "center", *ANGLE_KEYS}
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is not an .npz archive, or is truncated; expected one written by numpy.savez "
            "(pickled files and single .npy arrays are not read)"
        )
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = archive[name] if name in wanted else np.empty(0)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again") from error
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise ValueError(f"{path} is damaged ({error}); copy it again") from error
        raise ValueError(
            f"{path} holds pickled objects, which are never loaded (they can run code); "
            "store plain arrays with numpy.savez: numbers of one type, no lists of different lengths"
        ) from error
    return arrays
