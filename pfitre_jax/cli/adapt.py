"""``pfitre adapt``: adapt a prior to a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import describe, progress_bar, say, warn, work
from pfitre_jax.cli.options import (
    Angles,
    AngleUnit,
    Center,
    Data,
    ExcludeViews,
    MaskNan,
    Roll,
    Scan,
    Views,
    number,
)


@app.command()
def adapt(
    ctx: typer.Context,
    scan: Scan,
    out: Annotated[Path, typer.Option(metavar="NPZ", help="The adapted prior; beside it a picture, .png.")],
    prior: Annotated[str, typer.Option(metavar="NAME|PATH", help="Prior to start from.")] = "circuits",
    angles: Angles = None,
    angle_unit: AngleUnit = None,
    data: Data = None,
    center: Center = "auto",
    roll: Roll = "0",
    rows: Annotated[
        str | None, typer.Option(metavar="A:B", help="Rows to learn from; default 8, evenly spread.")
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="At most.")] = None,
    views: Views = None,
    exclude_views: ExcludeViews = None,
    mask_nan: MaskNan = False,
) -> None:
    """Adapt a prior to a scan by predicting views left out; then: pfitre recon SCAN --prior NPZ."""
    from pfitre_jax.data.results import check_folder, write_files
    from pfitre_jax.priors import files

    if out.suffix != ".npz":
        raise ValueError(f"--out is {out}; expected a file that ends in .npz")
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is {steps}; expected a whole number of at least 1")
    picture = out.with_suffix(".png")
    check_folder(out.parent, [out.name, picture.name])
    center_value, roll_value = number(center, "--center", None), number(roll, "--roll", "auto")

    import dataclasses

    from pfitre_jax.plotting.training import draw_adaptation
    from pfitre_jax.reconstruction import adapt as adapting
    from pfitre_jax.reconstruction import api
    from pfitre_jax.training.adaptation import AdaptationSettings, make_splits

    given = adapting.load_prior(prior)
    loaded = api.load_scan(
        scan,
        angles=angles,
        angle_unit=angle_unit,
        data=data,
        center=center_value,
        roll=roll_value,
        views=views,
        exclude_views=exclude_views,
        mask_nan=mask_nan,
    )
    if rows is not None:
        loaded.select_rows(rows)
    settings = AdaptationSettings()
    settings = settings if steps is None else dataclasses.replace(settings, steps=steps)
    make_splits(loaded.theta_rad, settings)
    loaded = api.with_center(loaded)
    say(describe(loaded))
    with work():
        with progress_bar("adapting, compiling", "steps") as progress:
            adapted = adapting.adapt(loaded, given, rows=rows, settings=settings, progress=progress)
        card = dict(adapted.prior.card) | {"name": out.stem, "command": ctx.find_root().meta[COMMAND]}
        made = dataclasses.replace(adapted.prior, card=card)
        figure = draw_adaptation(adapted.losses, adapted.looks, adapted.errors, adapted.step)
        writers = {
            out.name: lambda path: files.save(path, made),
            picture.name: lambda path: figure.savefig(path, format="png"),
        }
        write_files(out.parent, writers)
    before, after = adapted.errors[0], adapted.error
    say(
        f"error on {len(adapted.judged)} views that no step saw: {before:.4f} before, {after:.4f} after "
        f"{adapted.step} steps"
    )
    if adapted.step == 0:
        warn(["no step predicted those views better: the prior is written as it was"])
    Console(soft_wrap=True, highlight=False, emoji=False).print(str(out), markup=False)
