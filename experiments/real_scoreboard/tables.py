"""Tables of the scoreboard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from experiments.real_scoreboard.config import Config
from experiments.real_scoreboard.samples import best_weight

#: A gain below minus this, dB, counts as a loss.
LARGEST_LOSS = 0.3
#: Results of one sample: measures by candidate, by removed views.
Results = Mapping[str, Mapping[str, Mapping[str, float]]]


def sample_table(config: Config, name: str, results: Results) -> str:
    """Markdown: PSNR, SSIM and, where known, Matthews' correlation of every method on one sample."""
    held_out = any("error" in cell for by_label in results.values() for cell in by_label.values())
    keys = [
        (key, form)
        for key, form in (
            ("psnr", "{:.2f}"),
            ("ssim", "{:.3f}"),
            ("removed", "{:.4f}"),
            ("matthews", "{:.3f}"),
            ("error", "{:.3f}"),
        )
        if any(key in cell for by_label in results.values() for cell in by_label.values())
    ]
    labels = {
        "psnr": "PSNR, dB",
        "ssim": "SSIM",
        "removed": "removed views",
        "matthews": "Matthews",
        "error": "error",
    }
    lines = [
        f"{name}: error on held-out views." if held_out else f"{name}: against the image from all views.",
        "",
    ]
    for cut, by_label in results.items():
        heading = [f"{name}, without {cut}", *(labels[key] for key, _ in keys), "TV weight"]
        lines += ["| " + " | ".join(heading) + " |", "|---" * len(heading) + "|"]
        for label, cell in by_label.items():
            values = [form.format(cell[key]) if key in cell else "" for key, form in keys]
            weight = f"{cell['weight']:.2g}" if "weight" in cell else ""
            lines.append("| " + " | ".join([label, *values, weight]) + " |")
        lines.append("")
    return "\n".join(lines)


def scoreboard(config: Config, results: Mapping[str, Results]) -> str:
    """Markdown: gain over the baseline of every scan, the worst first; mean and worst gains; held-out views.

    Args:
        config: Configuration of the experiment.
        results: Results by sample.
    """
    compared = best_weight(config.baseline) if config.weights else config.baseline
    measured = {name: cells for name, cells in results.items() if _has(cells, "psnr")}
    predicted = {name: cells for name, cells in results.items() if _has(cells, "error")}
    labels = _labels(results)
    lines = _gain_lines(measured, labels, compared)
    lines += _measure_lines(measured, labels, "psnr", "{:.2f}", "PSNR, dB, inside the support.")
    lines += _measure_lines(measured, labels, "ssim", "{:.3f}", "SSIM, inside the support.")
    title = "Relative error on the removed views, which were measured: no image is compared."
    lines += _measure_lines(measured, labels, "removed", "{:.4f}", title)
    title = "Matthews' correlation with the official segmentation, after Otsu's threshold."
    lines += _measure_lines(measured, labels, "matthews", "{:.3f}", title)
    title = "Relative error on held-out views."
    lines += _measure_lines(predicted, labels, "error", "{:.3f}", title)
    return "\n".join(lines) + "\n"


def _gain_lines(results: Mapping[str, Results], labels: list[str], compared: str) -> list[str]:
    """Summary by width of the wedge, and all scans, ordered by the lowest gain of any learned prior."""
    gains: dict[tuple[str, str], dict[str, float]] = {}
    for name, cells in results.items():
        for cut, by_label in cells.items():
            if compared in by_label:
                base = by_label[compared]["psnr"]
                gains[name, cut] = {label: cell["psnr"] - base for label, cell in by_label.items()}
    shown = [label for label in labels if label != compared and any(label in gain for gain in gains.values())]
    if not shown:
        return []
    lines = [
        f"Gain over {compared}, dB: mean of the scans, worst scan, number of scans below -{LARGEST_LOSS} dB.",
        "",
    ]
    lines += ["| degrees missing | " + " | ".join(shown) + " |", "|---" * (1 + len(shown)) + "|"]
    for width in dict.fromkeys(cut.split(" degrees")[0] for _, cut in gains):
        texts = []
        for label in shown:
            every = [
                (gain[label], name)
                for (name, cut), gain in gains.items()
                if cut.split(" degrees")[0] == width and label in gain
            ]
            if not every:
                texts.append("")
                continue
            worst, scan = min(every)
            mean = np.mean([value for value, _ in every])
            below = sum(value < -LARGEST_LOSS for value, _ in every)
            texts.append(f"{mean:+.2f}, {worst:+.2f} ({scan}), {below} of {len(every)}")
        lines.append(f"| {width} | " + " | ".join(texts) + " |")
    learned = [label for label in shown if label in _learned(labels)] or shown
    order = sorted(gains, key=lambda cell: min(gains[cell].get(label, np.inf) for label in learned))
    lines += ["", f"Gain over {compared}, dB, the worst of the learned priors first.", ""]
    lines += ["| scan, without | " + " | ".join(shown) + " |", "|---" * (1 + len(shown)) + "|"]
    for name, cut in order:
        gain = gains[name, cut]
        texts = [f"{gain[label]:+.2f}" if label in gain else "" for label in shown]
        lines.append(f"| {name}, {cut} | " + " | ".join(texts) + " |")
    return [*lines, ""]


def _measure_lines(
    results: Mapping[str, Results], labels: list[str], key: str, form: str, title: str
) -> list[str]:
    """Table of one measure; empty where no scan has it."""
    rows = [
        (f"{name}, {cut}", by_label)
        for name, cells in results.items()
        for cut, by_label in cells.items()
        if any(key in cell for cell in by_label.values())
    ]
    if not rows:
        return []
    shown = [label for label in labels if any(key in by_label.get(label, {}) for _, by_label in rows)]
    lines = [title, "", "| scan, without | " + " | ".join(shown) + " |", "|---" * (1 + len(shown)) + "|"]
    for name, by_label in rows:
        texts = [
            form.format(by_label[label][key]) if key in by_label.get(label, {}) else "" for label in shown
        ]
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return [*lines, ""]


def _has(cells: Results, key: str) -> bool:
    return any(key in cell for by_label in cells.values() for cell in by_label.values())


def _labels(results: Mapping[str, Results]) -> list[str]:
    """Labels of all candidates, in order of appearance."""
    names = (label for cells in results.values() for by_label in cells.values() for label in by_label)
    return list(dict.fromkeys(names))


def _learned(labels: list[str]) -> list[str]:
    """Labels of learned priors: a name and a hash."""
    return [label for label in labels if len(label.split()[-1]) == 8 and " " in label]
