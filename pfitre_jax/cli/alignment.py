"""Alignment step of ``pfitre recon``: estimates or reads an alignment, and records it beside the result."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli.progress import ProgressReporter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.estimation.alignment import Alignment

#: Files of an alignment in the folder of a result.
NAMES = ("alignment.csv", "alignment.xf", "alignment.aln", "alignment.png")


@dataclasses.dataclass(frozen=True, eq=False)
class AlignedScan:
    """A scan after its alignment.

    Attributes:
        scan: The corrected scan.
        motion: The motion that was corrected.
        summary: Entries for ``summary.json``.
        writers: Name -> function that writes a file of :data:`NAMES`; without a picture if nothing was
            estimated.
    """

    scan: Scan
    motion: Motion
    summary: Mapping[str, Any]
    writers: Mapping[str, Callable[[Path], None]]

    def add_record(self, estimated: AlignedScan) -> AlignedScan:
        """This alignment with the picture and the record of the estimation of another scan's motion."""
        record = {**estimated.summary["alignment"], **self.summary["alignment"]}
        return dataclasses.replace(
            self, summary={"alignment": record}, writers={**estimated.writers, **self.writers}
        )


def align_scan(
    scan: Scan, initial: Motion, saved: Path, drift: bool, reporter: ProgressReporter
) -> AlignedScan:
    """Estimates the motion of a scan and corrects it.

    Args:
        scan: The scan as it was measured; its centre is known.
        initial: Initial estimate of the motion.
        saved: File for the estimate while the run is in progress. If it exists, the estimate in it is used.
        drift: Whether to estimate a slow drift, see :func:`pfitre_jax.estimation.alignment.align`.
        reporter: Where to report progress.
    """
    from pfitre_jax.data.atomic_write import write_files
    from pfitre_jax.data.motion import Motion
    from pfitre_jax.estimation.alignment import align
    from pfitre_jax.plotting.style import save_png

    if saved.exists():
        return apply_alignment(scan, Motion.load(saved), reporter)
    # Refuses a motion that does not fit the scan before the long computation.
    initial.corrected(scan)
    with reporter.bar("aligning") as progress:
        alignment = align(scan, initial, drift=drift, progress=progress)
    write_files(saved.parent, {saved.name: lambda path: alignment.motion.save(path)})
    # A resumed run reads the motion from the file, rounded to its digits: use the same numbers here.
    motion = Motion.load(saved)
    figure = _draw(alignment, motion)
    aligned = apply_alignment(scan, motion, reporter)
    estimate = {"pinned": alignment.pinned, "residual": alignment.residual, "bins": alignment.levels}
    return AlignedScan(
        aligned.scan,
        motion,
        {"alignment": aligned.summary["alignment"] | estimate},
        {**aligned.writers, "alignment.png": lambda path: save_png(figure, path)},
    )


def apply_alignment(scan: Scan, motion: Motion, reporter: ProgressReporter) -> AlignedScan:
    """Corrects a scan by a known motion."""
    import numpy as np

    from pfitre_jax.data.alignment_files import write_aln, write_xf

    rows, columns = scan.rows, scan.columns
    reporter.note(
        f"alignment: roll {motion.roll_deg:.3g} degrees, shifts of {np.std(motion.shifts):.2f} bins rms "
        f"along columns and {np.std(motion.row_shifts):.2f} along rows, gain {np.std(motion.gain):.1%} rms"
    )
    summary = {
        "roll_deg": motion.roll_deg,
        "center": motion.center,
        "shifts": motion.shifts,
        "row_shifts": motion.row_shifts,
        "gain": motion.gain,
        "offset": motion.offset,
    }
    writers: dict[str, Callable[[Path], None]] = {
        "alignment.csv": lambda path: motion.save(path),
        "alignment.xf": lambda path: write_xf(path, motion, columns),
        "alignment.aln": lambda path: write_aln(path, motion, rows, columns),
    }
    return AlignedScan(motion.corrected(scan), motion, {"alignment": summary}, writers)


def _draw(alignment: Alignment, motion: Motion) -> Figure:
    import numpy as np

    from pfitre_jax.plotting.alignment import draw_alignment

    return draw_alignment(
        {
            "shift, bins": {"along columns": motion.shifts, "along rows": motion.row_shifts},
            "gain": {"gain": motion.gain},
            "offset, line integral": {"offset": motion.offset},
        },
        residual=alignment.residual,
        bin_factors=alignment.levels,
        roll_searches=alignment.rolls,
        title="alignment",
        facts=[
            f"roll {motion.roll_deg:.3g} degrees",
            f"center {motion.center:.4g}",
            f"shifts, rms: {np.std(motion.shifts):.2f} bins along columns,",
            f"    {np.std(motion.row_shifts):.2f} along rows",
            f"gain, rms: {np.std(motion.gain):.1%}",
            "",
            "not determined by the scan, kept fixed:",
            *(f"    {name}" for name in alignment.pinned),
        ],
    )
