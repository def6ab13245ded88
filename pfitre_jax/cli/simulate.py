"""``pfitre simulate``: scans and pictures of the digital twin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pfitre_jax.cli.app import COMMAND, app
from pfitre_jax.cli.console import work


@app.command()
def simulate(
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option(metavar="H5", help="DXchange file of the scan.")] = None,
    scene: Annotated[str, typer.Option(metavar="NAME", help="What is scanned; an unknown one lists all.")] = (
        "circuits"
    ),
    config: Annotated[
        str,
        typer.Option(
            metavar="NAME|TOML", help="File with an [instrument], such as a training configuration."
        ),
    ] = "circuits",
    files: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="For --scene layouts, images or volumes: file, folder or glob to cut scenes from, any "
            "number of times. Default: those of the configuration's [banks].",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(metavar="N", help="Of one volume (circuits3d, stacked), or independent.")
    ] = 4,
    columns: Annotated[int, typer.Option(metavar="N", help="Detector bins.")] = 128,
    views: Annotated[int, typer.Option(metavar="N")] = 51,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed, the same scan.")] = 0,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures of every scene and every artifact instead."),
    ] = None,
) -> None:
    """Simulate a scan with its truth, or draw what the digital twin can do."""
    from pfitre_jax.data.results import check_folder, write_files

    if (out is None) == (gallery is None):
        raise ValueError("expected either --out scan.h5 or --gallery DIR: give one of them")
    console = Console(soft_wrap=True, highlight=False, emoji=False)
    if gallery is not None:
        check_folder(gallery, ["scenes.png", "artifacts.png"])
        from pfitre_jax.twin.gallery import draw_artifacts, draw_scenes

        with work():
            banks = available_banks(seed)
            writers = {
                "scenes.png": lambda path: draw_scenes(columns, seed, banks).savefig(path),
                "artifacts.png": lambda path: draw_artifacts(columns, views, seed).savefig(path),
            }
            for path in write_files(gallery, writers):
                console.print(str(path), markup=False)
        return
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"--out is {out}; expected an HDF5 file, a name that ends in .h5")
    check_folder(out.parent, [out.name])
    from pfitre_jax.data.readers.hdf5 import write_dxchange
    from pfitre_jax.training.config import load_config
    from pfitre_jax.twin.simulate import simulate_scan

    configuration = load_config(config)
    bank = _bank(scene, files, configuration, rows, seed)
    made = simulate_scan(
        scene, configuration.instrument, bank=bank, rows=rows, columns=columns, views=views, seed=seed
    )
    facts = {"center": made.center, "command": ctx.find_root().meta[COMMAND]}
    with work():
        [path] = write_files(
            out.parent,
            {
                out.name: lambda path: write_dxchange(
                    path, made.projections, made.theta_rad, truth=made.truth, attributes=facts
                )
            },
        )
    console.print(
        f"{views} views x {rows} rows x {columns} columns, center {made.center:.2f}\n{path}", markup=False
    )


def available_banks(seed: int):
    """Banks of the files that the configuration ``general`` trains on, as far as these files exist."""
    from pfitre_jax.training.config import load_config
    from pfitre_jax.twin.scenes.data_files import find_files, make_banks
    from pfitre_jax.twin.scenes.layouts import has_gdstk
    from pfitre_jax.twin.scenes.mixture import BANKED

    banks = {}
    for name in BANKED:
        if name == "layouts" and not has_gdstk():
            continue
        try:
            files = find_files(name, getattr(load_config("general").banks, name))
        except FileNotFoundError:
            continue
        banks |= make_banks({name: files}, 24, seed=seed)
    return banks


def _bank(scene: str, files: list[str] | None, configuration, rows: int, seed: int):
    """The bank that a scene is drawn from, or None for one that needs none."""
    from pfitre_jax.twin.scenes.data_files import find_files, make_banks
    from pfitre_jax.twin.scenes.mixture import BANKED

    if scene not in BANKED:
        if files:
            raise ValueError(f"--files with --scene {scene}; expected one of {', '.join(BANKED)} with them")
        return None
    # What is there is meant before what the data folder has.
    here = [str(Path(name).absolute()) if Path(name).exists() else name for name in files or ()]
    patterns = here or getattr(configuration.banks, scene)
    if not patterns:
        raise ValueError(
            f"--scene {scene} is cut from files; expected some in --files, or in the configuration's [banks]"
        )
    return make_banks({scene: find_files(scene, patterns)}, 4 * max(rows, 1), seed=seed)[scene]
