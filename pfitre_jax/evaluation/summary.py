"""Summary of the records of an evaluation: means and ranges as plain numbers, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from pfitre_jax.evaluation.cells import VARIED
from pfitre_jax.evaluation.measures import MEASURES
from pfitre_jax.evaluation.method_names import LABELS
from pfitre_jax.evaluation.scenes import kinds

#: Edges of the intervals of the angle between wires and wedge, degrees.
BINS = tuple(range(0, 91, 15))
#: Kinds with long wires in two directions, which have no angle.
TWO_WAY = ("routed", "spiral")


def summarise(records: list[dict]) -> dict:
    """Summarises records.

    Returns:
        The summary of the base case; under ``factors``, for each factor, the summary of the scans with each
        of its values, where the base case has the same scenes; under ``sources`` the same for each source;
        under ``artifacts`` the PSNR and gain without and with each artifact. Factors without records are
        absent.
    """
    base = [r for r in records if r["factor"] == "orientation"]
    angled = [r for r in base if r.get("wires_to_wedge_deg") is not None and r["kind"] not in TWO_WAY]
    disagreements = [r["disagreement"] for r in base]
    summary = _group(base) | {
        "methods": {
            name: {measure: _mean(base, lambda r: r["methods"][name][measure]) for measure in MEASURES}  # noqa: B023
            for name in LABELS
            if all(name in r["methods"] for r in base)
        },
        "gain_by_kind": {kind: _mean([r for r in base if r["kind"] == kind], _gain) for kind in kinds(base)},
        "gain_by_orientation_deg": _by(base, lambda r: r["wedge_center_deg"]),
        "gain_by_angle_deg": {
            f"{low}-{high}": _spread([_gain(r) for r in inside])
            for low, high in pairwise(BINS)
            # The last interval has both its ends.
            if (inside := [r for r in angled if low <= r["wires_to_wedge_deg"] < high + (high == BINS[-1])])
        },
        "disagreement": {
            "median": float(np.median(disagreements)),
            "limit": float(np.quantile(disagreements, 0.95)),
        },
    }
    factors = {name: _factor(records, base, name, field) for name, field in VARIED.items()}
    summary["factors"] = {name: rows for name, rows in factors.items() if rows}
    summary["sources"] = _factor(records, base, "sources", "source")
    summary["artifacts"] = _artifacts(records, base)
    return {name: value for name, value in summary.items() if value != {}}


def _group(records: list[dict]) -> dict:
    """Summarises a group of scans.

    Returns:
        Number of scans, mean PSNR of each method that all scans have, spread of the gain of ``pfitre`` over
        FISTA-TV, directional TV and the reconstruction row by row, and the metrics of ``pfitre`` that the
        tables of factors show.
    """
    shared = [name for name in LABELS if all(name in r["methods"] for r in records)]
    group = {
        "scenes": len(records),
        "psnr": {name: _mean(records, lambda r: r["methods"][name]["psnr"]) for name in shared},  # noqa: B023
        "gain": _spread([_gain(r) for r in records]),
    }
    if "fista_dtv" in shared:
        group["gain_over_directional"] = _spread(
            [r["methods"]["pfitre"]["psnr"] - r["methods"]["fista_dtv"]["psnr"] for r in records]
        )
    if "rows" in shared:
        group["gain_over_rows"] = _spread(
            [r["methods"]["pfitre"]["psnr"] - r["methods"]["rows"]["psnr"] for r in records]
        )
    for name, metric in MEASURES.items():
        if "factors" not in metric.tables:
            continue
        values = [r["methods"]["pfitre"][name] for r in records]
        mean = float(np.mean(values))
        group[name] = (
            {"mean": mean, "smallest": min(values), "largest": max(values)}
            if metric.range_in_factors
            else mean
        )
    return group


def _factor(records: list[dict], base: list[dict], factor: str, field: str) -> dict:
    """Returns :func:`_group` for each value of a factor, where the base case has the same scenes."""
    varied = [r for r in records if r["factor"] == factor]
    if not varied:
        return {}
    seeds = {r["seed"] for r in varied}
    scans = [r for r in base if r["seed"] in seeds] + varied
    values = dict.fromkeys(r[field] for r in scans)
    ordered = values if factor == "sources" else sorted(values)
    return {_text(value): _group([r for r in scans if r[field] == value]) for value in ordered}


def _artifacts(records: list[dict], base: list[dict]) -> dict:
    """Compares the same scenes without and with each artifact.

    Returns:
        For each artifact its strength, the number of scans, PSNR and gain without ("clean") and with it, and
        ``kept``, the share of the clean gain that remains, or None where the clean gain is not positive.
    """
    clean = {r["seed"]: r for r in base}
    with_artifact = [r for r in records if r["factor"] == "artifacts"]
    rows = {}
    for name in dict.fromkeys(r["artifact"] for r in with_artifact):
        pairs = [(clean[r["seed"]], r) for r in with_artifact if r["artifact"] == name]
        row = {"strength": pairs[0][1]["strength"], "scenes": len(pairs)}
        for method in ("fista_tv", "pfitre"):
            row[method] = _clean_and_with(pairs, lambda r: r["methods"][method]["psnr"])  # noqa: B023
        row["gain"] = _clean_and_with(pairs, _gain)
        clean_gain = row["gain"]["clean"]
        rows[name] = row | {"kept": row["gain"]["with"] / clean_gain if clean_gain > 0 else None}
    return rows


def _clean_and_with(pairs, value: Callable[[dict], float]) -> dict[str, float]:
    return {
        "clean": _mean([without for without, _ in pairs], value),
        "with": _mean([record for _, record in pairs], value),
    }


def _spread(values: list[float]) -> dict:
    return {
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "smallest": float(np.min(values)),
        "largest": float(np.max(values)),
        "share_below_0": float(np.mean(np.asarray(values) < 0)),
        "scenes": len(values),
    }


def _by(records: list[dict], key: Callable[[dict], float]) -> dict[str, float]:
    values = sorted({key(r) for r in records})
    return {_text(value): _mean([r for r in records if key(r) == value], _gain) for value in values}


def _gain(record: dict) -> float:
    return record["gain"]


def _mean(records: list[dict], value: Callable[[dict], float]) -> float:
    return float(np.mean([value(r) for r in records]))


def _text(value) -> str:
    return value if isinstance(value, str) else f"{value:g}"
