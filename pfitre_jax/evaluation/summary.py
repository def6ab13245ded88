"""What the records of an evaluation add up to: plain numbers, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from pfitre_jax.evaluation.cells import VARIED
from pfitre_jax.evaluation.measures import MEASURES
from pfitre_jax.evaluation.methods import LABELS
from pfitre_jax.evaluation.scenes import kinds

#: Of the angle between wires and wedge, degrees.
BINS = tuple(range(0, 91, 15))
#: Kinds whose long wires run both ways: they say nothing of an angle.
TWO_WAY = ("routed", "spiral")


def summarise(records: list[dict]) -> dict:
    """Sums over the base case at the top, then one factor at a time.

    ``factors``: for each value of wedge, noise and views :func:`_group` of the scans, the base case's own
    value with the same scenes; ``sources`` likewise; ``artifacts``: :func:`_artifacts`. What was not run is
    left out.
    """
    base = [r for r in records if r["factor"] == "orientation"]
    angled = [r for r in base if r.get("wires_to_wedge_deg") is not None and r["kind"] not in TWO_WAY]
    doubts = [r["disagreement"] for r in base]
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
        "disagreement": {"median": float(np.median(doubts)), "limit": float(np.quantile(doubts, 0.95))},
    }
    factors = {name: _factor(records, base, name, field) for name, field in VARIED.items()}
    summary["factors"] = {name: rows for name, rows in factors.items() if rows}
    summary["sources"] = _factor(records, base, "sources", "source")
    summary["artifacts"] = _artifacts(records, base)
    return {name: value for name, value in summary.items() if value != {}}


def _group(records: list[dict]) -> dict:
    """Number of scans, mean PSNR of each method that all had, spread of the gain over FISTA-TV, and the same
    over directional TV, or over the rows of a volume one by one, residual over noise and error inside and
    outside the wedge of `pfitre`."""
    shared = [name for name in LABELS if all(name in r["methods"] for r in records)]
    ours = lambda measure: [r["methods"]["pfitre"][measure] for r in records]  # noqa: E731
    ratio = ours("residual_over_noise")
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
    return group | {
        "residual_over_noise": {"mean": float(np.mean(ratio)), "smallest": min(ratio), "largest": max(ratio)},
        "error_inside": float(np.mean(ours("error_inside"))),
        "error_outside": float(np.mean(ours("error_outside"))),
    }


def _factor(records: list[dict], base: list[dict], factor: str, field: str) -> dict:
    """:func:`_group` for each value of a factor; the base case's with the scenes of the others."""
    varied = [r for r in records if r["factor"] == factor]
    if not varied:
        return {}
    seeds = {r["seed"] for r in varied}
    scans = [r for r in base if r["seed"] in seeds] + varied
    values = dict.fromkeys(r[field] for r in scans)
    ordered = values if factor == "sources" else sorted(values)
    return {_text(value): _group([r for r in scans if r[field] == value]) for value in ordered}


def _artifacts(records: list[dict], base: list[dict]) -> dict:
    """For each artifact alone: strength, mean PSNR and gain of the same scenes without and with it, and
    ``kept``, the share of the clean gain that is left; None where there is no clean gain to keep."""
    clean = {r["seed"]: r for r in base}
    spoilt = [r for r in records if r["factor"] == "artifacts"]
    rows = {}
    for name in dict.fromkeys(r["artifact"] for r in spoilt):
        pairs = [(clean[r["seed"]], r) for r in spoilt if r["artifact"] == name]
        row = {"strength": pairs[0][1]["strength"], "scenes": len(pairs)}
        for method in ("fista_tv", "pfitre"):
            row[method] = _clean_and_with(pairs, lambda r: r["methods"][method]["psnr"])  # noqa: B023
        row["gain"] = _clean_and_with(pairs, _gain)
        there = row["gain"]["clean"]
        rows[name] = row | {"kept": row["gain"]["with"] / there if there > 0 else None}
    return rows


def _clean_and_with(pairs, value: Callable[[dict], float]) -> dict[str, float]:
    return {"clean": _mean([c for c, _ in pairs], value), "with": _mean([s for _, s in pairs], value)}


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
