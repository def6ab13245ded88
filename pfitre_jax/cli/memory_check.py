"""``pfitre recon --memory-check``: memory and disk space that a reconstruction needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pfitre_jax.cli.console import print_facts
from pfitre_jax.cli.errors import computation

if TYPE_CHECKING:
    from pfitre_jax.data.scan import Scan
    from pfitre_jax.reconstruction.intervals import Intervals
    from pfitre_jax.reconstruction.method_settings import Settings


def print_memory_check(
    scan: Scan,
    settings: Settings,
    rows: slice,
    *,
    intervals: Intervals | None = None,
    limit: int | None,
    out: Path,
    formats: Sequence[str],
    elements: int = 1,
) -> None:
    """Prints required and available memory and disk space; nothing is reconstructed.

    Args:
        scan: The scan; its centre is known.
        settings: Settings of the method.
        rows: Rows to reconstruct.
        intervals: What the intervals of the pixels are made of, or None.
        limit: Memory limit in bytes, or None.
        out: Folder for the results.
        formats: Formats of the slices.
        elements: Number of scans of this kind that are reconstructed one after the other into the folder.
    """
    from pfitre_jax.reconstruction import disk_space
    from pfitre_jax.reconstruction.adapted_prior import check_adaptable, training_memory
    from pfitre_jax.reconstruction.plan import make_plan
    from pfitre_jax.reconstruction.scan_solver import build_for_scan
    from pfitre_jax.runtime.memory import available

    count = rows.stop - rows.start
    with computation():
        adaptation = settings.adaptation
        # An adapted prior needs as much memory as the one before.
        settings = dataclasses.replace(settings, adaptation=None)
        if settings.prior_candidates:
            # All candidates need about as much memory, and less without one.
            settings = settings.with_candidate(next(iter(settings.prior_candidates)))
        plan = make_plan(scan, settings, count, intervals=intervals, limit=limit)
        training = 0
        if adaptation is not None:
            _, solver = build_for_scan(plan.settings, scan, plan.calibration)
            prior = check_adaptable(settings.prior)
            training = training_memory(scan, solver, prior, plan.calibration, adaptation)
        disk, free_disk = disk_space.check_disk(out, plan, rows, formats, elements)
    free_memory, needed = available(limit), plan.program.needed
    facts = {
        **({} if elements == 1 else {"elements": str(elements)}),
        "rows": f"{count}, in batches of {plan.chunk}",
        "device": f"{_gib(needed.device)} needed",
        "host": f"{_gib(needed.host)} needed to buffer rows",
    }
    if training:
        facts["adaptation"] = f"{_gib(training)} needed before the reconstruction"
    facts["memory"] = f"{_gib(max(needed.largest, training))} needed, {_gib(free_memory)} available"
    facts["disk"] = f"{_gib(disk)} needed during the run, {_gib(free_disk)} available"
    print_facts(facts)


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:.2f} GiB"
