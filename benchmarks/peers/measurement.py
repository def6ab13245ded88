"""Quality, time and memory of a method on a scan, each measured in a process of its own."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import json
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.packages import PEERS
from benchmarks.peers.scans import PeerScan, cropped

#: ``ru_maxrss`` of one MiB.
MIB = 1024


def measure(name: str, scan: PeerScan) -> tuple[dict[str, Any], np.ndarray]:
    """Searches the settings of a method on a scan; its record and its best image."""
    peer = PEERS[name]
    best: dict[str, Any] = {"psnr": -np.inf}
    failures, image = [], None
    for settings in peer.combinations():
        try:
            result = np.asarray(peer.reconstruct(scan, **settings), float)
        except Exception as error:  # A package that fails must not end the comparison.
            failures.append(f"{settings}: {type(error).__name__}: {error}".splitlines()[0][:300])
            continue
        psnr = scan.psnr(result) if np.isfinite(result).all() else -np.inf
        if psnr > best["psnr"]:
            best, image = {"psnr": psnr, "settings": settings}, result
    record: dict[str, Any] = {"version": peer.version(), "failures": failures}
    if image is None:
        return record, np.zeros_like(scan.image)
    start = time.perf_counter()
    peer.reconstruct(scan, **best["settings"])
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    return record | best | {"seconds": seconds, "memory_mib": memory}, cropped(image, len(scan.image))


def in_own_process(name: str, scan: PeerScan) -> tuple[dict[str, Any], np.ndarray]:
    """:func:`measure` in a fresh process, whose crash is a failure of the method."""
    context = multiprocessing.get_context("spawn")
    try:
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(measure, name, scan).result()
    except concurrent.futures.process.BrokenProcessPool:
        failures = ["the process ended without a result"]
        return {"version": PEERS[name].version(), "failures": failures}, np.zeros_like(scan.image)


def finished(folder: Path, name: str, scan: PeerScan) -> tuple[dict[str, Any], np.ndarray]:
    """The record and the image of a method on a scan: from the folder, or computed and written there."""
    stem = "".join(c if c.isalnum() else "-" for c in f"{scan.name}--{name}")
    path, picture = folder / f"{stem}.json", folder / f"{stem}.npy"
    if path.is_file() and picture.is_file():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("version") == PEERS[name].version():
            return record, np.load(picture)
    record, image = in_own_process(name, scan)
    np.save(picture, image.astype(np.float32))
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record, image
