"""The summary of an evaluation as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence

from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.measures import MEASURES
from pfitre_jax.evaluation.method_names import LABELS
from pfitre_jax.metrics import Metric

#: Title and unit of each factor.
TITLES = {
    "wedge": ("Width of the missing wedge", "degrees missing"),
    "noise": ("Noise", "of the maximum"),
    "views": ("Views", "views"),
}
#: Label, and key in the summary, of the gains over other methods than FISTA-TV.
OTHER_GAINS = {"over directional TV": "gain_over_directional", "over row by row": "gain_over_rows"}


def markdown(summary: dict, settings: EvaluationSettings, parameters: dict) -> str:
    """Returns every table of an evaluation.

    Args:
        summary: See :func:`pfitre_jax.evaluation.summary.summarise`.
        settings: Settings of the evaluation.
        parameters: Parameters of the method and name of the prior, to be printed.
    """
    listed = ", ".join(f"{name} {value}" for name, value in parameters.items())
    gain = summary["gain"]
    shown = {name: metric for name, metric in MEASURES.items() if "methods" in metric.tables}
    parts = [
        "# Evaluation",
        f"{listed}. Base case: {settings.source}, {settings.missing_deg:g} degrees missing, {settings.views} "
        f"views, {settings.noise:.1%} noise, {settings.size} x {settings.size}, {summary['scenes']} scans"
        f"{'' if settings.rows == 1 else f' of {settings.rows} rows'}. "
        f"Gains are of `pfitre` over FISTA-TV; total variation has its best weight for each "
        f"{'scan' if settings.rows == 1 else 'row'}.",
        f"Gain {gain['mean']:+.2f} dB in the mean, {gain['median']:+.2f} in the median, {_range(gain)}; "
        f"{gain['share_below_0']:.0%} of the scans lose.",
        "## Methods, base case",
        _table(
            ("", *(_header(metric) for metric in shown.values())),
            [
                (LABELS[name], *(f"{values[m]:.{metric.digits}f}" for m, metric in shown.items()))
                for name, values in summary["methods"].items()
            ],
        ),
        "Errors: norm of the error over the norm of the truth, both in the frequencies inside or outside the "
        "wedge.",
        "## Kinds of scenes, base case",
        _table(("", "gain, dB"), [(k, f"{v:+.2f}") for k, v in summary["gain_by_kind"].items()]),
        "## Orientation of the wedge, base case",
        _table(
            ("degrees", "gain, dB"), [(k, f"{v:+.2f}") for k, v in summary["gain_by_orientation_deg"].items()]
        ),
    ]
    if "gain_by_angle_deg" in summary:
        parts += [
            "## Angle between wires and the middle of the wedge, base case",
            _table(
                ("degrees", "scans", "gain, dB", "from, to"),
                [
                    (k, v["scenes"], f"{v['mean']:+.2f}", _range(v))
                    for k, v in summary["gain_by_angle_deg"].items()
                ],
            ),
            "At 90 degrees no view resolves the long edges of the wires.",
        ]
    for name, rows in summary.get("factors", {}).items():
        title, unit = TITLES[name]
        parts += [f"## {title}", _groups(unit, rows)]
    if "sources" in summary:
        parts += ["## Sources of scenes", _groups("", summary["sources"])]
    if "artifacts" in summary:
        parts += ["## Artifacts, each alone", _artifacts(summary["artifacts"])]
    return "\n\n".join(parts) + "\n"


def _header(metric: Metric) -> str:
    return f"{metric.label}, {metric.unit}" if metric.unit else metric.label


def _groups(first: str, rows: dict) -> str:
    """Returns the table of a factor; ``first`` is the header of its values."""
    candidates = ("fbp", "fista_tv", "fista_dtv", "network_once", "rows", "pfitre")
    methods = [name for name in candidates if all(name in row["psnr"] for row in rows.values())]
    gains = {label: key for label, key in OTHER_GAINS.items() if all(key in row for row in rows.values())}
    metrics = {name: metric for name, metric in MEASURES.items() if "factors" in metric.tables}
    header = (
        *(first, "scans", *(LABELS[name] for name in methods)),
        *("gain, dB", "from, to", *gains, *(_header(metric) for metric in metrics.values())),
    )
    lines = [
        (
            value,
            row["scenes"],
            *(f"{row['psnr'][name]:.2f}" for name in methods),
            f"{row['gain']['mean']:+.2f}",
            _range(row["gain"]),
            *(f"{row[key]['mean']:+.2f}" for key in gains.values()),
            *(_value(metric, row[name]) for name, metric in metrics.items()),
        )
        for value, row in rows.items()
    ]
    return _table(header, lines)


def _value(metric: Metric, value) -> str:
    """Returns the mean or the range of a metric as text."""
    if metric.range_in_factors:
        return f"{value['smallest']:.{metric.digits}f} to {value['largest']:.{metric.digits}f}"
    return f"{value:.{metric.digits}f}"


def _artifacts(rows: dict) -> str:
    header = ("", "strength", "scans", "FISTA-TV", "pfitre", "gain, dB", "share of the clean gain kept")
    both = lambda pair, form: f"{pair['clean']:{form}} -> {pair['with']:{form}}"  # noqa: E731
    lines = [
        (
            name,
            f"{row['strength']:g}",
            row["scenes"],
            both(row["fista_tv"], ".2f"),
            both(row["pfitre"], ".2f"),
            both(row["gain"], "+.2f"),
            "-" if row["kept"] is None else f"{row['kept']:.0%}",
        )
        for name, row in rows.items()
    ]
    return _table(header, lines)


def _range(spread: dict) -> str:
    return f"{spread['smallest']:+.1f} to {spread['largest']:+.1f}"


def _table(header: Sequence, lines: Sequence[Sequence]) -> str:
    row = lambda cells: "| " + " | ".join(str(cell) for cell in cells) + " |"  # noqa: E731
    return "\n".join([row(header), "|" + "---|" * len(header), *map(row, lines)])
