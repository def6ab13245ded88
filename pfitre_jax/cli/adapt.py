"""``pfitre adapt``: self-supervised fine-tuning of a prior on one scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pfitre_jax.cli import options
from pfitre_jax.cli.app import PRIORS_PANEL, command, command_line
from pfitre_jax.cli.console import describe_scan, print_line, print_note, print_warnings, progress_bar
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options import EXECUTION, INPUT, METHOD, OUTPUT, option, parse_number


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
        option("--rows", "A:B", "Detector rows to train on: A to B-1.", INPUT, "8 rows, evenly spaced"),
    ] = None,
    views: options.Views = None,
    exclude_views: options.ExcludeViews = None,
    mask_nan: options.MaskNan = False,
    center: options.Center = "auto",
    roll: options.Roll = "0",
    air: options.Air = "auto",
    prior: Annotated[str, option("--prior", "NAME|PATH", "Prior to start from.", METHOD)] = "circuits",
    out: Annotated[
        Path,
        option(
            "--out", "NPZ", "File for the adapted prior; a picture of the same name (.png) is added.", OUTPUT
        ),
    ],
    steps: Annotated[
        int | None,
        option("--steps", "N", "Maximum number of training steps.", EXECUTION, "120"),
    ] = None,
) -> None:
    """Fine-tune a prior on one scan (self-supervised).

    Leaves some views out and trains the prior to predict them. Further held-out
    views decide when to stop. Writes the prior and a picture of the prediction
    errors. Use the prior with 'pfitre recon SCAN --prior NPZ'.

    Example: pfitre adapt scan.h5 --out adapted.npz
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable, write_files

    if out.suffix != ".npz":
        raise ValueError(f"--out is {out}; expected a file that ends in .npz")
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    picture = out.with_suffix(".png")
    check_output_folder(out.parent, [out.name, picture.name])
    check_replaceable(out.parent, [out.name, picture.name], inputs=[scan, angles, Path(prior)])
    center_value = parse_number(center, "--center", None)
    roll_value = parse_number(roll, "--roll", "auto")

    from pfitre_jax.plotting import draw_adaptation
    from pfitre_jax.plotting.style import save_png
    from pfitre_jax.priors import files
    from pfitre_jax.reconstruction import api
    from pfitre_jax.reconstruction.adapt import adapt as adapt_prior
    from pfitre_jax.reconstruction.adapt import load_prior
    from pfitre_jax.training.adaptation import AdaptationSettings, make_splits

    parent = load_prior(prior)
    loaded = api.load_scan(
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
        air=options.parse_air(air),
    )
    if rows is not None:
        loaded.select_rows(rows)
    settings = AdaptationSettings() if steps is None else AdaptationSettings(steps=steps)
    make_splits(loaded.theta_rad, settings)
    loaded = api.with_center(loaded)
    print_note(describe_scan(loaded))
    print_warnings(loaded.warnings)
    with computation():
        with progress_bar("adapting", "steps") as progress:
            adapted = adapt_prior(loaded, parent, rows=rows, settings=settings, progress=progress)
        card = dict(adapted.prior.info.card) | {"name": out.stem, "command": command_line(ctx)}
        result = adapted.prior.with_card(card)
        figure = draw_adaptation(adapted.losses, adapted.check_steps, adapted.errors, adapted.step)

        def write_prior(path: Path) -> None:
            files.save(path, result)

        write_files(
            out.parent,
            {out.name: write_prior, picture.name: lambda path: save_png(figure, path)},
        )
    print_note(
        f"relative residual of {len(adapted.validation_views)} held-out views: {adapted.errors[0]:.4f} "
        f"before and {adapted.error:.4f} after {adapted.step} steps"
    )
    if adapted.step == 0:
        print_warnings(["no step predicted the held-out views better; the prior is written unchanged"])
    print_line(out)
