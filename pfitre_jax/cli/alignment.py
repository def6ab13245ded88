"""The alignment of a scan on the way to its reconstruction, and what is kept of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.scan import Scan

NAMES = ("alignment.csv", "alignment.png")


@dataclasses.dataclass(frozen=True, eq=False)
class Aligned:
    """scan: mended; extra: of ``summary.json``; writers: of the files :data:`NAMES`, or of the first alone"""

    scan: Scan
    extra: dict
    writers: dict


def align_scan(
    scan, begun: Path, given: Motion | None, search: bool, drift: bool, roll_deg: float, telling
) -> Aligned:
    """``scan``, whose centre is known, with its motion mended.

    begun: where what was found lies while the run goes on, so that it goes on with the same
    given: the alignment to use, or to start from; search: whether one is looked for; drift: see
        :func:`pfitre_jax.estimation.alignment.align`
    roll_deg: to start with
    """
    import numpy as np

    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.results import write_files
    from pfitre_jax.estimation.alignment import align
    from pfitre_jax.plotting.alignment import draw_alignment

    writers, told = {}, {}
    start = Motion.none(scan.theta_rad, scan.center, roll_deg) if given is None else given
    if not search or begun.exists():
        motion = start if not search else Motion.load(begun)
    else:
        # For whatever does not fit, before it takes its time.
        start.corrected(scan)
        with telling.bar("aligning") as progress:
            found = align(scan, start, drift=drift, progress=progress)
        write_files(begun.parent, {begun.name: lambda path: found.motion.save(path)})
        # As the file says it: a run that is gone on with has no other.
        motion = Motion.load(begun)
        told = {"pinned": found.pinned, "residual": found.residual, "bins": found.levels}
        figure = draw_alignment(
            {
                "shift, bins": {"along columns": motion.shifts, "along rows": motion.row_shifts},
                "gain": {"gain": motion.gain},
                "offset, line integral": {"offset": motion.offset},
            },
            residual=found.residual,
            bin_factors=found.levels,
            roll_searches=found.rolls,
            title="alignment",
            facts=[
                f"roll {motion.roll_deg:.3g} degrees",
                f"centre {motion.center:.4g}",
                f"shifts, rms: {np.std(motion.shifts):.2f} bins along the columns,",
                f"    {np.std(motion.row_shifts):.2f} along the rows",
                f"gain, rms: {np.std(motion.gain):.1%}",
                "",
                "not told by the scan, and left out:",
                *(f"    {what}" for what in found.pinned),
            ],
        )
        writers["alignment.png"] = lambda path: figure.savefig(path, format="png")
    writers["alignment.csv"] = lambda path: motion.save(path)
    rms = lambda values: float(np.std(values))  # noqa: E731
    telling.say(
        f"aligned: roll {motion.roll_deg:.3g} degrees, shifts of {rms(motion.shifts):.2f} bins rms along the "
        f"columns, {rms(motion.row_shifts):.2f} along the rows, gain {rms(motion.gain):.1%}"
    )
    arrays = {"shifts": motion.shifts, "row_shifts": motion.row_shifts}
    arrays |= {"gain": motion.gain, "offset": motion.offset}
    extra = {"roll_deg": motion.roll_deg, "center": motion.center, **arrays, **told}
    return Aligned(motion.corrected(scan), {"alignment": extra}, writers)
