"""Coverage on measured scans of 180 degrees that are cut down, against the image from all their views."""

from __future__ import annotations

from typing import Any

import numpy as np

import pfitre_jax as pf
from experiments.common.comparison import crop_center, scan_with_reference
from experiments.common.real_scans import full_angle_samples, limit_range
from pfitre_jax.priors import IntervalTable
from pfitre_jax.trust import area_under_curve

#: Missing wedges in degrees, and method of the image from all views where a scan has none of its own.
MISSING_DEG, REFERENCE = (60.0, 90.0, 120.0), "fista-tv"
#: Share of the pixels that count as the largest errors.
LARGEST = 0.1


def real_coverage(prior: Any, kind: str, mode: str, table: IntervalTable) -> dict[str, dict[str, Any]]:
    """Coverage and related measures of every measured sample at hand, by sample and wedge.

    The reference has noise and artifacts of its own, which the intervals need not contain.

    Args:
        prior: The prior of ``pfitre``. The table replaces that in its card.
        kind: Kind of the intervals.
        mode: "quick" or "full".
        table: The calibrated table.
    """
    tables = prior.info.card.get("intervals", {}) | {kind: table.record()}
    calibrated = prior.with_card({**prior.info.card, "intervals": tables})
    found: dict[str, dict[str, Any]] = {}
    for name, sample in full_angle_samples().items():
        scan, reference = scan_with_reference(sample, REFERENCE)
        for missing in MISSING_DEG:
            part = pf.with_air(limit_range(scan, missing, sample.first_angle_deg(missing)))
            result = pf.reconstruct(part, "pfitre", prior=calibrated, intervals=mode)
            if result.lower is None or result.upper is None or result.intervals is None:
                continue
            image, lower, upper = (
                crop_center(a, len(reference.support)) / reference.scale
                for a in (result.volume, result.lower, result.upper)
            )
            support = crop_center(result.support[None], len(reference.support))[0]
            inside = np.asarray(reference.support, bool) & np.asarray(support, bool)
            error, width = np.abs(image - reference.images)[:, inside], (upper - image)[:, inside]
            covered = (lower <= reference.images) & (reference.images <= upper)
            constant = np.quantile(error, covered[:, inside].mean())
            found.setdefault(name, {})[f"{missing:g}"] = {
                "coverage": float(covered[:, inside].mean()),
                "area": area_under_curve(width.ravel(), (error >= np.quantile(error, 1 - LARGEST)).ravel()),
                "width_ratio": float(width.mean() / constant),
                "domain_score": result.domain_score,
                "holds": result.intervals["holds"],
                "reasons": result.intervals["reasons"],
                "noise": result.intervals["noise"],
            }
            print(name, missing, found[name][f"{missing:g}"], flush=True)
    return found


def real_table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown of :func:`real_coverage`."""
    columns = ("sample, degrees missing", "coverage", "area under the curve", "width / constant width")
    lines = ["| " + " | ".join([*columns, "domain score"]) + " |", "|---" * 5 + "|"]
    for name, by_wedge in results.items():
        for missing, part in by_wedge.items():
            score = "" if part["domain_score"] is None else f"{part['domain_score']:.2f}"
            lines.append(
                f"| {name}, {missing} | {part['coverage']:.1%} | {part['area']:.3f} | "
                f"{part['width_ratio']:.2f} | {score} |"
            )
    return "\n".join(lines) + "\n"
