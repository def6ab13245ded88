"""The methods of other packages beside ours, on simulated and measured limited-angle scans.

    pip install -e '.[bench]'
    pip install --no-deps scico==0.0.7 pyabel imageio    # it states an older JAX as a requirement
    python -m benchmarks.peers [--only TEXT] [--scans TEXT] [--out FOLDER]

Every package reconstructs the same sinograms. Its settings are searched
(:data:`benchmarks.peers.packages.PEERS`) and those with the highest PSNR count, which favours it; our own
methods have their automatic settings. The packages that are not installed are named. Each method runs in a
process of its own, whose peak memory is recorded, with the packages and JAX in it. Seconds are those of a
second run with the best settings. Finished scans are kept in the folder and not computed again. About half
an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import datetime
import platform
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.peers.measurement import finished
from benchmarks.peers.packages import NOT_ON_PYPI, PEERS
from benchmarks.peers.scans import PeerScan, measured_scans, simulated_scans
from benchmarks.timing import table

#: Methods that the picture shows, where they are installed.
SHOWN = (
    "scikit-image, FBP",
    "ASTRA, SIRT",
    "SCICO, TV by ADMM",
    "SCICO, plug-and-play BM3D",
    "DeepInverse, TV",
    "MBIRJAX",
    "pfitre_jax, fista-tv, best weight",
    "pfitre_jax, pfitre",
)


def markdown(records: dict[str, dict[str, dict[str, Any]]], missing: dict[str, str]) -> str:
    """Tables of records by method and by scan."""
    scans = list(next(iter(records.values())))
    rows = []
    for name, by_scan in records.items():
        done = [record for record in by_scan.values() if "psnr" in record]
        values = [f"{r['psnr']:.2f}" if "psnr" in r else "failed" for r in by_scan.values()]
        cost = ["", ""]
        if done:
            seconds = np.median([r["seconds"] for r in done])
            cost = [f"{seconds:.3g}", f"{max(r['memory_mib'] for r in done):.0f}"]
        rows.append([name, *values, *cost])
    versions = {PEERS[name].package: PEERS[name].version() for name in records}
    lines = [
        "# Peers",
        "",
        "`python -m benchmarks.peers`: PSNR in dB, median seconds of one slice, peak memory in MiB. Settings "
        "of other packages are the best of a search by the truth; those of `pfitre` and of the automatic "
        "weight are the defaults.",
        "",
        table(["method", *scans, "s", "MiB"], rows),
        "",
        f"{datetime.date.today()}, Python {platform.python_version()}, {platform.machine()}; "
        + ", ".join(f"{package} {version}" for package, version in versions.items())
        + ".",
        "",
    ]
    if missing:
        names = "; ".join(f"{name} ({package})" for name, package in missing.items())
        lines += [f"Not installed: {names}.", ""]
    lines += [f"Without a wheel on PyPI for Python 3.11: {', '.join(NOT_ON_PYPI)}.", ""]
    failed = [
        f"* {name}, {scan}: {record['failures'][0]}"
        for name, by_scan in records.items()
        for scan, record in by_scan.items()
        if record["failures"]
    ]
    if failed:
        lines += ["Failures:", "", *failed, ""]
    return "\n".join(lines)


def draw(scans: list[PeerScan], images: dict[str, list[np.ndarray]], psnrs: dict[str, list[float]]) -> Figure:
    """A row for each scan: the image to compare with, and the methods."""
    names = [name for name in SHOWN if name in images]
    figure = Figure(figsize=(1.7 * (1 + len(names)), 1.9 * len(scans)), layout="constrained")
    axes = figure.subplots(len(scans), 1 + len(names), squeeze=False)
    for i, (scan, line) in enumerate(zip(scans, axes, strict=True)):
        pictures = [
            (scan.image, "all views" if scan.measured else "truth"),
            *((images[name][i], f"{psnrs[name][i]:.1f} dB") for name in names),
        ]
        for axis, (image, label), title in zip(line, pictures, ["", *names], strict=True):
            axis.imshow(np.where(scan.support, image, 0), cmap="gray", vmin=0, vmax=1.1)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(label, fontsize=7)
            if i == 0:
                axis.set_title(title.replace(", ", "\n"), fontsize=7)
        line[0].set_ylabel(scan.name.replace(", ", "\n"), fontsize=7)
    return figure


def main() -> None:
    """Runs the comparison and writes ``peers.md`` and ``peers.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="methods whose name contains this text")
    parser.add_argument("--scans", default="", help="scans whose name contains this text")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/peers/results"), help="output folder")
    options = parser.parse_args()
    folder = options.out / "finished"
    folder.mkdir(parents=True, exist_ok=True)
    scans = [s for s in (*simulated_scans(), *measured_scans()) if options.scans in s.name]
    chosen = [name for name in PEERS if options.only in name]
    missing = {name: PEERS[name].package for name in chosen if PEERS[name].version() is None}
    records: dict[str, dict[str, dict[str, Any]]] = {}
    images: dict[str, list[np.ndarray]] = {}
    for name in chosen:
        if name in missing:
            continue
        for scan in scans:
            record, image = finished(folder, name, scan)
            records.setdefault(name, {})[scan.name] = record
            images.setdefault(name, []).append(image)
            print(f"{name}; {scan.name}: {record.get('psnr', float('nan')):.2f} dB", flush=True)
    if not records:
        raise SystemExit("no method or no scan has such a name")
    psnrs = {n: [r.get("psnr", float("nan")) for r in by_scan.values()] for n, by_scan in records.items()}
    (options.out / "peers.md").write_text(markdown(records, missing), encoding="utf-8")
    draw(scans, images, psnrs).savefig(options.out / "peers.png", dpi=110)
    print(options.out / "peers.md", options.out / "peers.png", sep="\n")


if __name__ == "__main__":
    main()
