"""``pfitre center``: find the rotation axis, or try several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import app
from pfitre_jax.cli.console import progress_bar, work
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
def center(
    scan: Scan,
    angles: Angles = None,
    angle_unit: AngleUnit = None,
    data: Data = None,
    roll: Roll = "0",
    center: Center = "auto",
    try_: Annotated[
        str | None, typer.Option("--try", metavar="A:B:S", help="Picture of these centres.")
    ] = None,
    try_roll: Annotated[str | None, typer.Option(metavar="A:B:S", help="Try these rolls, degrees.")] = None,
    row: Annotated[
        int | None, typer.Option(metavar="R", help="Row of the picture; default the middle.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Of the trials; default cgls.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the trials' picture.")] = None,
    views: Views = None,
    exclude_views: ExcludeViews = None,
    mask_nan: MaskNan = False,
) -> None:
    """Find the rotation axis, or lay reconstructions with several centres or rolls side by side.

    With --center only the roll is looked for.
    """
    from pfitre_jax.data.results import check_folder

    if try_ is not None and try_roll is not None:
        raise ValueError("both --try and --try-roll were given; expected one of them: centres or rolls")
    asked = try_ if try_ is not None else try_roll
    if asked is None:
        trial = {"--out": out, "--row": row, "--method": method}
        stray = ", ".join(name for name, value in trial.items() if value is not None)
        if stray:
            raise ValueError(f"{stray} without trials; expected --try A:B:S or --try-roll A:B:S with it")
    if asked is not None and out is None:
        raise ValueError("no --out for the picture of the trials; expected a folder: give --out DIR")
    if out is not None:
        check_folder(out)
    center_value, roll_value = number(center, "--center", None), number(roll, "--roll", "auto")
    if try_ is not None and center_value is not None:
        raise ValueError("both --try and --center were given; expected one of them: centres or a centre")
    if try_roll is not None and roll_value != 0:
        raise ValueError(
            "both --try-roll and --roll were given; expected one of them: rolls to try are of the scan as it "
            "was measured, leave --roll out"
        )

    from pfitre_jax.estimation.center import Undetermined, find_center, find_roll, parse_values
    from pfitre_jax.reconstruction import api, methods

    values = None if asked is None else parse_values(asked)
    method = "cgls" if method is None else method
    methods.settings(method)
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
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if values is None:
        if center_value is None:
            found = find_center(loaded)
            console.print(f"center {found.value:.2f} +- {found.uncertainty:.2g}, from {found.method}")
            loaded = loaded.with_center(found.value)
        else:
            console.print(f"center {center_value:g}, given")
        try:
            tilt = find_roll(loaded)
            value = loaded.roll_deg + tilt.value
            console.print(f"roll {value:.2f} +- {tilt.uncertainty:.2g} degrees, from {tilt.method}")
        except Undetermined as error:
            console.print(f"roll unknown: {error}", markup=False)
        return
    what = "center" if try_roll is None else "roll"
    shown = api.check_trials(loaded, what, values, row)
    loaded = api.with_center(loaded) if what == "roll" else loaded
    with work(), progress_bar(f"{method}, {len(values)} values of the {what}", "values") as progress:
        tiles = api.try_values(loaded, what, values, row=shown, method=method, progress=progress)
    with work():
        paths = _write_trials(out, tiles, what, f"{scan.name}, row {shown}, {method}")
    best = min(tiles, key=lambda tile: tile.residual)
    console.print(f"least residual {best.residual:.4g} at {what} {best.value:g}; the picture decides")
    for path in paths:
        console.print(str(path), markup=False)


def _write_trials(out: Path, tiles, what: str, title: str) -> list[Path]:
    from pfitre_jax.data.results import write_files
    from pfitre_jax.plotting.trials import draw_trials, format_value

    figure = draw_trials(tiles, name=what, title=title)
    lines = [f"{what},residual", *(f"{format_value(tile.value)},{tile.residual:.8g}" for tile in tiles)]
    return write_files(
        out,
        {
            f"{what}.png": lambda path: figure.savefig(path),
            f"{what}.csv": lambda path: path.write_text("\n".join(lines) + "\n"),
        },
    )
