"""``pfitre recon``: reconstruction of a scan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pfitre_jax.cli import alignment as alignment_step
from pfitre_jax.cli import options
from pfitre_jax.cli.app import RECONSTRUCTION_PANEL, command, command_line
from pfitre_jax.cli.console import describe_scan
from pfitre_jax.cli.errors import ComputationError
from pfitre_jax.cli.options import parse_number
from pfitre_jax.cli.progress import ProgressReporter
from pfitre_jax.cli.recon_run import ReconRun
from pfitre_jax.cli.samples import read_truth, sample_path

if TYPE_CHECKING:
    from pfitre_jax.data.motion import Motion
    from pfitre_jax.data.scan import Scan


@command(RECONSTRUCTION_PANEL)
def recon(
    ctx: typer.Context,
    scan: options.OptionalScanPath = None,
    *,
    sample: options.Sample = None,
    angles: options.Angles = None,
    angle_unit: options.AngleUnit = None,
    element: options.Element = None,
    dataset: options.Dataset = None,
    theta_path: options.ThetaPath = None,
    axis_order: options.AxisOrder = None,
    data: options.Data = None,
    rows: options.Rows = None,
    views: options.Views = None,
    exclude_views: options.ExcludeViews = None,
    mask_nan: options.MaskNan = False,
    center: options.Center = "auto",
    roll: options.Roll = "0",
    pixel_size: options.PixelSize = None,
    method: options.Method = "pfitre",
    prior: options.Prior = None,
    iterations: options.Iterations = None,
    rho: options.Rho = None,
    tv_weight: options.TVWeight = None,
    joint: options.Joint = False,
    adapt: options.Adapt = False,
    adapt_minutes: options.AdaptMinutes = None,
    air: options.Air = "auto",
    robust: options.Robust = None,
    photons: options.Photons = None,
    stripes: options.Stripes = False,
    gains: options.Gains = False,
    support: options.Support = "auto",
    align: options.Align = False,
    drift: options.Drift = False,
    alignment: options.AlignmentFile = None,
    validate: options.Validate = False,
    resolution: options.Resolution = False,
    out: options.OutFolder,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    json_log: options.JsonLog = False,
    memory: options.Memory = None,
    memory_check: options.MemoryCheck = False,
    coordinator: options.Coordinator = None,
    num_processes: options.NumProcesses = None,
    process_id: options.ProcessId = None,
) -> None:
    """Reconstruct a scan.

    Reads SCAN and writes to DIR: recon.h5 and recon.tif (slices),
    preview.png, summary.json; alignment.csv and .png if views were
    aligned; prior.npz and adaptation.png with --adapt. An interrupted run
    resumes when the command is repeated.

    Examples:
    pfitre recon --sample chip --out out
    pfitre recon scan.tiff --angles angles.csv --center 75 --out out
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable
    from pfitre_jax.data.folder_lock import lock_folder
    from pfitre_jax.reconstruction.file_names import ADAPTATION_FILES, RESULT_FILES

    source = _source(scan, sample)
    if memory is not None and not 0 < memory < 1e6:
        raise ValueError(f"--memory is {memory:g}; expected GiB, more than 0")
    if adapt_minutes is not None and not adapt:
        raise ValueError("--adapt-minutes without --adapt; expected both, or neither")
    if source.is_dir() and source.resolve() == out.resolve():
        raise ValueError(f"--out is {out}, the folder of the scan; expected another folder for the results")
    names = [*RESULT_FILES, "preview.png", *(alignment_step.NAMES if align or alignment else ())]
    names += ADAPTATION_FILES if adapt else ()
    check_output_folder(out, names)
    inputs = [source, angles, alignment, *(Path(word) for word in (prior, support) if word is not None)]
    check_replaceable(out, names, inputs=inputs, overwrite=overwrite)
    center_value = parse_number(center, "--center", None)
    roll_value = parse_number(roll, "--roll", "auto")
    rho_value = parse_number(rho, "--rho", "auto")
    weight_value = parse_number(tv_weight, "--tv-weight", "auto")
    aligned = align or alignment is not None
    motion = _check_alignment(align, drift, alignment, center_value, roll_value)
    if motion is not None:
        center_value = motion.center
    start = time.perf_counter()

    from pfitre_jax.data.selection import resolve_rows
    from pfitre_jax.reconstruction import api, checkpoint, methods
    from pfitre_jax.reconstruction.result_checks import Checks
    from pfitre_jax.runtime.processes import join
    from pfitre_jax.training.adaptation import AdaptationSettings

    # Processes are joined before anything, such as a prior's weights, is put on a device.
    team = join(coordinator, num_processes, process_id)
    settings = methods.Settings.create(
        method,
        joint=joint,
        prior=prior,
        iterations=iterations,
        rho=rho_value,
        weight=weight_value,
        robust=robust,
        photons=photons,
        stripes=stripes,
        gains=gains,
        support=support,
        adaptation=AdaptationSettings(minutes=adapt_minutes) if adapt else None,
    )
    read_options = {
        "angle_unit": angle_unit,
        "element": element,
        "dataset": dataset,
        "theta_path": theta_path,
        "axis_order": axis_order,
        "data": data,
        "center": center_value,
        "roll": roll_value,
        "pixel_size": pixel_size,
        "views": views,
        "exclude_views": exclude_views,
        "mask_nan": mask_nan,
        "air": options.parse_air(air),
    }
    identity = checkpoint.identify(
        {"scan": source, "angles": angles, "alignment": alignment},
        read_options
        | {"rows": rows, "joint": joint or None, "align": align or None, "drift": drift or None}
        | {"validate": validate or None, "resolution": resolution or None},
        settings,
    )
    if not memory_check:
        with team.step():
            if team.first:
                ctx.with_resource(lock_folder(out, command_line(ctx)))
    if not memory_check and checkpoint.is_complete(out, identity, overwrite):
        # The previous run may have been killed before it removed its intermediate files.
        checkpoint.remove_partial(out, identity)
        ProgressReporter(quiet, json_log).note(
            f"{out} already contains this result; use --overwrite to compute it again"
        )
        return
    reporter = ProgressReporter(quiet or not team.first, json_log)
    # The roll of an aligned scan is corrected together with the shifts, by a single interpolation.
    read_roll = 0.0 if aligned else roll_value
    loaded = _open(source, angles, read_options | {"roll": read_roll}, aligned, reporter)
    settings.check_support(loaded.columns)
    picked = resolve_rows(rows, loaded.rows)
    checks = Checks(validate, resolution)
    checks.require_views(loaded, settings)
    loaded = api.with_center(loaded)
    settings.check_faces(loaded)
    reporter.note(describe_scan(loaded))
    limit = None if memory is None else int(memory * 2**30)
    if memory_check:
        from pfitre_jax.cli.memory_check import print_memory_check

        print_memory_check(loaded, settings, picked, limit=limit, out=out)
        return
    if overwrite and team.first:
        checkpoint.remove_partial(out)
    run = ReconRun(
        out=out,
        scan_name=source.name,
        command=command_line(ctx),
        settings=settings,
        rows=picked,
        limit=limit,
        overwrite=overwrite,
        identity=identity,
        team=team,
        reporter=reporter,
    )
    alignment_result = run.align(loaded, motion, align, drift, roll_value) if aligned else None
    loaded = loaded if alignment_result is None else alignment_result.scan
    reconstructed = run.reconstruct(loaded, alignment_result)
    if reconstructed is None:
        return
    result, adapted = reconstructed
    result = run.check(loaded, result, checks)
    # Preparation is all time that is not counted otherwise. Timings of a resumed run include the earlier one.
    uncounted = time.perf_counter() - start - sum(result.timings.values())
    result.timings["seconds_prepare"] += max(uncounted, 0.0)
    truth = read_truth(source, int(result.rows[result.middle])) if sample else None
    comparison = None if truth is None else run.compare(loaded, result)
    run.save(result, alignment_result, adapted, truth, comparison)
    if result.all_diverged:
        raise ComputationError from FloatingPointError(
            "every row diverged; the slices are the last finite iterates"
        )


