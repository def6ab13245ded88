"""Scans that stay in their file and are read a few rows at a time, so that they may be larger than memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator

import numpy as np

from pfitre_jax.data.checks import check_content
from pfitre_jax.data.overview import Overview
from pfitre_jax.data.preprocess import DetectorMask, center_and_provenance, line_integrals
from pfitre_jax.data.raw import LazyStack, RawScan
from pfitre_jax.data.roll import apply_roll, raw_rows_for
from pfitre_jax.data.row_source import RowSource
from pfitre_jax.data.scan import Scan

#: Bytes of line integrals in a block of rows that is read at once while a scan is opened.
BLOCK_BYTES = 32 * 2**20

Row = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class FileRows(RowSource):
    """Rows in a file, preprocessed when they are read. Use :func:`open_lazily`.

    Attributes:
        raw: Contents of the file, whose projections are read on demand.
        detector_mask: Bins without a measurement, of all views of the file.
        used_views: (views,), indices of the views that are used.
        roll_deg: Roll of the rotation axis that is corrected, degrees.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.
        kept: Line integrals and masks (views, 1, columns) of the rows in memory, by row, ascending.
        summary: Overview of all rows, once it is known.
    """

    raw: RawScan
    detector_mask: DetectorMask
    used_views: np.ndarray
    roll_deg: float
    mask_nan: bool
    kept: dict[int, Row] = dataclasses.field(default_factory=dict)
    summary: Overview | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of used views, rows and columns."""
        _, rows, columns = self.raw.projections.shape
        return len(self.used_views), rows, columns

    @property
    def rows_in_memory(self) -> np.ndarray:
        """(n,), ascending indices of the rows that were kept while the scan was opened."""
        return np.array(list(self.kept), int)

    @property
    def overview(self) -> Overview:
        """Overview of all rows, collected while the scan was opened."""
        return super().overview if self.summary is None else self.summary

    def read(self, rows: slice) -> Row:
        """Line integrals (views, n, columns) float32, 0 where invalid, and which are valid, bool."""
        if rows.stop - rows.start == 1 and rows.start in self.kept:
            return self.kept[rows.start]
        _, raw_rows, columns = self.shape
        transforms = None if self.raw.transforms is None else self.raw.transforms.take_views(self.used_views)
        needed = raw_rows_for(rows, self.roll_deg, columns, raw_rows, transforms)
        projections, mask = line_integrals(
            self.raw.load(needed), self.detector_mask, self.mask_nan, needed.start
        )
        return apply_roll(
            projections[self.used_views],
            mask[self.used_views],
            self.roll_deg,
            rows=rows,
            row0=needed.start,
            raw_rows=raw_rows,
            transforms=transforms,
        )

    def take_views(self, indices: np.ndarray | slice) -> FileRows:
        """The same rows with only the views with these indices."""
        return dataclasses.replace(
            self,
            used_views=self.used_views[indices],
            kept={row: (values[indices], mask[indices]) for row, (values, mask) in self.kept.items()},
            summary=None if self.summary is None else self.summary.take_views(indices),
        )


def open_lazily(
    raw: RawScan,
    *,
    used_views: np.ndarray | None = None,
    center: float | None = None,
    roll_deg: float = 0.0,
    pixel_size: float | None = None,
    mask_nan: bool = False,
    kept_rows: Collection[int] = (),
    strongest_rows: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Scan:
    """Opens a scan whose rows are read on demand.

    All rows are read twice, a block at a time: once for bins without a measurement, and once for the overview
    and for the rows that are kept in memory.

    Args:
        raw: The raw scan, whose projections may be in a file.
        used_views: (views,), indices of the views to use; None for all.
        center: Detector index of the rotation axis; None for the one that the file states.
        roll_deg: Roll of the rotation axis to correct, degrees.
        pixel_size: Length of a detector bin, micrometres; None for the one that the file states.
        mask_nan: Whether bins that are NaN or infinite are masked instead of refused.
        kept_rows: Rows to keep in memory, for estimates.
        strongest_rows: Number of equal parts of the scan whose row with the largest energy is also kept.
        progress: Called with the number of rows read in the second pass and the number of rows.

    Raises:
        ValueError: As :meth:`pfitre_jax.data.scan.Scan.create`.
    """
    views, rows, _ = raw.projections.shape
    value, provenance = center_and_provenance(raw, center)
    unmasked = DetectorMask.none(raw.projections.shape)
    # Everything but the projections is checked before the file is read.
    source = FileRows(raw, unmasked, np.arange(views), float(roll_deg), mask_nan)
    scan = Scan.from_source(
        source,
        raw.theta_rad,
        center=value,
        roll_deg=roll_deg,
        pixel_size=raw.pixel_size if pixel_size is None else pixel_size,
        provenance=provenance,
        warnings=raw.warnings,
    )
    if used_views is not None:
        scan, source = scan.take_views(used_views), source.take_views(used_views)
    blocks = list(_blocks(raw, BLOCK_BYTES))
    detector_mask = DetectorMask.detect(raw, blocks)
    scan = scan.with_warnings(*detector_mask.warnings())
    source = dataclasses.replace(source, detector_mask=detector_mask)
    wanted = {int(row) for row in kept_rows}
    parts, kept, strongest = [], {}, _StrongestRows(rows, strongest_rows)
    for block in blocks:
        projections, mask = source.read(block)
        parts.append(Overview.from_rows(projections, mask, rows))
        for row in range(block.start, block.stop):
            index = slice(row - block.start, row - block.start + 1)
            if row in wanted:
                kept[row] = projections[:, index].copy(), mask[:, index].copy()
            strongest.update(row, projections[:, index], mask[:, index])
        progress(block.stop, rows)
    overview = Overview.join(parts)
    check_content(
        bool(overview.valid.any()), bool(overview.signal.any() or np.nan_to_num(overview.bins).any())
    )
    kept |= strongest.kept
    source = dataclasses.replace(source, kept=dict(sorted(kept.items())), summary=overview)
    return dataclasses.replace(scan, source=source)


def _blocks(raw: RawScan, size: int) -> Iterator[slice]:
    """Blocks of neighbouring rows with about ``size`` bytes of line integrals.

    They are multiples of the rows that the file format reads at once, where those are smaller.
    """
    views, rows, columns = raw.projections.shape
    count = max(size // (4 * views * columns), 1)
    if isinstance(raw.projections, LazyStack) and raw.projections.rows_per_read < count:
        count = count // raw.projections.rows_per_read * raw.projections.rows_per_read
    for start in range(0, rows, count):
        yield slice(start, min(start + count, rows))


class _StrongestRows:
    """The row with the largest energy of each of ``parts`` equal parts of a scan.

    Attributes:
        kept: These rows, by number.
    """

    def __init__(self, rows: int, parts: int):
        self._parts = np.array_split(np.arange(rows), min(parts, rows)) if parts else []
        self._best: dict[int, tuple[float, int]] = {}
        self.kept: dict[int, Row] = {}

    def update(self, row: int, projections: np.ndarray, mask: np.ndarray) -> None:
        """Compares row number ``row`` (views, 1, columns) with the strongest one of its part."""
        part = next((k for k, rows in enumerate(self._parts) if row <= rows[-1]), None)
        if part is None:
            return
        energy = float(np.sum(projections.astype(float) ** 2))
        before = self._best.get(part)
        if before is None or energy > before[0]:
            if before is not None:
                del self.kept[before[1]]
            self._best[part] = energy, row
            self.kept[row] = projections.copy(), mask.copy()
