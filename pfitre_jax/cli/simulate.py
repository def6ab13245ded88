"""``pfitre simulate``: scans and pictures of the digital twin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pfitre_jax.cli.app import SIMULATION_PANEL, command, command_line
from pfitre_jax.cli.console import print_line, print_paths
from pfitre_jax.cli.errors import computation
from pfitre_jax.cli.options.declaration import option
from pfitre_jax.cli.options.panels import EXECUTION, GEOMETRY, INPUT, OUTPUT

if TYPE_CHECKING:
    from pfitre_jax.training.config import TrainingConfig
    from pfitre_jax.twin.scenes.bank import Bank


@command(SIMULATION_PANEL)
def simulate(
    ctx: typer.Context,
    scene: Annotated[
        str,
        option(
            "--scene",
            "NAME",
            "Kind of sample, such as circuits, circuits3d, foam or voronoi; an unknown name lists them all.",
            INPUT,
        ),
    ] = "circuits",
    files: Annotated[
        list[str] | None,
        option(
            "--files",
            "PATH",
            "For the scenes layouts, images and volumes: file, folder or glob pattern to cut samples from. "
            "May be repeated.",
            INPUT,
            "files that \\[banks] of the configuration lists",
        ),
    ] = None,
    config: Annotated[
        str,
        option(
            "--config",
            "NAME|TOML",
            "Training configuration whose table \\[instrument] sets missing wedge, noise and artifacts.",
            INPUT,
        ),
    ] = "circuits",
    rows: Annotated[
        int,
        option(
            "--rows",
            "N",
            "Number of detector rows. They are the rows of one volume for the scenes circuits3d and stacked, "
            "and independent slices otherwise.",
            GEOMETRY,
        ),
    ] = 4,
    columns: Annotated[int, option("--columns", "N", "Number of detector columns.", GEOMETRY)] = 128,
    views: Annotated[int, option("--views", "N", "Number of views.", GEOMETRY)] = 51,
    out: Annotated[
        Path | None,
        option(
            "--out", "H5", "DXchange file for the scan and its true volume (/truth/data).", OUTPUT, "none"
        ),
    ] = None,
    gallery: Annotated[
        Path | None,
        option(
            "--gallery",
            "DIR",
            "Folder for pictures of every scene and every artifact, instead of a scan.",
            OUTPUT,
            "none",
        ),
    ] = None,
    seed: Annotated[
        int, option("--seed", "N", "Random seed; the same seed gives the same scan.", EXECUTION)
    ] = 0,
) -> None:
    """Simulate a scan with known truth, or draw all scenes and artifacts.

    Writes a DXchange file (--out) that 'pfitre recon' reads, or the pictures
    scenes.png and artifacts.png (--gallery).

    Example: pfitre simulate --scene circuits --out scan.h5
    """
    from pfitre_jax.data.atomic_write import check_output_folder, check_replaceable

    if gallery is not None and out is None:
        check_output_folder(gallery, ["scenes.png", "artifacts.png"])
        check_replaceable(gallery, ["scenes.png", "artifacts.png"])
        _write_gallery(gallery, columns, views, seed)
        return
    if out is None or gallery is not None:
        raise ValueError("expected either --out scan.h5 or --gallery DIR: give one of them")
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise ValueError(f"--out is {out}; expected an HDF5 file, a name that ends in .h5")
    check_output_folder(out.parent, [out.name])
    check_replaceable(out.parent, [out.name], inputs=map(Path, files or ()))

    from pfitre_jax.data.atomic_write import write_files
    from pfitre_jax.data.readers.dxchange import write_dxchange
    from pfitre_jax.training.config_file import load_config
    from pfitre_jax.twin.simulate import simulate_scan

    configuration = load_config(config)
    bank = _load_bank(scene, files, configuration, rows, seed)
    scan = simulate_scan(
        scene, configuration.instrument, bank=bank, rows=rows, columns=columns, views=views, seed=seed
    )
    attributes = {"center": scan.center, "command": command_line(ctx)}

    def write(path: Path) -> None:
        write_dxchange(path, scan.projections, scan.theta_rad, truth=scan.truth, attributes=attributes)

    with computation():
        [path] = write_files(out.parent, {out.name: write})
    print_line(
        f"{len(scan.theta_rad)} views x {rows} rows x {columns} columns, center {scan.center:.2f}\n{path}"
    )


def _write_gallery(folder: Path, columns: int, views: int, seed: int) -> None:
    from pfitre_jax.data.atomic_write import write_files
    from pfitre_jax.plotting.style import save_png
    from pfitre_jax.twin.gallery import draw_artifacts, draw_scenes

    with computation():
        banks = available_banks(seed)
        writers = {
            "scenes.png": lambda path: save_png(draw_scenes(columns, seed, banks), path),
            "artifacts.png": lambda path: save_png(draw_artifacts(columns, views, seed), path),
        }
        print_paths(write_files(folder, writers))


def available_banks(seed: int) -> dict[str, Bank]:
    """Returns banks of those files of the configuration ``general`` that exist on this machine."""
    from pfitre_jax.training.config_file import load_config
    from pfitre_jax.twin.scenes.data_files import find_files, make_banks
    from pfitre_jax.twin.scenes.layouts import has_gdstk
    from pfitre_jax.twin.scenes.mixture import BANKED

    banks: dict[str, Bank] = {}
    for name in BANKED:
        if name == "layouts" and not has_gdstk():
            continue
        try:
            files = find_files(name, getattr(load_config("general").banks, name))
        except FileNotFoundError:
            continue
        banks |= make_banks({name: files}, 24, seed=seed)
    return banks


def _load_bank(
    scene: str, files: list[str] | None, config: TrainingConfig, rows: int, seed: int
) -> Bank | None:
    """Returns the bank that a scene is cut from; None for a scene that is generated.

    Args:
        scene: Name of the scene.
        files: Files, folders and patterns; those that exist here take precedence over the data folder.
        config: Configuration with the default files.
        rows: Number of rows, which sets the size of the bank.
        seed: Random seed.
    """
    from pfitre_jax.twin.scenes.data_files import find_files, make_banks
    from pfitre_jax.twin.scenes.mixture import BANKED

    if scene not in BANKED:
        if files:
            raise ValueError(f"--files with --scene {scene}; expected one of {', '.join(BANKED)} with them")
        return None
    patterns = [str(Path(name).absolute()) if Path(name).exists() else name for name in files or ()]
    if not patterns:
        patterns = list(getattr(config.banks, scene))
    if not patterns:
        raise ValueError(
            f"--scene {scene} is cut from files; expected some in --files, or in the configuration's [banks]"
        )
    return make_banks({scene: find_files(scene, patterns)}, 4 * max(rows, 1), seed=seed)[scene]
