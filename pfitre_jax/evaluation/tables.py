"""The summary of an evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pfitre_jax.evaluation.cells import EvaluationSettings
from pfitre_jax.evaluation.methods import LABELS

#: A factor's name and the unit of its values.
TITLES = {
    "wedge": ("Width of the missing wedge", "degrees missing"),
    "noise": ("Noise", "of the maximum"),
    "views": ("Views", "views"),
}
#: What the gain is told over beside FISTA-TV, and where a summary has it.
OVERS = {"over directional TV": "gain_over_directional", "over its rows one by one": "gain_over_rows"}


def markdown(summary: dict, settings: EvaluationSettings, parameters: dict) -> str:
    """Every table of the evaluation, one below the other."""
    told = ", ".join(f"{name} {value}" for name, value in parameters.items())
    gain = summary["gain"]
    parts = [
        "# Evaluation",
        f"{told}. Base case: {settings.source}, {settings.missing_deg:g} degrees missing, {settings.views} "
        f"views, {settings.noise:.1%} noise, {settings.size} x {settings.size}, {summary['scenes']} scans"
        f"{'' if settings.rows == 1 else f' of {settings.rows} rows'}. "
        f"Gains are of `pfitre` over FISTA-TV; total variation has its best weight for each "
        f"{'scan' if settings.rows == 1 else 'row'}.",
        f"Gain {gain['mean']:+.2f} dB in the mean, {gain['median']:+.2f} in the median, {_range(gain)}; "
        f"{gain['share_below_0']:.0%} of the scans lose.",
        "## Methods, base case",
        _table(
            ("", "PSNR, dB", "SSIM", "residual / noise", "error inside the wedge", "outside"),
            [
                (
                    LABELS[name],
                    f"{m['psnr']:.2f}",
                    f"{m['ssim']:.3f}",
                    f"{m['residual_over_noise']:.2f}",
                    f"{m['error_inside']:.2f}",
                    f"{m['error_outside']:.2f}",
                )
                for name, m in summary["methods"].items()
            ],
        ),
        "Errors: norm of the error over that of the truth, in the frequencies inside and outside the wedge.",
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
            "At 90 degrees no view sees the wires' long edges.",
        ]
    for name, rows in summary.get("factors", {}).items():
        title, unit = TITLES[name]
        parts += [f"## {title}", _groups(unit, rows)]
    if "sources" in summary:
        parts += ["## Sources of scenes", _groups("", summary["sources"])]
    if "artifacts" in summary:
        parts += ["## Artifacts, each alone", _artifacts(summary["artifacts"])]
    return "\n\n".join(parts) + "\n"


def _groups(first: str, rows: dict) -> str:
    shown = ("fbp", "fista_tv", "fista_dtv", "network_once", "rows", "pfitre")
    methods = [name for name in shown if all(name in row["psnr"] for row in rows.values())]
    overs = {label: name for label, name in OVERS.items() if all(name in row for row in rows.values())}
    header = (
        *(first, "scans", *(LABELS[name] for name in methods)),
        *("gain, dB", "from, to", *overs, "residual / noise", "error inside", "outside"),
    )
    lines = []
    for value, row in rows.items():
        noise = row["residual_over_noise"]
        lines.append(
            (
                value,
                row["scenes"],
                *(f"{row['psnr'][name]:.2f}" for name in methods),
                f"{row['gain']['mean']:+.2f}",
                _range(row["gain"]),
                *(f"{row[name]['mean']:+.2f}" for name in overs.values()),
                f"{noise['smallest']:.2f} to {noise['largest']:.2f}",
                f"{row['error_inside']:.2f}",
                f"{row['error_outside']:.2f}",
            )
        )
    return _table(header, lines)


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
