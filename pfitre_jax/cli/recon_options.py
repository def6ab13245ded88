"""Options of ``pfitre recon``: their values, and what follows from them before the scan is read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli import options
from pfitre_jax.cli.options.parsing import parse_air, parse_names, parse_number
from pfitre_jax.data.sample_files import sample_path

if TYPE_CHECKING:
    from pfitre_jax.data.alignment_files import AlignmentFile
    from pfitre_jax.reconstruction.intervals import Intervals
    from pfitre_jax.reconstruction.method_settings import Settings
    from pfitre_jax.reconstruction.result_checks import Checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconOptions:
    """Options of ``pfitre recon``; each field is an option, described in :mod:`pfitre_jax.cli.options`."""

    scan: options.OptionalScanPath = None
    sample: options.Sample = None
    angles: options.Angles = None
    angle_unit: options.AngleUnit = None
    element: options.Elements = None
    dataset: options.Dataset = None
    theta_path: options.ThetaPath = None
    axis_order: options.AxisOrder = None
    data: options.Data = None
    rows: options.Rows = None
    views: options.Views = None
    exclude_views: options.ExcludeViews = None
    mask_nan: options.MaskNan = False
    center: options.Center = "auto"
    roll: options.Roll = "0"
    pixel_size: options.PixelSize = None
    method: options.Method = "pfitre"
    prior: options.Prior = None
    iterations: options.Iterations = None
    rho: options.Rho = None
    tv_weight: options.TVWeight = None
    joint: options.Joint = False
    adapt: options.Adapt = False
    adapt_minutes: options.AdaptMinutes = None
    air: options.Air = "auto"
    robust: options.Robust = None
    photons: options.Photons = None
    stripes: options.Stripes = False
    gains: options.Gains = False
    support: options.Support = "auto"
    align: options.Align = False
    drift: options.Drift = False
    alignment: options.AlignmentFile = None
    align_on: options.AlignOn = None
    validate: options.Validate = False
    resolution: options.Resolution = False
    intervals: options.Intervals = "quick"
    formats: options.Formats = None
    out: options.OutFolder
    report: options.Report = False
    overwrite: options.Overwrite = False
    quiet: options.Quiet = False
    json_log: options.JsonLog = False
    memory: options.Memory = None
    memory_check: options.MemoryCheck = False
    coordinator: options.Coordinator = None
    num_processes: options.NumProcesses = None
    process_id: options.ProcessId = None

    def check(self) -> None:
        """Checks that the options fit together and that the output folder can be written.

        Raises:
            ValueError: Two options contradict each other, or a value is invalid.
            OSError: The output folder cannot be written.
        """
        source = self.source
        if self.memory is not None and not 0 < self.memory < 1e6:
            raise ValueError(f"--memory is {self.memory:g}; expected GiB, more than 0")
        if self.adapt_minutes is not None and not self.adapt:
            raise ValueError("--adapt-minutes without --adapt; expected both, or neither")
        if source.is_dir() and source.resolve() == self.out.resolve():
            raise ValueError(
                f"--out is {self.out}, the folder of the scan; expected another folder for the results"
            )
        self.check_output()
        self._check_geometry()

    def check_output(self) -> None:
        """Checks that the output folder can be written, and that no file of another program is lost.

        Raises:
            OSError: It cannot, or a file would be lost.
        """
        from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable

        check_output_folder(self.out, self.output_names)
        words = (self.prior, self.support)
        inputs = [self.source, self.angles, self.alignment, *(Path(word) for word in words if word)]
        check_replaceable(self.out, self.output_names, inputs=inputs, overwrite=self.overwrite)

    def _check_geometry(self) -> None:
        """Checks that centre, roll and alignment fit together."""
        from pfitre_jax.data.alignment_checks import check_alignment_options

        if self.align_on is not None and self.element is None:
            raise ValueError(
                f"--align-on is {self.align_on}, without --element; expected both: name the elements to "
                "reconstruct"
            )
        check_alignment_options(
            align=self.align,
            drift=self.drift,
            stored=self.alignment is not None,
            center=self.center_value,
            roll=self.roll_value,
        )

    @functools.cached_property
    def source(self) -> Path:
        """The scan file, or the folder of the scan."""
        if self.scan is not None and self.sample is None:
            return self.scan
        if self.sample is not None and self.scan is None:
            return sample_path(self.sample)
        raise ValueError("expected either a SCAN or --sample chip: give one of them")

    @property
    def output_names(self) -> list[str]:
        """Names of the files of a result."""
        from pfitre_jax.reconstruction.file_names import ADAPTATION_FILES, REPORT, REQUIRED_FILES

        names = [*REQUIRED_FILES, "preview.png", *(alignment_step.NAMES if self.aligned else ())]
        if self.several_elements:
            return names
        names += self.exports
        return [*names, *(ADAPTATION_FILES if self.adapt else ()), *((REPORT,) if self.report else ())]

    @property
    def inputs(self) -> dict[str, Any]:
        """Path, size and hash of the input files, by role."""
        from pfitre_jax.data.input_files import describe_input
        from pfitre_jax.data.readers.registry import list_files

        inputs = {"scan": describe_input(self.source, list_files(self.source))}
        files = {"angles": self.angles, "alignment": self.alignment}
        # The name of a shipped prior, or of a shape of the support, is no file.
        files |= {"prior": Path(self.prior) if self.prior else None, "support": Path(self.support)}
        for role, path in files.items():
            if path is not None and path.is_file():
                inputs[role] = describe_input(path, [path])
        return inputs

    @functools.cached_property
    def saved_formats(self) -> tuple[str, ...]:
        """Formats of the slices."""
        from pfitre_jax.reconstruction.file_names import FORMATS

        return FORMATS if self.formats is None else parse_names(self.formats)

    @functools.cached_property
    def exports(self) -> dict[str, str]:
        """Format of each file of slices beside ``recon.h5``, by its name.

        Raises:
            ValueError: A format is unknown, or its package is not installed.
        """
        from pfitre_jax.data.writers.registry import find_writers
        from pfitre_jax.reconstruction.exported_images import export_name

        return {export_name("slices", writer): writer.name for writer in find_writers(self.saved_formats)}

    @property
    def several_elements(self) -> bool:
        """Whether the elements are reconstructed into folders of their own."""
        return self.element is not None and ("," in self.element or self.element.strip().lower() == "all")

    def of_element(self, name: str, out: Path) -> ReconOptions:
        """The options of one of the elements, with its output folder."""
        return dataclasses.replace(self, element=name, out=out, align_on=None)

    @property
    def aligned(self) -> bool:
        """Whether the motion of the views is corrected."""
        return self.align or self.alignment is not None

    @functools.cached_property
    def stored_alignment(self) -> AlignmentFile | None:
        """The alignment in the file ``--alignment``."""
        from pfitre_jax.data.alignment_files import read_alignment

        return None if self.alignment is None else read_alignment(self.alignment)

    @functools.cached_property
    def center_value(self) -> float | None:
        """Detector index of the rotation axis; None for "auto"."""
        return parse_number(self.center, "--center", None)

    @functools.cached_property
    def roll_value(self) -> float | str:
        """Roll of the rotation axis, degrees, or "auto"."""
        return parse_number(self.roll, "--roll", "auto")

    @property
    def memory_limit(self) -> int | None:
        """Memory limit in bytes, or None."""
        return None if self.memory is None else int(self.memory * 2**30)

    @property
    def checks(self) -> Checks:
        """Checks of the result."""
        from pfitre_jax.reconstruction.result_checks import Checks

        return Checks(self.validate, self.resolution)

    @functools.cached_property
    def settings(self) -> Settings:
        """Settings of the method."""
        from pfitre_jax.reconstruction.method_settings import Settings
        from pfitre_jax.training.adaptation_settings import AdaptationSettings

        return Settings.create(
            self.method,
            joint=self.joint,
            prior=self.prior,
            iterations=self.iterations,
            rho=parse_number(self.rho, "--rho", "auto"),
            weight=parse_number(self.tv_weight, "--tv-weight", "auto"),
            robust=self.robust,
            photons=self.photons,
            stripes=self.stripes,
            gains=self.gains,
            support=self.support,
            adaptation=AdaptationSettings(minutes=self.adapt_minutes) if self.adapt else None,
        )

    @functools.cached_property
    def chosen_intervals(self) -> tuple[Intervals | None, str]:
        """The intervals of the pixels, and why there are none, in words.

        Raises:
            ValueError: ``--intervals full`` where there is no calibrated table.
        """
        from pfitre_jax.reconstruction.intervals import Intervals

        chosen, reason = Intervals.choose(self.settings, self.intervals)
        if self.intervals == "full" and chosen is None:
            raise ValueError(f"--intervals full, but {reason}; expected --intervals quick or off")
        return chosen, reason

    @property
    def read_options(self) -> dict[str, Any]:
        """Arguments of :func:`pfitre_jax.load_scan`, without the file of the angles."""
        return {
            "angle_unit": self.angle_unit,
            "element": self.element,
            "dataset": self.dataset,
            "theta_path": self.theta_path,
            "axis_order": self.axis_order,
            "data": self.data,
            "center": self.center_value,
            "roll": self.roll_value,
            "pixel_size": self.pixel_size,
            "views": self.views,
            "exclude_views": self.exclude_views,
            "mask_nan": self.mask_nan,
            "air": parse_air(self.air),
        }

    @property
    def identity(self) -> dict[str, Any]:
        """Input and options that the result depends on."""
        from pfitre_jax.reconstruction import run_identity

        files: Mapping[str, Any] = {
            "scan": self.source,
            "angles": self.angles,
            "alignment": self.alignment,
        }
        names = ("rows", "joint", "align", "drift", "align_on", "validate", "resolution")
        intervals, _ = self.chosen_intervals
        values = {name: getattr(self, name) or None for name in names}
        values["intervals"] = None if intervals is None else f"{intervals.kind} {intervals.digest}"
        return run_identity.identify(files, self.read_options | values, self.settings)
