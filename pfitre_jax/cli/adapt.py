"""``pfitre adapt``: self-supervised adaptation of a prior to one scan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from pfitre_jax.cli import options
from pfitre_jax.cli.adaptation_files import adaptation_writers
from pfitre_jax.cli.app import PRIORS_PANEL, command, command_line
from pfitre_jax.cli.console import describe_scan, print_line, print_note, print_warnings, progress_bar
from pfitre_jax.cli.errors import computation, in_options
from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import EXECUTION, INPUT, METHOD, OUTPUT
from pfitre_jax.cli.options.parsing import parse_air, parse_number
from pfitre_jax.priors.default import DEFAULT_PRIOR


@command(PRIORS_PANEL)
def adapt(
    ctx: typer.Context,
    scan: options.ScanPath,
    *,
    angles: options.Angles = None,
    angle_unit: options.AngleUnit = None,
    element: options.Element = None,
    dataset: options.Dataset = None,
    theta_path: options.ThetaPath = None,
    axis_order: options.AxisOrder = None,
    data: options.Data = None,
    rows: Annotated[
        str | None,
        option(
            "--rows",
            "A:B",
            "Detector rows to use: A to B-1.",
            INPUT,
            "12 rows; for a prior of neighbouring rows 4 slabs of 5",
        ),
    ] = None,
    views: options.Views = None,
    exclude_views: options.ExcludeViews = None,
    mask_nan: options.MaskNan = False,
    center: options.Center = "auto",
    roll: options.Roll = "0",
    air: options.Air = "auto",
    prior: Annotated[str, option("--prior", "NAME|PATH", "Prior to start from.", METHOD)] = DEFAULT_PRIOR,
    out: Annotated[
        Path,
        option(
            "--out", "NPZ", "File for the adapted prior; a picture of the same name (.png) is added.", OUTPUT
        ),
    ],
    minutes: Annotated[
        float | None,
        option(
            "--minutes",
            "M",
            "Time limit in minutes, without compilation. No round is started that would end later, except "
            "for the first one, whose duration is unknown.",
            EXECUTION,
            "no limit; at most 12 rounds",
        ),
    ] = None,
) -> None:
    """Adapt a prior to one scan (self-supervised).

    Trains the prior to reconstruct images of the scan that are rotated and
    measured again. Held-out views decide when to stop. Writes the prior and
    a picture. 'pfitre recon SCAN --adapt' does the same and reconstructs.

    Example: pfitre adapt scan.h5 --out adapted.npz
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable, write_files

    if out.suffix != ".npz":
        raise ValueError(f"--out is {out}; expected a file that ends in .npz")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"--minutes is {minutes:g}; expected more than 0")
    picture = out.with_suffix(".png")
    check_output_folder(out.parent, [out.name, picture.name])
    check_replaceable(out.parent, [out.name, picture.name], inputs=[scan, angles, Path(prior)])
    center_value = parse_number(center, "--center", None)
    roll_value = parse_number(roll, "--roll", "auto")

    from pfitre_jax.reconstruction.adapt import adapt as adapt_to_scan
    from pfitre_jax.reconstruction.adapt import load_adaptable
    from pfitre_jax.reconstruction.scan_axis import with_center
    from pfitre_jax.reconstruction.scan_loading import load_scan
    from pfitre_jax.training.adaptation_settings import AdaptationSettings, HeldOutViews

    parent = load_adaptable(prior)
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
    if rows is not None:
        loaded.select_rows(rows)
    HeldOutViews.select(loaded.theta_rad)
    loaded = with_center(loaded)
    print_note(describe_scan(loaded))
    print_warnings(map(in_options, loaded.warnings))
    settings = AdaptationSettings(minutes=minutes)
    with computation():
        with progress_bar("adapting", "steps") as progress:
            adapted = adapt_to_scan(loaded, parent, rows=rows, settings=settings, progress=progress)
        card = dict(adapted.prior.card) | {"name": out.stem, "command": command_line(ctx)}
        adapted = dataclasses.replace(adapted, prior=adapted.prior.with_card(card))
        write_files(out.parent, adaptation_writers(adapted, (out.name, picture.name)))
    print_note(adapted.record["reason"])
    if not adapted.changed:
        print_warnings(["the adaptation gained nothing: the prior is written as it was"])
    print_line(out)
