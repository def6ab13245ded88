"""Several runs of one scan side by side: whether they can be compared, and how they differ."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import numpy as np

from pfitre_jax.reporting.finished_run import FinishedRun
from pfitre_jax.reporting.slice_images import MAX_ROWS
from pfitre_jax.trust.resolution import ring_correlation

#: Runs that a page shows at most.
MAX_RUNS = 6
#: Most neighbouring rows, and pixels in them, from which the Fourier ring correlation is computed.
CORRELATED_ROWS, CORRELATED_PIXELS = 32, 8e6


@dataclasses.dataclass(frozen=True)
class Difference:
    """A run beside the first one, over at most 96 evenly spaced rows of those that all runs have.

    Attributes:
        rms: Root mean square of the difference, in the unit of the slices.
        relative: The same over the root mean square of the first run.
        correlation: Correlation coefficient of the pixels.
        period: Period, in pixels, down to which both agree: where their Fourier ring correlation falls below
            the half-bit threshold. 2 if it never does, None if it starts below.
    """

    rms: float
    relative: float
    correlation: float
    period: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Runs of one scan with the rows that all of them have.

    Attributes:
        runs: The runs.
        labels: A distinct label for each.
        rows: (rows,), row numbers in the raw stack that all runs have.
        shape: Shape (ny, nx) of the part of the slices that all runs have, around the rotation axis.
        notes: Sentences about what differs between the runs besides the method.
    """

    runs: Sequence[FinishedRun]
    labels: Sequence[str]
    rows: np.ndarray
    shape: tuple[int, int]
    notes: Sequence[str]

    def slice(self, k: int, row: int) -> np.ndarray:
        """Slice (ny, nx) of run ``k`` at the row with this index among the common ones."""
        result = self.runs[k].result
        image = np.asarray(result.volume[int(self.rows[row]) - result.row0], float)
        top, left = ((have - want) // 2 for have, want in zip(image.shape, self.shape, strict=True))
        return image[top : top + self.shape[0], left : left + self.shape[1]]

    def difference(self, k: int) -> Difference:
        """Run ``k`` beside the first one."""
        power = squares = 0.0
        moments = np.zeros(5)
        measured = np.unique(np.linspace(0, len(self.rows) - 1, min(len(self.rows), MAX_ROWS)).astype(int))
        for row in measured:
            first, other = self.slice(0, row).ravel(), self.slice(k, row).ravel()
            squares += float(np.sum((other - first) ** 2))
            power += float(np.sum(first**2))
            moments += [first.sum(), other.sum(), first @ first, other @ other, first @ other]
        count = measured.size * self.shape[0] * self.shape[1]
        a, b, aa, bb, ab = moments / count
        spread = np.sqrt(max(aa - a * a, 0) * max(bb - b * b, 0))
        affordable = max(int(CORRELATED_PIXELS / (self.shape[0] * self.shape[1])), 1)
        correlated = min(len(self.rows), CORRELATED_ROWS, affordable)
        start = (len(self.rows) - correlated) // 2
        chosen = range(start, start + correlated)
        rings = ring_correlation(
            np.stack([self.slice(0, row) for row in chosen]), np.stack([self.slice(k, row) for row in chosen])
        )
        return Difference(
            float(np.sqrt(squares / count)),
            float(np.sqrt(squares / power)) if power > 0 else float("nan"),
            float((ab - a * b) / spread) if spread > 0 else float("nan"),
            rings.resolution(),
        )


def compare_runs(runs: Sequence[FinishedRun]) -> Comparison:
    """Runs of one scan, ready to be compared.

    Slices of different size have the rotation axis in their middle and are cut to the smallest one.

    Args:
        runs: At least two runs.

    Raises:
        ValueError: The runs are too few, of different scans, without common rows, or on other pixel grids.
    """
    if not 2 <= len(runs) <= MAX_RUNS:
        raise ValueError(f"{len(runs)} runs cannot be compared; expected 2 to {MAX_RUNS} output folders")
    for run in runs[1:]:
        _check_same_scan(runs[0], run)
    rows = runs[0].result.rows
    for run in runs[1:]:
        rows = np.intersect1d(rows, run.result.rows)
    if not rows.size:
        ranges = ", ".join(f"{run.folder} {run.result.row0}-{run.result.rows[-1]}" for run in runs)
        raise ValueError(f"the runs have no row in common (rows of {ranges}); expected runs with common rows")
    shapes = [tuple(map(int, run.result.volume.shape[1:])) for run in runs]
    smallest = min(shape[0] for shape in shapes), min(shape[1] for shape in shapes)
    for run, shape in zip(runs, shapes, strict=True):
        if any((have - want) % 2 for have, want in zip(shape, smallest, strict=True)):
            raise ValueError(
                f"the slices of {run.folder} have {shape[1]} x {shape[0]} pixels, and others "
                f"{smallest[1]} x {smallest[0]}, so that their pixels lie between each other; expected runs "
                "with the same --support, or sizes that differ by an even number"
            )
    return Comparison(runs, _labels(runs), rows, smallest, _notes(runs, shapes, len(rows)))


def _check_same_scan(first: FinishedRun, other: FinishedRun) -> None:
    """Refuses runs of different scans.

    A scan is recognised by its hash; without one, by the size and last change of its file and by its shape.
    """
    names = f"{first.folder} and {other.folder}"
    hashes = [run.scan_sha256 or "" for run in (first, other)]
    if all(hashes) and hashes[0] != hashes[1]:
        raise ValueError(
            f"{names} are runs of different scans ({first.name}, SHA-256 {hashes[0][:12]}..., and "
            f"{other.name}, {hashes[1][:12]}...); expected runs of the same scan"
        )
    if not all(hashes) and _is_same_file(first, other) is False:
        raise ValueError(
            f"{names} are runs of different scans ({_file_text(first)}, and {_file_text(other)}); expected "
            "runs of the same scan"
        )
    elements = [_element(run) for run in (first, other)]
    if elements[0] != elements[1]:
        raise ValueError(
            f"{names} are runs of different elements ({elements[0]} and {elements[1]}); expected runs of "
            "the same element"
        )
    shapes = [
        {"columns": run.result.columns, "rows": run.result.raw_rows, "unit": run.result.units}
        for run in (first, other)
    ]
    for name in shapes[0]:
        if shapes[0][name] != shapes[1][name]:
            raise ValueError(
                f"{names} are runs of different scans: {name} {shapes[0][name]} and {shapes[1][name]}; "
                "expected runs of the same scan with the same pixel size"
            )
    if first.result.pixel_size != other.result.pixel_size:
        raise ValueError(
            f"{names} have pixel sizes of {first.result.pixel_size} and {other.result.pixel_size} "
            "micrometres; expected the same pixel size"
        )


def _element(run: FinishedRun) -> str | None:
    """Element of a run as the scan has it, or else as it was requested, such as "Cu" for "Cu_K"."""
    return run.result.provenance.get("element", run.summary.get("identity", {}).get("element"))


def _is_same_file(first: FinishedRun, other: FinishedRun) -> bool | None:
    """Whether the scan files have one size and one time of the last change; None if not recorded.

    A file keeps both when it is moved.
    """
    records = first.scan_record, other.scan_record
    pairs = [[record.get(name) for record in records] for name in ("bytes", "changed_ns")]
    if any(None not in pair and pair[0] != pair[1] for pair in pairs):
        return False
    return None if any(None in pair for pair in pairs) else True


def _file_text(run: FinishedRun) -> str:
    """Path, size and last change of the scan file of a run."""
    record = run.scan_record
    changed = record.get("changed_ns")
    when = "" if changed is None else f", changed {datetime.datetime.fromtimestamp(changed / 1e9):%F %T}"
    return f"{record['path']}, {record['bytes']} bytes{when}"


def _labels(runs: Sequence[FinishedRun]) -> list[str]:
    """Letters with the method and the name of the folder."""
    return [
        f"{letter}: {run.result.label or 'unknown method'} ({run.folder.resolve().name})"
        for letter, run in zip("ABCDEF", runs, strict=False)
    ]


def _notes(runs: Sequence[FinishedRun], shapes: Sequence[tuple[int, ...]], rows: int) -> list[str]:
    notes = []
    if any(run.scan_sha256 is None for run in runs):
        same = all(_is_same_file(runs[0], run) for run in runs[1:])
        notes.append(
            "The hash of the scan is not recorded in all runs: whether they are of the same scan was judged "
            f"by {'the size and last change of its file' if same else 'its shape'}."
        )
    counts = [len(run.result.rows) for run in runs]
    if max(counts) > rows:
        notes.append(
            f"Only the {rows} rows that all runs have are compared; the runs have {_listed(counts)}."
        )
    if len(set(shapes)) > 1:
        notes.append(
            "The slices have different sizes; their common part around the rotation axis is compared."
        )
    for name, text in (("center", "rotation centers"), ("roll_deg", "rolls (degrees)")):
        values = [round(float(getattr(run.result, name)), 4) for run in runs]
        if len(set(values)) > 1:
            notes.append(
                f"The runs have different {text}: {_listed(values)}. Their slices are displaced or turned "
                "against each other, which the differences show, too."
            )
    views = [run.result.views for run in runs]
    if len(set(views)) > 1:
        notes.append(f"The runs use different numbers of views: {_listed(views)}.")
    if len({run.motion is None for run in runs}) > 1:
        notes.append("Some runs align the views and others do not, so that edges may be displaced.")
    if any(run.result.warnings for run in runs):
        notes.append("Some runs have warnings, which are listed below.")
    return notes


def _listed(values: Sequence[object]) -> str:
    return ", ".join(f"{letter} {value}" for letter, value in zip("ABCDEF", values, strict=False))
