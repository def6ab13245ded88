"""Contents of a scan file, before flat-field correction and logarithm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from pfitre_jax.data.checks import check_angles, check_shape, check_stack
from pfitre_jax.data.frames import combine_frames
from pfitre_jax.data.view_transforms import ViewTransforms

#: Kinds of data: detector counts with flat and dark frames, transmission p/p0, line integrals.
KINDS = ("counts", "transmission", "absorption")


@dataclasses.dataclass(frozen=True, eq=False)
class LazyStack:
    """Projections in a file, read on demand.

    Attributes:
        shape: Numbers of views, rows and columns.
        dtype: Type of the stored numbers.
        read: Reads a slice of neighbouring rows as (views, n, columns); raises ``ValueError`` for a damaged
            file.
        rows_per_read: Number of neighbouring rows that the file format reads at once.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[slice], np.ndarray]
    rows_per_read: int = 1

    def take_rows(self, indices: np.ndarray) -> LazyStack:
        """The stack with only the rows of these ascending indices (n,); neighbours are read together."""
        _, _, columns = self.shape

        def read(rows: slice) -> np.ndarray:
            chosen = indices[rows]
            runs = np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1)
            return np.concatenate([self.read(slice(int(run[0]), int(run[-1]) + 1)) for run in runs], axis=1)

        return LazyStack((self.shape[0], len(indices), columns), self.dtype, read, len(indices))

    def normalize(self, intensity: LazyStack) -> LazyStack:
        """The stack divided by the intensity of the beam in each bin; NaN where that is not positive.

        Args:
            intensity: (views, rows, columns).
        """

        def read(rows: slice) -> np.ndarray:
            signal, beam = self.read(rows), intensity.read(rows)
            valid = np.isfinite(beam) & (beam > 0)
            dtype = np.result_type(signal, beam, np.float32)
            return np.divide(signal, beam, out=np.full(signal.shape, np.nan, dtype), where=valid)

        dtype = np.result_type(self.dtype, intensity.dtype, np.float32)
        return LazyStack(self.shape, dtype, read, max(self.rows_per_read, intensity.rows_per_read))


@dataclasses.dataclass(frozen=True, eq=False)
class RawScan:
    """Contents of a scan file. Use :meth:`create`, which validates.

    Attributes:
        projections: (views, rows, columns), as stored, in memory or in the file.
        theta_rad: (views,), radians.
        kind: One of :data:`KINDS`.
        flat: (rows, columns), mean flat frame, only for counts.
        dark: (rows, columns), mean dark frame, only for counts.
        center: Detector index of the rotation axis, if the file states it.
        provenance: File, format, data kind and origin of the angles, in words.
        warnings: What the reader assumed or left out, one sentence each, for the user.
        monitor: (views,), intensity of the beam in each view over that of the flat frames, or None.
        pixel_size: Width of a detector bin, micrometres, if the file states it.
        transforms: Alignment of the views that the file, or one beside it, states; not yet applied.
    """

    projections: np.ndarray | LazyStack
    theta_rad: np.ndarray
    kind: str
    flat: np.ndarray | None
    dark: np.ndarray | None
    center: float | None
    provenance: dict[str, str]
    warnings: tuple[str, ...] = ()
    monitor: np.ndarray | None = None
    pixel_size: float | None = None
    transforms: ViewTransforms | None = None

    @classmethod
    def create(
        cls,
        projections: ArrayLike | LazyStack,
        theta_rad: ArrayLike,
        *,
        kind: str | None = None,
        flat: ArrayLike | None = None,
        dark: ArrayLike | None = None,
        center: float | None = None,
        provenance: dict[str, str] | None = None,
        warnings: Sequence[str] = (),
        monitor: np.ndarray | None = None,
        pixel_size: float | None = None,
        transforms: ViewTransforms | None = None,
        order_stated: bool = False,
    ) -> RawScan:
        """Validated contents.

        Args:
            projections: (views, rows, columns), an array or a :class:`LazyStack`.
            theta_rad: (views,), radians.
            kind: One of :data:`KINDS`; None for counts if there is a flat or a dark, else absorption.
            flat: (rows, columns), or frames (n, rows, columns), see
                :func:`pfitre_jax.data.frames.combine_frames`.
            dark: As ``flat``.
            center: Detector index of the rotation axis.
            provenance: File, format and origin of the angles, in words.
            warnings: What the reader assumed or left out, one sentence each.
            monitor: (views,), intensity of the beam in each view over that of the flat frames.
            pixel_size: Width of a detector bin, micrometres.
            transforms: Alignment of the views, to be applied together with the correction of the roll.
            order_stated: Whether the file states which axes are views, rows and columns.

        Raises:
            ValueError: If the angles are invalid or their number differs from the views; the kind is unknown;
                counts lack flat or dark; or frames have the wrong shape.
        """
        if isinstance(projections, LazyStack):
            check_shape(projections.shape, projections.dtype)
        else:
            projections = check_stack(projections)
        if kind is None:
            kind = "absorption" if flat is None and dark is None else "counts"
        if kind not in KINDS:
            raise ValueError(f"the data kind is {kind!r}; expected one of {', '.join(KINDS)}")
        if kind == "counts":
            flat, dark, notes = combine_frames(flat, dark, projections.shape[1:])
            warnings = [*warnings, *notes]
        else:
            flat = dark = monitor = None
        provenance = {**(provenance or {}), "data": kind}
        theta = check_angles(theta_rad, projections.shape)
        views, rows, columns = projections.shape
        others = [name for name, count in (("rows", rows), ("columns", columns)) if count == views > 1]
        if others and not order_stated:
            warnings = [
                *warnings,
                f"the stack has as many {' and '.join(others)} as views, {views}, and the file does not "
                "state the order of its axes; it was read as (views, rows, columns)",
            ]
        if transforms is not None and len(transforms) != views:
            raise ValueError(
                f"the alignment has {len(transforms)} views, the scan {views}; expected one line for each "
                "view"
            )
        return cls(
            projections,
            theta,
            kind,
            flat,
            dark,
            center,
            provenance,
            tuple(warnings),
            monitor,
            pixel_size,
            transforms,
        )

    @property
    def array(self) -> np.ndarray:
        """(views, rows, columns), the projections in memory; read if they are still in the file."""
        stack = self.projections
        return stack.read(slice(None)) if isinstance(stack, LazyStack) else stack

    @property
    def nbytes(self) -> int:
        """Bytes of the projections."""
        return math.prod(self.projections.shape) * self.projections.dtype.itemsize

    def sample_rows(self, count: int) -> RawScan:
        """The contents with about ``count`` rows, spread over the scan in groups that are read at once."""
        stack, rows = self.projections, self.projections.shape[1]
        group = min(stack.rows_per_read if isinstance(stack, LazyStack) else 1, count)
        starts = np.linspace(0, rows - group, max(count // group, 1)).astype(int)
        indices = np.unique(starts[:, None] + np.arange(group))
        projections = stack.take_rows(indices) if isinstance(stack, LazyStack) else stack[:, indices]
        flat, dark = (None if frame is None else frame[indices] for frame in (self.flat, self.dark))
        return dataclasses.replace(self, projections=projections, flat=flat, dark=dark)

    def load(self, rows: slice = slice(None)) -> RawScan:
        """The contents with these rows, in memory."""
        stack = self.projections
        projections = stack.read(rows) if isinstance(stack, LazyStack) else stack[:, rows]
        flat, dark = (None if frame is None else frame[rows] for frame in (self.flat, self.dark))
        return dataclasses.replace(self, projections=projections, flat=flat, dark=dark)
