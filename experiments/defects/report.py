"""Tables and figure of the experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation

from experiments.defects.config import TV, Config
from experiments.defects.scans import BLIND, EVERY, MEASURED
from experiments.defects.visibility import CONTAINED, ROSE, SEEN, SUPPLIED, WIDER

#: Side of the images of the figure, pixels.
CROP = 36
#: Defects in the figure.
SHOWN = 7
#: Size from which defects are expected to be seen, pixels.
LARGE = 3.0


@dataclasses.dataclass(frozen=True)
class Scan:
    """One scan of a defect.

    Attributes:
        method: Label of the method.
        kind: Kind of the defect.
        size: Its size, pixels.
        chip: Number of the chip.
        seed: Number of the scan of the chip.
        direction: Direction of its edges.
        contrast: Contrast in the reconstruction.
        contained: Share of its true values in the interval; None without intervals.
        wider: Share of its pixels whose interval is wider than the local contrast; None without intervals.
        supplied: Share of its energy in the missing wedge.
    """

    method: str
    kind: str
    size: float
    chip: str
    seed: int
    direction: str
    contrast: float
    contained: float | None
    wider: float | None
    supplied: float

    @property
    def seen(self) -> bool:
        """Whether the image is nearer to the chip with the defect than to the one without."""
        return self.contrast >= SEEN

    @property
    def in_interval(self) -> bool:
        """Whether the interval contains the defect."""
        return self.contained is not None and self.contained >= CONTAINED

    @property
    def in_wide_interval(self) -> bool:
        """Whether the interval is wider than the local contrast, which is known without the truth."""
        return self.wider is not None and self.wider >= WIDER

    @property
    def in_wedge(self) -> bool:
        """Whether the supplied component warns of the defect."""
        return self.supplied >= SUPPLIED

    @property
    def warned(self) -> bool:
        """Whether any of them warns."""
        return self.in_interval or self.in_wide_interval or self.in_wedge


def scans_of(results: dict) -> Iterator[Scan]:
    """All scans with a defect."""
    for kind, by_size in results.items():
        for size, by_method in by_size.items():
            for method, by_chip in by_method.items():
                for chip, values in by_chip.items():
                    without = [None] * len(values["contrast"])
                    contained, wider = (values.get(name, without) for name in ("contained", "wider"))
                    columns = zip(values["contrast"], contained, wider, strict=True)
                    for seed, measures in enumerate(columns):
                        yield Scan(
                            method, kind, float(size), chip, seed, values["direction"], *measures,
                            values["supplied_share"],
                        )  # fmt: skip


def _chips(results: dict, method: str, direction: str) -> list[dict]:
    """Measures of the chips with a large defect whose edges have a direction."""
    return [
        values
        for by_size in results.values()
        for size, by_method in by_size.items()
        for values in by_method.get(method, {}).values()
        if float(size) >= LARGE and values["direction"] == direction
    ]


def _healthy_contrast(results: dict, method: str) -> list[float]:
    """Contrast of the defects in all scans of the chips without them."""
    methods = [by_method for by_size in results.values() for by_method in by_size.values()]
    chips = [values for by_method in methods for values in by_method.get(method, {}).values()]
    return [value for values in chips for value in values["healthy_contrast"]]


def _share(flags: Iterable[bool]) -> str:
    flags = list(flags)
    return f"{np.mean(flags):.0%} of {len(flags)}" if flags else ""


def tables(config: Config, results: dict) -> str:
    """Markdown: a summary by method, then a line for each kind, size and direction."""
    scans = list(scans_of(results))
    methods = [m for m in config.methods if any(scan.method == m for scan in scans)]
    lines = [
        f"Missing wedge {config.missing_deg:g} degrees, {config.views} views, noise {config.noise:.1%}, "
        f"{config.size} x {config.size} pixels, prior `{Path(config.prior).name}`. Each "
        "scan of a defect counts once. Seen:",
        "",
        f"| method | {LARGE:g} pixels or more, edges measured | edges of every direction | blind edges | "
        "smaller | false alarms, all healthy chips |",
        "|---" * 6 + "|",
    ]
    of = {method: [scan for scan in scans if scan.method == method] for method in methods}
    for method, own in of.items():
        large = [scan for scan in own if scan.size >= LARGE]
        parts = [_share(s.seen for s in large if s.direction == d) for d in (MEASURED, EVERY, BLIND)]
        parts.append(_share(s.seen for s in own if s.size < LARGE))
        parts.append(_share(value >= SEEN for value in _healthy_contrast(results, method)))
        lines.append(f"| {method} | " + " | ".join(parts) + " |")
    lines += [
        "",
        f"Compared with a scan of the same chip without the defect, {LARGE:g} pixels or more: share of chips "
        f"whose difference is at least {ROSE:g} standard deviations of the noise (Rose criterion), and whose "
        f"contrast rises by at least {SEEN:g}:",
        "",
        "| method | edges measured | edges of every direction | blind edges |",
        "|---" * 4 + "|",
    ]
    for method in of:
        parts = []
        for direction in (MEASURED, EVERY, BLIND):
            chips = _chips(results, method, direction)
            rises = [np.mean(v["contrast"]) - np.mean(v["healthy_contrast"]) for v in chips]
            rose = _share(values["detectability"] >= ROSE for values in chips)
            parts.append(f"{rose}; {_share(rise >= SEEN for rise in rises)}" if chips else "")
        lines.append(f"| {method} | " + " | ".join(parts) + " |")
    lines += [
        "",
        "Invented away, and the share of these that is warned of:",
        "",
        "| method | scans | the interval contains the defect | it is wider than the contrast | the supplied "
        f"component | any | seen by fista-tv | {LARGE:g} pixels or more: contained | wider | any |",
        "|---" * 10 + "|",
    ]
    shown = {(s.kind, s.size, s.chip, s.seed) for s in of.get(TV, []) if s.seen}
    for method, own in of.items():
        away = [scan for scan in own if not scan.seen]
        large = [scan for scan in away if scan.size >= LARGE]
        has_intervals = own[0].contained is not None
        parts = [
            f"{len(away)} of {len(own)}",
            _share(s.in_interval for s in away) if has_intervals else "none",
            _share(s.in_wide_interval for s in away) if has_intervals else "none",
        ]
        parts += [_share(s.in_wedge for s in away), _share(s.warned for s in away)]
        parts += [_share((s.kind, s.size, s.chip, s.seed) in shown for s in away) if method != TV else ""]
        parts += [_share(s.in_interval for s in large) if has_intervals else "none"]
        parts += [_share(s.in_wide_interval for s in large) if has_intervals else "none"]
        parts += [_share(s.warned for s in large)]
        lines.append(f"| {method} | " + " | ".join(parts) + " |")
    lines += [
        "",
        "| kind | size | edges | method | seen | contrast | without the defect | false alarms | "
        "detectability | invented away | interval warns | supplied component warns | energy in the wedge |",
        "|---" * 13 + "|",
    ]
    for kind in config.kinds:
        for size, by_method in results.get(kind, {}).items():
            for direction in (MEASURED, EVERY, BLIND):
                for method, by_chip in by_method.items():
                    chips = {c: v for c, v in by_chip.items() if v["direction"] == direction}
                    if chips:
                        lines.append(_line(kind, size, direction, method, chips, scans))
    return "\n".join(lines) + "\n"


def _line(
    kind: str, size: str, direction: str, method: str, chips: dict[str, dict], scans: list[Scan]
) -> str:
    """A line of the table."""
    key = (method, kind, float(size), direction)
    own = [s for s in scans if (s.method, s.kind, s.size, s.direction) == key]
    healthy = np.concatenate([values["healthy_contrast"] for values in chips.values()])
    away = [scan for scan in own if not scan.seen]
    parts = [
        kind,
        size,
        direction,
        method,
        _share(scan.seen for scan in own),
        f"{np.median([scan.contrast for scan in own]):.2f}",
        f"{np.median(healthy):.2f}",
        _share(healthy >= SEEN),
        f"{np.median([values['detectability'] for values in chips.values()]):.0f}",
        str(len(away)),
        _share(scan.in_interval for scan in away) if own[0].contained is not None else "",
        _share(scan.in_wedge for scan in away),
        f"{np.mean([values['supplied_share'] for values in chips.values()]):.0%}",
    ]
    return "| " + " | ".join(parts) + " |"


def worst(config: Config, results: dict) -> list[tuple[str, str, str]]:
    """Kind, size and chip of the defects to show: the worst of each kind and size by the last method.

    Defects that are invented away without a warning of the interval come first, then those with the lowest
    contrast.
    """
    method, first = config.methods[-1], {}
    for scan in scans_of(results):
        # The images are those of the first scan of a chip.
        if scan.method == method:
            first.setdefault((scan.kind, f"{scan.size:g}", scan.chip), scan)
    order = sorted(first, key=lambda key: (first[key].seen or first[key].in_interval, first[key].contrast))
    by_cell: dict[tuple[str, str], tuple[str, str, str]] = {}
    for kind, size, chip in order:
        by_cell.setdefault((kind, size), (kind, size, chip))
    return list(by_cell.values())[:SHOWN]


def picture(config: Config, results: dict, images: Mapping[str, np.ndarray]) -> Figure:
    """A line for each defect: both true images, the methods, and the interval of the last method."""
    shown, last = worst(config, results), config.methods[-1]
    titles = ["without the defect", "with it", *config.methods, "lower limit", "upper limit"]
    lines = max(len(shown), 1)
    figure = Figure(figsize=(1.75 * len(titles), 1.95 * lines), layout="constrained")
    for line, (kind, size, chip) in zip(
        figure.subplots(lines, len(titles), squeeze=False), shown, strict=False
    ):
        names = [f"{last}/{chip}/healthy", f"{last}/{chip}/defective"]
        names += [f"{method}/{chip}/image" for method in config.methods]
        names += [f"{last}/{chip}/lower", f"{last}/{chip}/upper"]
        values = results[kind][size]
        direction = values[last][chip]["direction"]
        for axis, name, title in zip(line, names, titles, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.set_frame_on(False)
            image = images.get(f"{kind}/{size}/{name}")
            if image is None:
                continue
            axis.imshow(image.astype(np.float32), cmap="gray", vmin=0, vmax=1.1)
            _outline(axis, images, f"{kind}/{size}/{last}/{chip}")
            text = title
            if title in values:
                text += f", {values[title][chip]['contrast'][0]:.2f}"
            if title == "upper limit":
                text += f", {values[last][chip]['contained'][0]:.0%}"
            axis.set_title(text, fontsize=8)
        line[0].set_ylabel(f"{kind}, {size}\nedges: {direction}", fontsize=8)
    figure.suptitle(
        f"Worst first, by {last}. Numbers: contrast (1 seen, 0 invented away); share of the defect in its "
        "interval.",
        fontsize=9,
    )
    return figure


def _outline(axis: Axes, images: Mapping[str, np.ndarray], name: str) -> None:
    """Draws an outline around the defect, two pixels away, which hides nothing of it."""
    change = np.abs(images[f"{name}/defective"].astype(float) - images[f"{name}/healthy"])
    around = binary_dilation(change > 0.1 * change.max(), iterations=2)
    axis.contour(around, levels=[0.5], colors="tab:orange", linewidths=0.8)
