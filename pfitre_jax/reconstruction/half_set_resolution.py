"""Resolution of a reconstruction, from two reconstructions of half of the views each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.support import Support
from pfitre_jax.reconstruction.executor import split_rows
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.plan import make_plan
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.trust.resolution import Resolution, estimate_resolution, half_sets

#: Largest number of neighbouring rows that are reconstructed from the half sets.
ROWS = 32


def resolution_of(
    scan: Scan,
    settings: Settings,
    result: Result,
    rows: slice,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Resolution:
    """Reconstructs two half sets of the views and correlates them.

    Both halves have scale, support and number of iterations of the result; weights and prior strength follow
    from their own noise. At most :data:`ROWS` rows from the middle of the result are reconstructed twice,
    each time from half of the views.

    Args:
        scan: The scan; its centre is known.
        settings: Settings of the method.
        result: The result from all views.
        rows: Rows of the scan that the result has.
        limit: Bytes that this process may use; by default the free memory.
        progress: Called with the number of reconstructions done and their total, 2.
    """
    count = min(rows.stop - rows.start, ROWS)
    first = rows.start + (rows.stop - rows.start - count) // 2
    block = slice(first, first + count)
    fixed = dataclasses.replace(settings, support=Support.from_image(result.support))
    volumes = []
    for half in half_sets(scan.theta_rad):
        # Equal numbers of views need one compilation: of an odd number, one is in neither half.
        used = np.flatnonzero(half)[: scan.views // 2]
        plan = make_plan(
            scan.take_views(used),
            fixed,
            count,
            scale=result.scale,
            iterations=int(result.parameters.get("iterations", 1)),
            limit=limit,
        )
        solved = plan.solve(split_rows(block, plan.chunk))
        volumes.append(np.concatenate([np.asarray(part.volume) for part in solved]))
        progress(len(volumes), 2)
    return estimate_resolution(volumes[0], volumes[1], scan.wedge, scan.pixel_size)
