"""``pfitre recon`` for several elements of a scan: one geometry, a run for each element, and an overview."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.obsolete_files import earlier_element_folders
from pfitre_jax.cli.recon_options import ReconOptions
from pfitre_jax.cli.recon_run import ReconRun

if TYPE_CHECKING:
    from pfitre_jax.cli.alignment import AlignedScan
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.elements import Reference, SharedGeometry


@dataclasses.dataclass(frozen=True)
class ElementsRun:
    """A reconstruction of the elements in ``--element`` with the geometry of those in ``--align-on``.

    Attributes:
        run: The run with the options of the command, in the output folder that holds those of the elements.
    """

    run: ReconRun

    @property
    def options(self) -> ReconOptions:
        """Options of the command."""
        return self.run.options

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of the elements as the scan has them."""
        return self._find(self.options.element or "")

    @functools.cached_property
    def folders(self) -> dict[str, Path]:
        """Output folder of each element, by name."""
        from pfitre_jax.reconstruction.file_names import element_folders

        if not self.options.several_elements:
            return dict.fromkeys(self.names, self.options.out)
        return {name: self.options.out / folder for name, folder in element_folders(self.names).items()}

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """Input and settings that identify the results."""
        return self.options.identity | {"element": ",".join(sorted(self.names))}

    @functools.cached_property
    def reference(self) -> Reference:
        """Elements whose geometry is that of all."""
        from pfitre_jax.reconstruction.elements import Reference
        from pfitre_jax.reconstruction.scan_loading import open_scan

        options = self.options

        def preview(name: str) -> Scan:
            changes = {"element": name, "roll": 0.0}
            return open_scan(
                options.source, angles=options.angles, preview=True, **options.read_options | changes
            )

        return Reference.choose(self.names, options.align_on, self._find, preview)

    def check_memory(self) -> None:
        """Prints the required and the available memory and disk space."""
        self._element(self.reference.names[0]).check_memory(len(self.names))

    def reconstruct(self) -> bool:
        """Reconstructs the elements that are not finished, and writes the overview.

        The caller holds the lock of the output folder.

        Returns:
            Whether every row of an element diverged.

        Raises:
            ComputationError: A step failed.
        """
        from pfitre_jax.reconstruction import run_state

        options, team, reporter = self.options, self.run.team, self.run.reporter
        several = options.several_elements
        if several and run_state.is_complete(options.out, self.identity, options.overwrite):
            run_state.remove_partial(options.out, self.identity)
            reporter.note(
                f"{options.out} already contains these results; use --overwrite to compute them again"
            )
            for run in map(self._element, self.names):
                # An element without signal has no result.
                if run.options.out.exists():
                    run.add_outputs()
            return False
        reference = self.reference
        for name, reason in reference.without_signal.items():
            reporter.warn([f"{name} is left out: {reason.split(';')[0]}"])
        names = [name for name in self.names if name in reference.signals]
        reporter.note(self._geometry_text)
        if several and self._begin(names):
            reporter.note("resuming: finished elements are kept")
        geometry, aligned, scan = self._geometry()
        prior = self._choose_prior(scan)
        diverged = False
        for number, name in enumerate(names, 1):
            reporter.note(f"element {name} ({number} of {len(names)})")
            reporter.event("element", name=name, number=number, total=len(names))
            element = dataclasses.replace(self._element(name, geometry, aligned), prior_choice=prior)
            diverged |= self._reconstruct(element)
        if several and team.first:
            self._write_overview(names, aligned)
        return diverged

    def _find(self, requested: str) -> list[str]:
        from pfitre_jax.reconstruction.elements import find_elements

        options = self.options
        return find_elements(
            options.source, requested, dataset=options.dataset, axis_order=options.axis_order
        )

    @property
    def _geometry_text(self) -> str:
        """Where the geometry comes from, in words."""
        signals = self.reference.signals
        levels = ", ".join(f"{name} {signal.ratio:.3g}" for name, signal in signals.items())
        quantity = "alignment" if self.options.aligned else "rotation axis"
        return f"{quantity} of all elements: that of {self.reference.text} (signal-to-noise ratio {levels})"

    def _element(
        self, name: str, geometry: SharedGeometry | None = None, reference: AlignedScan | None = None
    ) -> ReconRun:
        """The run of an element."""
        return dataclasses.replace(
            self.run, options=self._options_of(name), geometry=geometry, reference=reference
        )

    def _options_of(self, name: str) -> ReconOptions:
        # The element whose geometry is that of all need not be reconstructed.
        return self.options.of_element(name, self.folders.get(name, self.options.out))

    def _element_identity(self, name: str) -> Mapping[str, Any]:
        """Identity of the run of an element, see :attr:`ReconRun.identity`."""
        return self._options_of(name).identity | {"align_on": list(self.reference.names)}

    def _begin(self, names: list[str]) -> bool:
        """Records that the run is in progress; whether it was before.

        Raises:
            ValueError: The folder of an element holds another result.
            FileExistsError: A file of another program would be lost.
        """
        from pfitre_jax.reconstruction import run_state

        options, team = self.options, self.run.team
        with team.step():
            if options.overwrite and team.first:
                run_state.remove_partial(options.out)
            in_progress = run_state.in_progress(options.out, self.identity)
            for name in names:
                element = self._options_of(name)
                element.check_output()
                if not in_progress:
                    run_state.is_complete(element.out, self._element_identity(name), options.overwrite)
        if team.first:
            prior = run_state.chosen_prior(options.out, self.identity)
            run_state.begin(options.out, self.identity, prior)
        return in_progress

    def _choose_prior(self, scan: Scan) -> Mapping[str, Any] | None:
        """The prior of all elements, which the aligned reference chooses with ``--prior auto``; else None."""
        from pfitre_jax.reconstruction import run_state
        from pfitre_jax.reconstruction.prior_selection import select_prior

        options, team = self.options, self.run.team
        settings, several = options.settings, options.several_elements
        if not settings.prior_candidates:
            return None
        choice = run_state.chosen_prior(options.out, self.identity) if several else None
        if choice is None:
            with computation():
                choice = select_prior(scan, settings).record()
            if several and team.first:
                run_state.begin(options.out, self.identity, choice)
        self.run.reporter.note(f"prior of all elements: {choice['reason']}")
        return choice

    def _geometry(self) -> tuple[SharedGeometry, AlignedScan | None, Scan]:
        """Axis, roll and motion of all elements, the aligned reference, and its scan."""
        from pfitre_jax.data.roll import correct_roll
        from pfitre_jax.reconstruction.elements import SharedGeometry
        from pfitre_jax.reconstruction.scan_axis import with_center, with_roll

        options, stored = self.options, self.options.stored_alignment
        reference = self.reference
        summed = len(reference.names) > 1
        # The roll of a sum is corrected after the sum.
        roll = "0" if summed else options.roll

        def load(name: str) -> Scan:
            element = dataclasses.replace(options, element=name, roll=roll)
            return dataclasses.replace(self.run, options=element).input.open()

        scan = reference.scan(load)
        if stored is not None:
            scan = scan.with_center(stored.motion(scan.theta_rad, scan.columns).center)
        elif summed and not options.aligned:
            value = options.roll_value
            scan = with_roll(scan) if value == "auto" else correct_roll(scan, float(value))
        scan = with_center(scan)
        aligned = self.run.input.align(scan)
        motion = None if aligned is None else aligned.motion
        geometry = SharedGeometry.of(reference, scan, motion)
        return geometry, aligned, scan if aligned is None else aligned.scan

    def _reconstruct(self, run: ReconRun) -> bool:
        """Reconstructs an element, unless it is finished; whether every row diverged."""
        from pfitre_jax.data.folder_lock import lock_folder
        from pfitre_jax.reconstruction import run_state

        options = run.options
        if not self.options.several_elements:
            return run.reconstruct()
        # The run owns the folders of its elements since it has begun.
        if run_state.holds_other_run(options.out, run.identity):
            run = dataclasses.replace(run, options=dataclasses.replace(options, overwrite=True))
        lock = lock_folder(options.out, run.command) if run.team.first else contextlib.nullcontext()
        with lock:
            return run.reconstruct()

    def _write_overview(self, names: list[str], aligned: AlignedScan | None) -> None:
        """Writes the files about all elements, and removes the record of the run in progress."""
        from pfitre_jax.cli.console import print_paths
        from pfitre_jax.reconstruction import run_identity, run_state
        from pfitre_jax.reconstruction.element_overview import save_overview

        options, reference = self.options, self.reference
        earlier = earlier_element_folders(options.out, [self.folders[name].name for name in names])
        if earlier:
            self.run.reporter.warn(
                [
                    f"{options.out} still has the folders {', '.join(earlier)} of an earlier run, which are "
                    "no part of this result; remove them"
                ]
            )
        with computation():
            paths = save_overview(
                options.out,
                {name: self.folders[name] for name in names},
                title=f"{options.source.name}, {len(names)} elements",
                writers={} if aligned is None else aligned.writers,
                overwrite=options.overwrite,
                extra={
                    "align_on": list(reference.names),
                    "signal_to_noise": {name: signal.ratio for name, signal in reference.signals.items()},
                    "without_signal": reference.without_signal,
                    **({} if aligned is None else aligned.summary),
                    run_identity.IDENTITY: self.identity,
                    "command": self.run.command,
                    "complete": True,
                },
            )
            run_state.remove_partial(options.out)
        self.run.reporter.event("done", files=[str(path) for path in paths])
        if self.run.reporter.for_person:
            print_paths(paths)
