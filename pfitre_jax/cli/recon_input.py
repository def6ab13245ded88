"""The scan of ``pfitre recon``: reading, rotation axis and alignment of one channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli.console import describe_scan
from pfitre_jax.cli.progress import ProgressReporter
from pfitre_jax.cli.recon_options import ReconOptions

if TYPE_CHECKING:
    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.elements import SharedGeometry
    from pfitre_jax.runtime.processes import Team


@dataclasses.dataclass(frozen=True)
class ReconInput:
    """Reads and aligns a channel.

    Attributes:
        options: Options of the command.
        team: Processes that share the rows.
        reporter: Where to report progress.
        identity: Input and settings that identify the run.
        geometry: Axis, roll and motion of all elements; None to estimate them from this channel.
        reference: The aligned scan that the motion was estimated from, whose picture is kept; or None.
    """

    options: ReconOptions
    team: Team
    reporter: ProgressReporter
    identity: Mapping[str, Any]
    geometry: SharedGeometry | None = None
    reference: AlignedScan | None = None

    def read(self) -> tuple[Scan, slice]:
        """The scan with a known centre, and the rows to reconstruct.

        Raises:
            ValueError: The scan or an option is invalid.
        """
        from pfitre_jax.data.selection import resolve_rows

        settings = self.options.settings
        scan = self.open()
        settings.check_support(scan.columns)
        rows = resolve_rows(self.options.rows, scan.rows)
        self.options.checks.require_views(scan, settings)
        scan = self._with_axis(scan)
        settings.check_faces(scan)
        self.reporter.note(describe_scan(scan))
        _, without = self.options.chosen_intervals
        if without:
            self.reporter.note(f"no intervals: {without}")
        return scan, rows

    def open(self) -> Scan:
        """The scan; its projections stay in the file unless they are needed as a whole."""
        from pfitre_jax.reconstruction.scan_loading import load_scan, open_scan

        options, geometry = self.options, self.geometry
        source, angles, read_options = options.source, options.angles, options.read_options
        if geometry is not None:
            read_options |= {"center": geometry.center, "roll": geometry.roll_deg}
        if options.aligned:
            # The roll of an aligned scan is corrected together with the shifts, by a single interpolation.
            return load_scan(source, angles=angles, **read_options | {"roll": 0.0})
        if read_options["roll"] == "auto":
            return load_scan(source, angles=angles, **read_options)
        with self.reporter.bar("reading the scan", transient=True) as progress:
            return open_scan(source, angles=angles, progress=progress, **read_options)

    def _with_axis(self, scan: Scan) -> Scan:
        """The scan with a known centre: that of the common geometry, of the alignment, or its own."""
        from pfitre_jax.reconstruction.scan_axis import with_center

        stored = self.options.stored_alignment
        if self.geometry is not None:
            return self.geometry.axis_of(scan)
        if stored is not None:
            return scan.with_center(stored.motion(scan.theta_rad, scan.columns).center)
        return with_center(scan)

    def align(self, scan: Scan) -> AlignedScan | None:
        """Aligns the scan, by estimation or by a known motion; None where it is not to be aligned.

        The first process estimates the motion; the others read it from its file.
        """
        from pfitre_jax.data.motion import Motion
        from pfitre_jax.reconstruction import file_names, run_identity

        options, stored = self.options, self.options.stored_alignment
        if not options.aligned:
            return None
        if self.geometry is not None:
            motion, scan = self.geometry.motion_of(options.element, scan)
            aligned = alignment_step.apply_alignment(scan, motion, self.reporter)
            return aligned if self.reference is None else aligned.add_record(self.reference)
        assert scan.center is not None
        if stored is None:
            initial = Motion.none(scan.theta_rad, scan.center, float(options.roll_value))
        else:
            initial = stored.motion(scan.theta_rad, scan.columns)
            initial, notes = initial.of_element(scan.provenance.get("element"))
            self.reporter.warn(notes)
        if not options.align:
            return alignment_step.apply_alignment(scan, initial, self.reporter)
        # The name contains the identity of the run, so that no other run's estimate is used.
        saved = options.out / file_names.PARTIAL / f"alignment-{run_identity.digest(self.identity)}.csv"

        def align() -> AlignedScan:
            return alignment_step.align_scan(scan, initial, saved, options.drift, self.reporter)

        with self.team.step():
            first = align() if self.team.first else None
        return first or align()
