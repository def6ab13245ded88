"""Files that scenes are cut from: their folder, the held-out ones, and the banks made from them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pfitre_jax.twin.scenes import images, layouts, volumes
from pfitre_jax.twin.scenes.bank import SIDE, Bank

#: Function that makes a bank, for each family of scenes that is cut from files.
MAKERS = {"layouts": layouts.bank, "images": images.bank, "volumes": volumes.bank}
#: Suffixes of the files that each family reads from a folder.
SUFFIXES = {
    "layouts": (".gds", ".gz", ".npz"),
    "images": (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    "volumes": (".npz", ".npy", ".tif", ".tiff"),
}
#: Files and folders under the data folder that priors are evaluated on. No training may use them.
HELD_OUT = (
    "stdcell_gds/sg13g2_stdcell.gds.gz",
    "tinytapeout04_gds/tt_um_urish_simon.gds.gz",
    "tinytapeout04_raster40nm/tt_um_urish_simon.npz",
    "kodak24/21.png",
    "kodak24/22.png",
    "kodak24/23.png",
    "kodak24/24.png",
    "battery_images/NMC_90wt_2000bar_115.png",
    "porous_rock/ketton_256.npz",
    "cu23_hxn_xrf",
    "i13_tomo_standard",
    "tooth_aps2bm",
    "stxm_catalyst_i18",
)


def data_folder() -> Path:
    """Returns the data folder: ``PFITRE_DATA``, by default ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("PFITRE_DATA") or default)


def find_files(family: str, patterns: Sequence[str]) -> list[Path]:
    """Returns the files that match paths or globs, in order and without repetition.

    A folder stands for the files in it that the family can be read from.

    Args:
        family: A key of :data:`SUFFIXES`.
        patterns: Paths or globs; relative ones are below :func:`data_folder`.

    Raises:
        FileNotFoundError: If nothing matches a pattern.
    """
    matches: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        base = Path(path.anchor) if path.is_absolute() else data_folder()
        inner = str(path.relative_to(base)) if path.is_absolute() else str(path)
        named = sorted(base.glob(inner)) if base.is_dir() else []
        files = [p for p in named if p.is_file()]
        for folder in (p for p in named if p.is_dir()):
            files += [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES[family]]
        if not files:
            where = "" if path.is_absolute() else f" in {data_folder()}"
            fix = "" if path.is_absolute() else "; set PFITRE_DATA to the folder of the data"
            raise FileNotFoundError(f"no file for {family} at {pattern}{where}{fix}")
        matches |= dict.fromkeys(files)
    return list(matches)


def is_held_out(path: str | os.PathLike) -> bool:
    """Returns whether a file belongs to :data:`HELD_OUT`, wherever its folder is."""
    parts = Path(path).resolve().parts
    return "/".join(parts[-2:]) in HELD_OUT or any(part in HELD_OUT for part in parts[:-1])


def refuse_held_out(paths: Sequence) -> None:
    """Raises ``ValueError`` if some of the files are held out; the message names them."""
    held = [str(path) for path in paths if is_held_out(path)]
    if held:
        raise ValueError(
            f"{', '.join(held)}: held out for the evaluation of priors; expected files for training only"
        )


def make_banks(
    files: Mapping[str, Sequence[Path]], count: int, side: int = SIDE, seed: int = 0
) -> dict[str, Bank]:
    """Returns a bank of each family; the same files and seed give the same tiles.

    Args:
        files: Files of each family of :data:`MAKERS`.
        count: Number of tiles in each bank.
        side: Side of a tile, pixels.
        seed: Seed of the cuts.

    Raises:
        ValueError: If a file cannot be read, or has no content to cut out.
    """
    return {name: MAKERS[name](paths, count, side, seed) for name, paths in files.items()}
