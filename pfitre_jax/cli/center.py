"""``pfitre center``: rotation axis of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pfitre_jax.cli import options
from pfitre_jax.cli.app import SCAN_PANEL, command
from pfitre_jax.cli.console import print_line, print_paths, print_warnings, progress_bar
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import GEOMETRY, INPUT, METHOD, OUTPUT
from pfitre_jax.cli.options.parsing import parse_air, parse_number, parse_values

if TYPE_CHECKING:
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.plotting.trials import Trial


@command(SCAN_PANEL)
def center(
    scan: options.ScanPath,
    angles: options.Angles = None,
    angle_unit: options.AngleUnit = None,
    element: options.Element = None,
    dataset: options.Dataset = None,
    theta_path: options.ThetaPath = None,
    axis_order: options.AxisOrder = None,
    data: options.Data = None,
    views: options.Views = None,
    exclude_views: options.ExcludeViews = None,
    mask_nan: options.MaskNan = False,
    row: Annotated[
        int | None,
        option("--row", "R", "Detector row to reconstruct for --try and --try-roll.", INPUT, "middle row"),
    ] = None,
    center: options.Center = "auto",
    roll: options.Roll = "0",
    air: options.Air = "auto",
    try_: Annotated[
        str | None,
        option(
            "--try",
            "A:B:S",
            "Reconstruct one row with the centres A, A+S, ... B (detector column indices).",
            GEOMETRY,
            "none",
        ),
    ] = None,
    try_roll: Annotated[
        str | None,
        option(
            "--try-roll",
            "A:B:S",
            "Reconstruct one row with the rolls A, A+S, ... B in degrees.",
            GEOMETRY,
            "none",
        ),
    ] = None,
    method: Annotated[
        str | None,
        option("--method", "NAME", "Reconstruction method for --try and --try-roll.", METHOD, "cgls"),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            "DIR",
            "Folder for the picture and the table of --try and --try-roll; required with them.",
            OUTPUT,
            "none",
        ),
    ] = None,
) -> None:
    """Estimate the rotation axis, or compare several centres or rolls.

    Without --try and --try-roll, prints the estimated centre and roll with
    their uncertainties; with --center, the roll only. With --try or
    --try-roll, writes reconstructions of one row side by side (center.png or
    roll.png) and their residuals (.csv) to the folder --out.

    Example: pfitre center scan.h5 --try 72:78:0.5 --row 40 --out centers
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable

    _check_trial_options(try_, try_roll, {"--out": out, "--row": row, "--method": method})
    if out is not None:
        check_output_folder(out)
        varied = "roll" if try_ is None else "center"
        check_replaceable(out, [f"{varied}.png", f"{varied}.csv"], inputs=[scan, angles])
    center_value = parse_number(center, "--center", None)
    roll_value = parse_number(roll, "--roll", "auto")
    if try_ is not None and center_value is not None:
        raise ValueError("both --try and --center were set; expected one of them")
    if try_roll is not None and roll_value != 0:
        raise ValueError("both --try-roll and --roll were set; expected one of them: leave --roll out")

    from pfitre_jax.reconstruction.axis_trials import check_trials, try_values
    from pfitre_jax.reconstruction.method_settings import Settings
    from pfitre_jax.reconstruction.scan_axis import with_center
    from pfitre_jax.reconstruction.scan_loading import load_scan

    text = try_ if try_ is not None else try_roll
    values = None if text is None else parse_values(text)
    method = method or "cgls"
    Settings.create(method)
    loaded = load_scan(
        scan,
        angles=angles,
        angle_unit=angle_unit,
        element=element,
        dataset=dataset,
        theta_path=theta_path,
        axis_order=axis_order,
        data=data,
        center=center_value,
        roll=roll_value,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
        air=parse_air(air),
    )
    print_warnings(map(in_options, loaded.warnings))
    if values is None:
        _print_estimates(loaded, center_value)
        return
    varied = "center" if try_roll is None else "roll"
    row = check_trials(loaded, varied, values, row)
    loaded = with_center(loaded) if varied == "roll" else loaded
    with computation(), progress_bar(f"{method}, trial {varied}s", f"{varied}s") as progress:
        trials = try_values(loaded, varied, values, row=row, method=method, progress=progress)
    with computation():
        paths = _write_trials(out or Path(), trials, varied, f"{scan.name}, row {row}, {method}")
    best = min(trials, key=lambda trial: trial.residual)
    print_line(
        f"smallest residual {best.residual:.4g} at {varied} {best.value:g}; compare the images as well"
    )
    print_paths(paths)


def _check_trial_options(try_: str | None, try_roll: str | None, others: dict[str, Any]) -> None:
    """Checks that the options of trials are set with trials, and that --out is set then."""
    if try_ is not None and try_roll is not None:
        raise ValueError("both --try and --try-roll were set; expected one of them")
    if try_ is None and try_roll is None:
        unused = ", ".join(name for name, value in others.items() if value is not None)
        if unused:
            raise ValueError(f"{unused} without trials; expected --try A:B:S or --try-roll A:B:S with it")
    elif others["--out"] is None:
        raise ValueError("no folder for the results of --try or --try-roll; give --out DIR")


def _print_estimates(scan: Scan, center: float | None) -> None:
    """Prints centre and roll with their uncertainties; the centre is not estimated if it is known."""
    from pfitre_jax.estimation.center import find_center
    from pfitre_jax.estimation.estimate import Undetermined
    from pfitre_jax.estimation.roll import find_roll

    if center is None:
        estimate = find_center(scan)
        print_line(f"center {estimate.value:.2f} +- {estimate.uncertainty:.2g}, from {estimate.method}")
        scan = scan.with_center(estimate.value)
    else:
        print_line(f"center {center:g}, set by --center")
    try:
        tilt = find_roll(scan)
    except Undetermined as error:
        print_line(f"roll unknown: {error}")
        return
    roll = scan.roll_deg + tilt.value
    print_line(f"roll {roll:.2f} +- {tilt.uncertainty:.2g} degrees, from {tilt.method}")


def _write_trials(out: Path, trials: Sequence[Trial], varied: str, title: str) -> list[Path]:
    """Writes the picture and the table of the trials; returns their paths."""
    from pfitre_jax.data.atomic_write import write_files
    from pfitre_jax.plotting.style import save_png
    from pfitre_jax.plotting.trials import draw_trials, format_value

    figure = draw_trials(trials, name=varied, title=title)
    lines = [f"{varied},residual"]
    lines += [f"{format_value(trial.value)},{trial.residual:.8g}" for trial in trials]

    def write_table(path: Path) -> None:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write_files(
        out, {f"{varied}.png": lambda path: save_png(figure, path), f"{varied}.csv": write_table}
    )
