"""A scan that stays in its file and is read a few rows at a time, so that it may be larger than memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from pfitre_jax.data.preprocess import (
    Overview,
    Survey,
    apply_roll,
    known_center,
    line_integrals,
    rows_turned,
)
from pfitre_jax.data.raw import RawScan, Stack
from pfitre_jax.data.scan import Scan, check_angles, check_content, resolve
from pfitre_jax.estimation import center
from pfitre_jax.estimation import opposite_views as opposite
from pfitre_jax.estimation.calibrate import sample_rows
from pfitre_jax.geometry import ParallelGeometry, Wedge

#: Bytes of line integrals that are looked at together while a scan is opened.
BLOCK_BYTES = 32 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class StoredScan:
    """What :class:`Scan` is, but for the projections: these are in a file. Use :meth:`open`.

    :meth:`select_rows` reads rows as a :class:`Scan`; :meth:`take_rows` gives some of those that were kept
    while it was opened, from which centre, scale and weight are found.

    raw: what the file holds; survey: of all its views and rows; views_used: indices, (views,)
    seen: of the rows of the corrected scan
    kept: the rows that were kept, and what is known of the scan; kept_rows: their indices, ascending
    rows: of the scan; mask_nan: as it was asked for
    """

    raw: RawScan
    survey: Survey
    views_used: np.ndarray
    seen: Overview
    kept: Scan
    kept_rows: np.ndarray
    rows: int
    mask_nan: bool

    @classmethod
    def open(
        cls,
        raw: RawScan,
        *,
        views_used: np.ndarray | None = None,
        center: float | None = None,
        roll_deg: float = 0.0,
        pixel_size: float | None = None,
        mask_nan: bool = False,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> StoredScan:
        """Look through a scan, a few rows at a time: for faults of the detector, and again for what it shows.

        views_used: indices, default all; the other arguments are those of :func:`pfitre_jax.load_scan`
        progress: called with rows looked at and rows in all

        Raises ``ValueError`` as :meth:`Scan.create` does.
        """
        views, rows, columns = raw.projections.shape
        check_angles(raw.theta_rad, raw.projections.shape)
        used = np.arange(views) if views_used is None else views_used
        # All that a scan must be, but for its projections, is checked first.
        value, provenance = known_center(raw, center)
        facts = Scan.create(
            np.ones((views, 1, columns), np.float32),
            raw.theta_rad,
            center=value,
            roll_deg=roll_deg,
            pixel_size=pixel_size,
            provenance=provenance,
        ).take_views(used)
        blocks = list(_blocks(raw, BLOCK_BYTES))
        survey = Survey.of(raw.load(block).projections for block in blocks)
        blank = cls(raw, survey, used, None, facts, np.array([]), rows, mask_nan)
        wanted = _kept_rows(rows)
        parts, kept, strongest = [], {}, _Strongest(rows)
        for block in blocks:
            scan = blank.select_rows(block)
            parts.append(Overview.of(scan))
            for row in range(block.start, block.stop):
                one = scan.projections[:, row - block.start], scan.mask[:, row - block.start]
                if row in wanted:
                    kept[row] = tuple(a.copy() for a in one)
                strongest.look(row, one)
            progress(block.stop, rows)
        seen = Overview.together(parts)
        check_content(seen.valid.any(), seen.signal.any() or seen.edge.any())
        kept |= strongest.found
        numbers = np.array(sorted(kept))
        projections, mask = (np.stack([kept[row][i] for row in numbers], axis=1) for i in range(2))
        scan = dataclasses.replace(facts, projections=projections, mask=mask, raw_rows=len(numbers))
        return dataclasses.replace(blank, seen=seen, kept=scan, kept_rows=numbers)

    @property
    def views(self) -> int:
        """Number of projections that are used."""
        return self.kept.views

    @property
    def columns(self) -> int:
        """Number of detector bins across the axis."""
        return self.kept.columns

    @property
    def theta_rad(self) -> np.ndarray:
        """(views,) float64, radians."""
        return self.kept.theta_rad

    @property
    def wedge(self) -> Wedge:
        """The missing wedge of the views that are used."""
        return self.kept.wedge

    @property
    def center(self) -> float | None:
        """Detector index of the rotation axis, or None where it is not known yet."""
        return self.kept.center

    @property
    def roll_deg(self) -> float:
        """In-plane roll that the rows are corrected for, degrees."""
        return self.kept.roll_deg

    @property
    def pixel_size(self) -> float | None:
        """Length of a detector bin, or None."""
        return self.kept.pixel_size

    @property
    def row0(self) -> int:
        """Row of the raw stack that is row 0 here: the first."""
        return 0

    @property
    def raw_rows(self) -> int:
        """Rows of the raw stack."""
        return self.rows

    @property
    def provenance(self) -> dict[str, str]:
        """Where the data came from, in words."""
        return self.kept.provenance

    def geometry(self) -> ParallelGeometry:
        """Parallel geometry of every row; needs a known centre."""
        return self.kept.geometry()

    def with_center(self, center: float) -> StoredScan:
        """The same scan with the rotation axis at detector index ``center``, wherever it was before."""
        return dataclasses.replace(self, kept=self.kept.with_center(center))

    def with_provenance(self, **said: str) -> StoredScan:
        """The same scan, of which more is known in words."""
        return dataclasses.replace(self, kept=self.kept.with_provenance(**said))

    def select_rows(self, selection: slice | str) -> Scan:
        """The rows ``A:B``, read from the file; ``ValueError`` as :meth:`Scan.select_rows` raises it."""
        keep = resolve(selection, self.rows, "rows")
        rows = slice(int(keep[0]), int(keep[-1]) + 1)
        source = rows_turned(rows, self.roll_deg, self.columns, self.rows)
        raw = self.raw.load(source)
        projections, mask = line_integrals(raw, self.survey, self.mask_nan, source.start)
        projections, mask = apply_roll(
            projections[self.views_used],
            mask[self.views_used],
            self.roll_deg,
            rows=rows,
            row0=source.start,
            raw_rows=self.rows,
        )
        return dataclasses.replace(
            self.kept, projections=projections, mask=mask, row0=rows.start, raw_rows=self.rows
        )

    def take_rows(self, indices) -> Scan:
        """Rows that were kept; ``KeyError`` for another."""
        where = {row: k for k, row in enumerate(self.kept_rows.tolist())}
        return self.kept.take_rows([where[int(row)] for row in indices])


def _blocks(raw: RawScan, size: int) -> Iterator[slice]:
    """Neighbouring rows of about ``size`` bytes of line integrals, whole chunks of the file where these are
    smaller."""
    views, rows, columns = raw.projections.shape
    count = max(size // (4 * views * columns), 1)
    if isinstance(raw.projections, Stack) and raw.projections.rows_read < count:
        count = count // raw.projections.rows_read * raw.projections.rows_read
    for begin in range(0, rows, count):
        yield slice(begin, min(begin + count, rows))


def _kept_rows(rows: int) -> set[int]:
    """Those that scale and weight look at, and opposite views."""
    spread = np.linspace(0, rows - 1, min(rows, opposite.ROWS)).round().astype(int)
    return {*sample_rows(rows).tolist(), *spread.tolist()}


class _Strongest:
    """The row with most energy of each part of the scan, which tell :func:`center.find_center` most."""

    def __init__(self, rows: int):
        self._parts = np.array_split(np.arange(rows), min(center.ROWS, rows))
        self._best: dict[int, tuple[float, int]] = {}
        self.found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def look(self, row: int, one) -> None:
        part = next(k for k, rows in enumerate(self._parts) if row <= rows[-1])
        energy = float(np.sum(one[0].astype(float) ** 2))
        before = self._best.get(part)
        if before is None or energy > before[0]:
            if before is not None:
                del self.found[before[1]]
            self._best[part] = energy, row
            self.found[row] = tuple(a.copy() for a in one)
