"""A measured scan: line integrals, which bins are valid, the angles, and where the data came from.

A scan holds host data (numpy). It is read and checked once; only sinograms and geometry are transferred
to the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.checks import as_float32, check_angles, check_content, check_finite, check_stack
from pfitre_jax.data.overview import Overview
from pfitre_jax.data.row_source import ArrayRows, RowSource
from pfitre_jax.data.selection import resolve_rows, resolve_views
from pfitre_jax.geometry import ParallelGeometry, Wedge, check_center, largest_gap


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """Line integrals of a parallel-beam scan, in memory or read on demand.

    Use :meth:`create` or :meth:`from_source`, which validate.

    Attributes:
        source: The rows, in memory or in a file.
        theta_rad: (views,) float64, radians.
        view_numbers: (views,) int, numbers of the views in the raw stack, from 0.
        center: Detector index of the rotation axis at the middle row, or None while it is unknown.
        roll_deg: In-plane roll of the axis that has been corrected, degrees.
        pixel_size: Length of a detector bin, micrometres, or None.
        row0: Row of the raw stack that is row 0 of this scan.
        raw_rows: Number of rows of the raw stack.
        provenance: Where the data came from, in words.
        warnings: What was assumed, corrected or left out when the scan was read, one sentence each.
    """

    source: RowSource
    theta_rad: np.ndarray
    view_numbers: np.ndarray
    center: float | None
    roll_deg: float
    pixel_size: float | None
    row0: int
    raw_rows: int
    provenance: dict[str, str]
    warnings: tuple[str, ...] = ()

    @classmethod
    def create(
        cls,
        projections: ArrayLike,
        theta_rad: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        center: float | None = None,
        roll_deg: float = 0.0,
        pixel_size: float | None = None,
        row0: int = 0,
        raw_rows: int | None = None,
        provenance: Mapping[str, str] | None = None,
        mask_nan: bool = False,
    ) -> Scan:
        """Validated scan in memory.

        Args:
            projections: (views, rows, columns), line integrals in units of image value times pixel.
            theta_rad: (views,), radians.
            mask: (views, rows, columns), True for a valid bin; None if all are valid.
            center: Detector index of the rotation axis at the middle row.
            roll_deg: In-plane roll of the axis that has been corrected, degrees.
            pixel_size: Length of a detector bin, micrometres.
            row0: Row of the raw stack that is row 0 of this scan.
            raw_rows: Number of rows of the raw stack; None for ``row0`` plus the rows of this scan.
            provenance: Where the data came from, in words.
            mask_nan: Whether bins that are NaN or infinite are masked instead of refused.

        Raises:
            ValueError: If the stack is not 3D or is empty; angles are not finite, look like degrees or differ
                in number from the views; a valid bin is NaN or infinite; the centre is outside the detector;
                the pixel size is not positive; no bin is valid; or all projections are 0.

        >>> Scan.create(np.ones((3, 2, 5)), [0.0, 0.5, 1.0]).projections.shape
        (3, 2, 5)
        """
        stack = as_float32(check_stack(projections))
        theta = check_angles(theta_rad, stack.shape)
        valid = np.ones(stack.shape, bool) if mask is None else np.asarray(mask).astype(bool)
        if valid.shape != stack.shape:
            raise ValueError(f"the mask has shape {valid.shape}; expected {stack.shape} as the stack")
        valid = valid & check_finite(stack, valid, mask_nan)
        check_content(bool(valid.any()), bool(stack[valid].any()))
        return cls.from_source(
            ArrayRows(np.where(valid, stack, np.float32(0)), valid),
            theta,
            center=center,
            roll_deg=roll_deg,
            pixel_size=pixel_size,
            row0=row0,
            raw_rows=raw_rows,
            provenance=provenance,
        )

    @classmethod
    def from_source(
        cls,
        source: RowSource,
        theta_rad: np.ndarray,
        *,
        center: float | None = None,
        roll_deg: float = 0.0,
        pixel_size: float | None = None,
        row0: int = 0,
        raw_rows: int | None = None,
        provenance: Mapping[str, str] | None = None,
        warnings: Sequence[str] = (),
    ) -> Scan:
        """Scan of a source of rows, which are not read.

        Args:
            source: The rows.
            theta_rad: (views,), valid angles: those of a :class:`pfitre_jax.data.raw.RawScan`, or as
                :func:`pfitre_jax.data.checks.check_angles` returns them.
            center: As in :meth:`create`.
            roll_deg: As in :meth:`create`.
            pixel_size: As in :meth:`create`.
            row0: As in :meth:`create`.
            raw_rows: As in :meth:`create`.
            provenance: As in :meth:`create`.
            warnings: What was assumed, corrected or left out, one sentence each.

        Raises:
            ValueError: If rows, roll, pixel size or centre are invalid.
        """
        _, rows, columns = source.shape
        raw_rows = row0 + rows if raw_rows is None else raw_rows
        if row0 < 0 or row0 + rows > raw_rows:
            raise ValueError(f"rows {row0}:{row0 + rows} do not fit into a raw stack of {raw_rows} rows")
        if not np.isfinite(roll_deg) or abs(roll_deg) >= 90:
            raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
        if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
            raise ValueError(f"the pixel size is {pixel_size!r}; expected a positive length")
        return cls(
            source,
            theta_rad,
            np.arange(len(theta_rad)),
            None if center is None else check_center(center, columns),
            float(roll_deg),
            None if pixel_size is None else float(pixel_size),
            int(row0),
            int(raw_rows),
            dict(provenance or {}),
            tuple(warnings),
        )

    @property
    def projections(self) -> np.ndarray:
        """(views, rows, columns) float32, line integrals, 0 where invalid.

        The arrays themselves for a scan in memory. A lazy scan reads all its rows at every access: use
        :meth:`load` or :meth:`select_rows` first.
        """
        return self.source.read(slice(0, self.rows))[0]

    @property
    def mask(self) -> np.ndarray:
        """(views, rows, columns) bool, True for a valid bin; a lazy scan reads it at every access."""
        return self.source.read(slice(0, self.rows))[1]

    @property
    def overview(self) -> Overview:
        """Signal at the detector's edges and sums over the rows; a lazy scan collects them when opened."""
        return self.source.overview

    @property
    def views(self) -> int:
        """Number of projections."""
        return self.source.shape[0]

    @property
    def rows(self) -> int:
        """Number of detector rows; each row is one slice."""
        return self.source.shape[1]

    @property
    def columns(self) -> int:
        """Number of detector bins across the axis."""
        return self.source.shape[2]

    @property
    def wedge(self) -> Wedge:
        """The missing wedge of the views of this scan."""
        return Wedge(*largest_gap(self.theta_rad))

    def geometry(self) -> ParallelGeometry:
        """Parallel geometry of every row.

        Raises:
            ValueError: If the rotation centre is unknown.
        """
        if self.center is None:
            raise ValueError(
                "the rotation centre of the scan is unknown; give one (center=...) or estimate it with "
                "pf.with_center(scan)"
            )
        # Angles and centre were checked when the scan was made.
        dtype = jnp.result_type(float)
        return ParallelGeometry(
            jnp.asarray(self.theta_rad, dtype),
            jnp.asarray(self.center, dtype),
            jnp.zeros(self.views, dtype),
            self.columns,
        )

    def with_center(self, center: float) -> Scan:
        """The same scan with the rotation axis at detector index ``center``."""
        provenance = {name: text for name, text in self.provenance.items() if name != "center"}
        return dataclasses.replace(self, center=check_center(center, self.columns), provenance=provenance)

    def with_provenance(self, **entries: str) -> Scan:
        """The same scan with further entries in its provenance."""
        return dataclasses.replace(self, provenance={**self.provenance, **entries})

    def with_warnings(self, *warnings: str) -> Scan:
        """The same scan with further warnings."""
        return dataclasses.replace(self, warnings=(*self.warnings, *warnings))

    def with_projections(self, projections: np.ndarray, mask: np.ndarray | None = None, **changes) -> Scan:
        """The same scan with other line integrals, in memory; they are not checked.

        Args:
            projections: (views, rows, columns), line integrals, 0 where invalid.
            mask: (views, rows, columns) bool; None for the mask of this scan.
            **changes: Other attributes that change with them.
        """
        mask = self.mask if mask is None else mask
        return dataclasses.replace(self, source=ArrayRows(projections, mask), **changes)

    def load(self) -> Scan:
        """The same scan with all rows in memory."""
        return self.select_rows(slice(None))

    def sample(self) -> Scan:
        """The rows that can be read without access to a file, in memory: all of a scan in memory."""
        rows = self.source.rows_in_memory
        return self.load() if len(rows) == self.rows else self.take_rows(rows)

    def select_views(self, selection: slice | str, exclude: slice | str | None = None) -> Scan:
        """Only the views ``A:B[:S]``, without those in ``exclude``; both count the views of this scan.

        Raises:
            ValueError: If views lie outside the scan or none is left.
        """
        return self.take_views(resolve_views(selection, exclude, self.views))

    def take_views(self, indices: np.ndarray | slice) -> Scan:
        """Only the views with these indices."""
        return dataclasses.replace(
            self,
            source=self.source.take_views(indices),
            theta_rad=self.theta_rad[indices],
            view_numbers=self.view_numbers[indices],
        )

    def exclude_views(self, selection: slice | str) -> Scan:
        """All views but ``A:B[:S]``.

        Raises:
            ValueError: If views lie outside the scan or none is left.
        """
        return self.select_views(slice(None), selection)

    def take_rows(self, indices: Sequence[int] | np.ndarray) -> Scan:
        """Rows with these indices, which need not be neighbours, in memory; they count from 0."""
        projections, mask = self.source.take_rows(indices)
        return self.with_projections(projections, mask, row0=0, raw_rows=projections.shape[1])

    def select_rows(self, selection: slice | str) -> Scan:
        """Only the rows ``A:B``, counted in this scan, in memory; ``row0`` follows.

        Raises:
            ValueError: If rows lie outside the scan, none is selected, or the step is not 1.
        """
        rows = resolve_rows(selection, self.rows)
        projections, mask = self.source.read(rows)
        return self.with_projections(projections, mask, row0=self.row0 + rows.start)
