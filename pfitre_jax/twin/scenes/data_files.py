"""Files that scenes come from: where they are, which of them are held out, and banks made of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pfitre_jax.twin.scenes import images, layouts, volumes
from pfitre_jax.twin.scenes.bank import SIDE, Bank

#: Maker of a bank for each family of scenes that comes from files.
MAKERS = {"layouts": layouts.bank, "images": images.bank, "volumes": volumes.bank}
#: Files of a folder that each of them reads.
SUFFIXES = {
    "layouts": (".gds", ".gz", ".npz"),
    "images": (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    "volumes": (".npz", ".npy", ".tif", ".tiff"),
}
#: Under the data folder: what priors are judged by and no training may see; a name without a suffix is a
#: folder with all that is in it.
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
    """``PFITRE_DATA``, by default ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[4] / "shared" / "data"
    return Path(os.environ.get("PFITRE_DATA") or default)


def find_files(family: str, patterns: Sequence[str]) -> list[Path]:
    """The files that paths or globs name, in order, each once; relative ones lie under :func:`data_folder`,
    and a folder stands for the files in it that the family can be read from.

    Raises ``FileNotFoundError`` for a pattern that nothing fits.
    """
    found: dict[Path, None] = {}
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
        found |= dict.fromkeys(files)
    return list(found)


def is_held_out(path) -> bool:
    """Whether a file is one of :data:`HELD_OUT`, wherever its folder lies."""
    parts = Path(path).resolve().parts
    return "/".join(parts[-2:]) in HELD_OUT or any(part in HELD_OUT for part in parts[:-1])


def refuse_held_out(paths: Sequence) -> None:
    """``ValueError`` that names those of the files that are held out."""
    held = [str(path) for path in paths if is_held_out(path)]
    if held:
        raise ValueError(
            f"{', '.join(held)}: held out, priors are judged by them; expected files for training only"
        )


def make_banks(
    files: Mapping[str, Sequence[Path]], count: int, side: int = SIDE, seed: int = 0
) -> dict[str, Bank]:
    """A bank of ``count`` tiles for each family of :data:`MAKERS`, from its files.

    The same files and seed, the same tiles. Raises what the readers raise.
    """
    return {name: MAKERS[name](paths, count, side, seed) for name, paths in files.items()}
