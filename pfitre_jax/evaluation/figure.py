"""The figure of an evaluation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.scenes import kinds
from pfitre_jax.evaluation.tables import OTHER_GAINS, TITLES
from pfitre_jax.plotting.style import FRAME, MEASURED, MISSING, new_figure

#: Colours of pfitre, of another method, and of single scans.
_PFITRE, _OTHER, _FAINT = MEASURED, MISSING, FRAME


def draw_evaluation(records: list[dict], summary: dict, settings: EvaluationSettings) -> Figure:
    """Draws each scan against FISTA-TV, and the gain by kind, by angle and by every factor that was varied.

    Error bars end at the smallest and the largest gain.

    Args:
        records: Records of the evaluation.
        summary: Their summary.
        settings: Settings of the evaluation.
    """
    base = [r for r in records if r["factor"] == "orientation"]
    panels: list[tuple[Callable[..., None], tuple]] = [
        (_draw_scatter, (base,)),
        (_draw_kinds, (base,)),
        *([(_draw_angles, (base, summary["gain_by_angle_deg"]))] if "gain_by_angle_deg" in summary else []),
        *((_draw_factor, (name, rows)) for name, rows in summary.get("factors", {}).items()),
        *([(_draw_sources, (summary["sources"],))] if "sources" in summary else []),
        *([(_draw_artifacts, (summary["artifacts"],))] if "artifacts" in summary else []),
    ]
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    title = (
        f"{settings.source}: {settings.missing_deg:g} degrees missing, {settings.views} views, "
        f"{settings.noise:.1%} noise, one factor varied at a time"
    )
    with new_figure(4.4 * columns, 4.0 * rows + 0.4, title, dpi=110) as drawing:
        axes = drawing.subplots(rows, columns, squeeze=False).ravel()
        for axis, (draw, content) in zip(axes, panels, strict=False):
            draw(axis, *content)
            axis.spines[["top", "right"]].set_visible(False)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
    return drawing


def _draw_scatter(axis, base) -> None:
    tv, pfitre = ([r["methods"][name]["psnr"] for r in base] for name in ("fista_tv", "pfitre"))
    ends = [min(tv + pfitre) - 1, max(tv + pfitre) + 1]
    axis.plot(ends, ends, "k-", lw=0.8)
    axis.plot(tv, pfitre, "o", ms=4, alpha=0.7, color=_PFITRE)
    axis.set(xlabel="FISTA-TV at its best weight, PSNR dB", ylabel="pfitre, PSNR dB", xlim=ends, ylim=ends)
    axis.set_title(f"{len(base)} scans of the base case", loc="left")


def _draw_kinds(axis, base) -> None:
    names = kinds(base)
    gains = [[r["gain"] for r in base if r["kind"] == name] for name in names]
    axis.boxplot(gains, tick_labels=names, medianprops={"color": _PFITRE})
    axis.tick_params(axis="x", rotation=45)
    _gain_axis(axis, "kind of scene")


def _draw_angles(axis, base, bins) -> None:
    angled = [r for r in base if r.get("wires_to_wedge_deg") is not None]
    axis.plot([r["wires_to_wedge_deg"] for r in angled], [r["gain"] for r in angled], ".", color=_FAINT, ms=4)
    middles = [np.mean([float(end) for end in name.split("-")]) for name in bins]
    axis.plot(middles, [spread["mean"] for spread in bins.values()], "o-", color=_PFITRE)
    axis.set(xlabel="degrees; at 90 no view resolves the long edges", xticks=range(0, 91, 15))
    _gain_axis(axis, "angle between wires and wedge")


def _draw_factor(axis, name, rows) -> None:
    _, unit = TITLES[name]
    _draw_spreads(axis, list(rows), [row["gain"] for row in rows.values()])
    for label, key in OTHER_GAINS.items():
        if all(key in row for row in rows.values()):
            gains = [row[key]["mean"] for row in rows.values()]
            axis.plot(range(len(rows)), gains, "s--", color=_OTHER, ms=4, lw=1, label=label)
    _legend(axis)
    axis.set_xlabel(unit)
    _gain_axis(axis, name)


def _draw_sources(axis, rows) -> None:
    _draw_spreads(axis, list(rows), [row["gain"] for row in rows.values()], line="o")
    axis.tick_params(axis="x", rotation=45)
    _gain_axis(axis, "source of the scenes")


def _draw_spreads(axis, names, spreads, line="o-") -> None:
    mean, low, high = (np.array([s[key] for s in spreads]) for key in ("mean", "smallest", "largest"))
    places = range(len(names))
    axis.errorbar(
        places, mean, yerr=[mean - low, high - mean], fmt=line, color=_PFITRE, capsize=3, lw=1.2,
        label="over FISTA-TV",
    )  # fmt: skip
    axis.set_xticks(places, names)
    axis.margins(x=0.1)


def _draw_artifacts(axis, rows) -> None:
    places = np.arange(len(rows))
    for shift, key, color in ((0.2, "clean", _FAINT), (-0.2, "with", _PFITRE)):
        label = "without" if key == "clean" else "with"
        axis.barh(places + shift, [row["gain"][key] for row in rows.values()], 0.38, color=color, label=label)
    axis.set_yticks(places, [name.replace("_", " ") for name in rows])
    axis.tick_params(axis="y", labelsize=8)
    axis.invert_yaxis()
    axis.axvline(0, color="k", lw=0.8)
    _legend(axis)
    axis.set(xlabel="gain over FISTA-TV, dB")
    axis.set_title("each artifact alone", loc="left")


def _legend(axis) -> None:
    """Adds the legend to the right of the title, where nothing is drawn."""
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.98), "borderpad": 0.1, "columnspacing": 1.0}
    axis.legend(frameon=False, fontsize=8, ncols=2, handlelength=1.4, **place)


def _gain_axis(axis, title: str) -> None:
    axis.axhline(0, color="k", lw=0.8)
    axis.set_ylabel("gain, dB")
    axis.set_title(title, loc="left")
