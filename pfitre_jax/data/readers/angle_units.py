"""Units of angles: their names, and checks that the numbers of a file are plausible in the unit."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.geometry import SAME_VIEW_RAD, check_theta_rad

#: Radians in each unit of angles.
RADIANS = {
    "deg": np.pi / 180,
    "rad": 1.0,
    "mdeg": np.pi / 180e3,
    "mrad": 1e-3,
    "udeg": np.pi / 180e6,
    "urad": 1e-6,
    "nrad": 1e-9,
    "cdeg": np.pi / 18e3,
    "arcmin": np.pi / 180 / 60,
    "arcsec": np.pi / 180 / 3600,
    "turn": 2 * np.pi,
    "halfturn": np.pi,
    "gon": np.pi / 200,
}
#: Names of the units in messages, in the order in which they are proposed.
_NAMES = {
    "deg": "degrees",
    "rad": "radians",
    "mdeg": "millidegrees",
    "mrad": "milliradians",
    "arcmin": "arc minutes",
    "arcsec": "arc seconds",
    "turn": "turns",
}
_PREFIXES = {
    "": "",
    "m": "m",
    "milli": "m",
    "u": "u",
    "µ": "u",
    "μ": "u",
    "micro": "u",
    "n": "n",
    "nano": "n",
    "c": "c",
    "centi": "c",
}
_WITH_PREFIX = re.compile(
    r"(?P<prefix>milli|micro|nano|centi|[muµμnc])?[ _-]?(?P<base>deg(?:ree)?s?|°|º|˚|rad(?:ian)?s?)"
)
_WORDS = {
    "arcmin": r"arc[ _-]?min(ute)?s?|minutes? of arc|min(utes)? arc|moa|'|′|’",
    "arcsec": r"arc[ _-]?sec(ond)?s?|seconds? of arc|\"|″|”|''",
    "turn": r"turns?|revs?|revolutions?|full (turns?|circles?)|cycles?",
    "halfturn": r"half[ _-]?turns?",
    "gon": r"gons?|gradians?",
}
#: Degrees that ten and more views of a scan extend over, and that fewer views reach from 0, at least: two
#: turns in radians, read as degrees.
LEAST_RANGE_DEG = 4 * np.pi + 0.01
#: Degrees that the views of a scan extend over, at most, if no unit is stated.
LARGEST_RANGE_DEG = 4 * 360.0
#: Difference up to which two arrays of angles agree, radians: that of a float32 in degrees, and some digits.
_ROUNDING_RAD = 1e-4
#: Number of views from which their range is judged, and not their largest angle; from which, too, angles
#: within one turn in radians are refused even if the caller states degrees.
_MANY_VIEWS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Angles:
    """Angles of the views of a file.

    Attributes:
        theta_rad: (views,) float64, radians.
        warnings: What was assumed when they were read, one sentence each.
    """

    theta_rad: np.ndarray
    warnings: tuple[str, ...] = ()

    def check_against(self, other: Angles, place: str) -> None:
        """Checks that two sets of angles of one file agree.

        Raises:
            ValueError: If they differ by more than rounding.
        """
        same = self.theta_rad.shape == other.theta_rad.shape
        if not same or np.abs(np.sin((self.theta_rad - other.theta_rad) / 2)).max() > _ROUNDING_RAD:
            raise ValueError(
                f"{place} contradict each other; expected one array of angles, or two that agree: remove the "
                "wrong one, or give the angles as a CSV file (angles='angles.csv')"
            )


@dataclasses.dataclass(frozen=True)
class AngleUnit:
    """Unit of the angles of a file.

    Attributes:
        name: Key of :data:`RADIANS`.
        origin: Whether the caller requests it, the file states it, or neither does and degrees are assumed.
    """

    name: str = "deg"
    origin: Literal["requested", "stated", "assumed"] = "assumed"


def find_unit(text: str) -> str | None:
    """The unit, a key of :data:`RADIANS`, with this name, abbreviation or sign; None for any other text.

    >>> find_unit("Degrees"), find_unit("mrad"), find_unit("milli-radian"), find_unit("counts")
    ('deg', 'mrad', 'mrad', None)
    """
    word = " ".join(text.strip().lower().rstrip(".").split())
    match = _WITH_PREFIX.fullmatch(word)
    if match:
        base = "rad" if match["base"].startswith("rad") else "deg"
        name = _PREFIXES[match["prefix"] or ""] + base
        return name if name in RADIANS else None
    return next((name for name, pattern in _WORDS.items() if re.fullmatch(pattern, word)), None)


def choose_unit(requested: str | None, stated: str | None, place: str) -> AngleUnit:
    """The unit that the caller requests, else the one that the file states, else degrees.

    Args:
        requested: Key of :data:`RADIANS`, or None.
        stated: The unit as the file states it, or None or "" if it states none.
        place: Place in the file that states the unit, for the message.

    Raises:
        ValueError: If they contradict each other, or one of them is no unit of angles.
    """
    if requested is not None and requested not in RADIANS:
        raise ValueError(f"the angle unit is {requested!r}; expected {_listing()}")
    known = find_unit(stated) if stated else None
    if not stated:
        return AngleUnit() if requested is None else AngleUnit(requested, "requested")
    if requested is None and known is None:
        ambiguous = " ('grad' is degrees or gradians)" if stated.lower().startswith("grad") else ""
        raise ValueError(
            f"{place} is in {stated!r}, which is no known unit of angles{ambiguous}; expected {_listing()}: "
            "convert the angles, or state their unit (angle_unit='deg')"
        )
    if requested is None:
        assert known is not None
        return AngleUnit(known, "stated")
    if known is not None and known != requested:
        raise ValueError(
            f"{place} is in {known!r} but the angle unit is {requested!r}; "
            f"omit the unit, or use angle_unit={known!r}"
        )
    return AngleUnit(requested, "requested")


def to_radians(
    values: ArrayLike, unit: AngleUnit | str | None = None, *, complete: bool = True
) -> np.ndarray:
    """Converts angles to radians.

    Args:
        values: (views,), angles as stored.
        unit: Their unit; a name counts as requested by the caller, None as degrees that are assumed.
        complete: Whether these are all views of a scan; the first views of a growing scan may be alike.

    Returns:
        (views,) float64, radians. Angles in other units than radians are reduced to less than one turn.

    Raises:
        ValueError: If the angles are not finite, all the same, or implausible in the unit: less than
            :data:`LEAST_RANGE_DEG` or more than :data:`LARGEST_RANGE_DEG`, radians beyond two turns, or
            integers that have wrapped around.
    """
    return convert_angles(values, unit, complete=complete).theta_rad


def convert_angles(
    values: ArrayLike, unit: AngleUnit | str | None = None, *, complete: bool = True
) -> Angles:
    """As :func:`to_radians`, with warnings."""
    if not isinstance(unit, AngleUnit):
        unit = choose_unit(unit, None, "")
    values = np.asarray(values)
    _check_wrapped(values)
    values = values.astype(float)
    if values.ndim != 1 or not np.isfinite(values).all() or values.size == 0:
        return Angles(check_theta_rad(values))
    if unit.name == "rad":
        check_theta_rad(values)
    theta = values * RADIANS[unit.name]
    _check_range(values, theta, unit, complete)
    # Goniometers count turns: more than two turns are not an error. Radians are not reduced, because they
    # were within two turns.
    reduced = theta if unit.name == "rad" else np.fmod(theta, 2 * np.pi)
    warnings = []
    turns = np.ptp(theta) / (2 * np.pi)
    if unit.origin == "stated" and turns > LARGEST_RANGE_DEG / 360:
        warnings.append(
            f"the file states {_name(unit.name)}, in which the angles extend over {turns:.0f} turns; check "
            "whether its unit is right (if not, give the angles as a CSV file, angles='angles.csv')"
        )
    if unit.origin == "assumed" and turns > 1.01:
        warnings.append(
            f"the angles extend over {turns:.1f} turns and their unit is not stated; degrees are assumed "
            "(angle_unit='deg' if this is right)"
        )
    return Angles(reduced, tuple(warnings))


def _check_range(values: np.ndarray, theta: np.ndarray, unit: AngleUnit, complete: bool) -> None:
    """Raises ``ValueError`` if the views extend over an implausible range."""
    span = np.rad2deg(np.ptp(theta))
    if complete and theta.size > 1 and span <= np.rad2deg(SAME_VIEW_RAD):
        raise ValueError(
            f"all {theta.size} views have the same angle, {values[0]:g} {_name(unit.name)}; expected the "
            "angle of each view: is this the right column or dataset?"
        )
    many = complete and theta.size >= _MANY_VIEWS
    largest = np.rad2deg(np.abs(theta).max())
    # A few views may be close together, but radians are also close to 0.
    extent = span if many else largest
    doubtful = unit.origin != "requested"
    if complete and doubtful and 0 < extent <= LEAST_RANGE_DEG:
        _refuse(values, unit)
    if many and unit.name == "deg" and 0 < largest <= 2 * np.pi + 0.01:
        _refuse(values, unit)
    steps = np.rad2deg(np.abs(np.diff(theta)))
    if (unit.origin == "assumed" and span > LARGEST_RANGE_DEG) or (
        doubtful and span > LARGEST_RANGE_DEG and np.median(steps) > 180
    ):
        _refuse(values, unit)


def _refuse(values: np.ndarray, unit: AngleUnit) -> None:
    span = float(np.ptp(values)) if values.size > 1 else float(np.abs(values).max())
    plausible = [
        name
        for name in _NAMES
        if name != unit.name and LEAST_RANGE_DEG < np.rad2deg(span * RADIANS[name]) <= LARGEST_RANGE_DEG / 2
    ]
    # Radians and degrees are by far the most frequent units.
    if unit.name == "deg" and np.abs(values).max() <= LEAST_RANGE_DEG:
        plausible = ["rad"]
    names = " or ".join(_NAMES[name] for name in plausible)
    looks = f"; these look like {names}" if names else ""
    units = " or ".join(f"angle_unit={name!r}" for name in plausible)
    state = f", or {units}" if units else ""
    sure = "" if unit.origin == "requested" else f" (angle_unit={unit.name!r} if they are right)"
    raise ValueError(
        f"the angles reach from {values.min():g} to {values.max():g} {_name(unit.name)}{looks}: expected "
        f"a plausible range of a tomography scan: check the angles{sure}{state}"
    )


def _check_wrapped(values: np.ndarray) -> None:
    """Raises ``ValueError`` if integers have wrapped around: a jump by 2^bits between neighbouring views."""
    if values.ndim != 1 or values.size < 3 or values.dtype.kind not in "iuf":
        return
    numbers = values.astype(float)
    if not np.isfinite(numbers).all() or np.any(numbers != np.round(numbers)):
        return
    steps = np.diff(numbers)
    size = np.abs(steps)
    # Angles of 8 bits are only recognised by their type: a jump by 256 degrees may be a new sweep.
    widths = (8,) * (values.dtype.itemsize == 1) + (16, 32, 64)
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind == "u" and bits > 8 and numbers.min() > 2.0 ** (bits - 1):
        raise ValueError(
            f"the angles {numbers.min():.0f} to {numbers.max():.0f} are negative numbers stored as unsigned "
            f"integers of {bits} bits; expected signed numbers: save the angles as floating-point numbers"
        )
    for bits in widths:
        jumps = size > 2.0 ** (bits - 1)
        if not jumps.any() or jumps.all():
            continue
        typical = np.median(size[~jumps])
        if np.ptp(numbers) < 2.0**bits and np.all(np.abs(2.0**bits - size[jumps]) <= 2 * typical + 1):
            view = int(np.flatnonzero(jumps)[0])
            raise ValueError(
                f"the angle jumps from {numbers[view]:.0f} to {numbers[view + 1]:.0f} after view {view}, as "
                f"integers of {bits} bits do that wrap around; expected signed numbers that are large "
                "enough: save the angles as floating-point numbers"
            )


def _name(unit: str) -> str:
    return _NAMES.get(unit, unit)


def _listing() -> str:
    names = [repr(name) for name in RADIANS]
    return ", ".join(names[:-1]) + " or " + names[-1]