def _source(scan: Path | None, sample: str | None) -> Path:
    if scan is not None and sample is None:
        return scan
    if sample is not None and scan is None:
        return sample_path(sample)
    raise ValueError("expected either a SCAN or --sample chip: give one of them")


def _check_alignment(
    align: bool, drift: bool, alignment: Path | None, center: float | None, roll: float | str
) -> Motion | None:
    """Checks that the options of the alignment fit together; returns the motion in --alignment."""
    if drift and not align:
        raise ValueError("--drift without --align; expected both, or neither")
    if align or alignment is not None:
        if isinstance(roll, str):
            raise ValueError(
                "--roll auto with --align or --alignment, which have a roll of their own; leave --roll out"
            )
        if not abs(roll) < 90:
            raise ValueError(f"--roll is {roll:g}; expected degrees between -90 and 90")
    if alignment is None:
        return None

    from pfitre_jax.data.motion import Motion

    if roll or center is not None:
        raise ValueError(
            "--roll or --center with --alignment, whose file has both; leave --roll and --center out"
        )
    return Motion.load(alignment)


def _open(
    source: Path,
    angles: Path | None,
    read_options: Mapping[str, Any],
    in_memory: bool,
    reporter: ProgressReporter,
) -> Scan:
    """Opens a scan; its projections stay in the file unless they are needed as a whole."""
    from pfitre_jax.reconstruction import api

    if in_memory or read_options["roll"] == "auto":
        return api.load_scan(source, angles=angles, **read_options)
    with reporter.bar("reading the scan", transient=True) as progress:
        return api.open_scan(source, angles=angles, progress=progress, **read_options)
