"""Checks that rotation axis, roll and alignment of a scan, as the caller states them, fit together."""

from __future__ import annotations


def check_alignment_options(
    *, align: bool, drift: bool, stored: bool, center: float | str | None, roll: float | str
) -> None:
    """Refuses options that would be ignored.

    Args:
        align: Whether the motion of the views is estimated.
        drift: Whether the motion is a slow drift.
        stored: Whether the alignment, or its initial estimate, is read from a file.
        center: Detector index of the rotation axis; None or "auto" if it is not stated.
        roll: Roll of the rotation axis, degrees, or "auto".

    Raises:
        ValueError: Two options contradict each other, or the roll is invalid.
    """
    if drift and not align:
        raise ValueError("drift=True without align=True; expected both, or neither")
    if not (align or stored):
        return
    if isinstance(roll, str):
        raise ValueError(f"roll is {roll!r} with an alignment, which has a roll of its own; leave roll out")
    if not abs(roll) < 90:
        raise ValueError(f"roll is {roll:g}; expected degrees between -90 and 90")
    if stored and center not in (None, "auto"):
        raise ValueError(
            f"center is {center} with the file of an alignment, which states it; leave center out"
        )
    if stored and roll:
        raise ValueError(f"roll is {roll:g} with the file of an alignment, which states it; leave roll out")
