"""A measured scan: line integrals, which bins are valid, the angles, and where it all came from.

Host data (numpy): a scan is read and checked once, and only sinograms and geometry travel to the device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from pfitre_jax.geometry import ParallelGeometry, Wedge, check_center, check_theta_rad


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """Line integrals of a parallel-beam scan. Use :meth:`create`, which validates.

    projections: (views, rows, columns) float32, line integrals in image value times pixel; 0 where invalid
    mask: (views, rows, columns) bool, True where a bin is valid
    theta_rad: (views,) float64, radians
    center: detector index of the rotation axis at the middle row, or None where it is not known yet
    roll_deg: in-plane roll of the axis already corrected, degrees
    pixel_size: length of a detector bin, or None
    row0: row of the raw stack that is row 0 here
    raw_rows: rows of the raw stack
    provenance: where the data came from, in words
    """

    projections: np.ndarray
    mask: np.ndarray
    theta_rad: np.ndarray
    center: float | None
    roll_deg: float
    pixel_size: float | None
    row0: int
    raw_rows: int
    provenance: dict[str, str]

    @classmethod
    def create(
        cls,
        projections,
        theta_rad,
        *,
        mask=None,
        center: float | None = None,
        roll_deg: float = 0.0,
        pixel_size: float | None = None,
        row0: int = 0,
        raw_rows: int | None = None,
        provenance: Mapping[str, str] | None = None,
        mask_nan: bool = False,
    ) -> Scan:
        """Validated scan.

        projections: (views, rows, columns) line integrals; ``theta_rad``: (views,), radians
        mask: (views, rows, columns), True where valid; default all valid
        mask_nan: mask bins that are NaN or infinite instead of refusing them

        Raises ``ValueError`` for a stack that is not 3D or is empty; angles that are not finite, look like
        degrees or differ in number from the views; NaN or infinity in valid bins; a centre outside the
        detector; a pixel size that is not positive; no valid bin at all; projections that are all 0.

        >>> Scan.create(np.ones((3, 2, 5)), [0.0, 0.5, 1.0]).projections.shape
        (3, 2, 5)
        """
        projections = _float32(check_stack(projections))
        rows, columns = projections.shape[1:]
        theta = check_angles(theta_rad, projections.shape)
        mask = np.ones(projections.shape, bool) if mask is None else np.asarray(mask).astype(bool)
        if mask.shape != projections.shape:
            raise ValueError(f"the mask has shape {mask.shape}; expected {projections.shape} as the stack")
        mask = mask & check_finite(projections, mask, mask_nan)
        check_content(mask.any(), projections[mask].any())
        raw_rows = row0 + rows if raw_rows is None else raw_rows
        if row0 < 0 or row0 + rows > raw_rows:
            raise ValueError(f"rows {row0}:{row0 + rows} do not fit into a raw stack of {raw_rows} rows")
        if not np.isfinite(roll_deg) or abs(roll_deg) >= 90:
            raise ValueError(f"the roll is {roll_deg!r}; expected degrees between -90 and 90")
        if pixel_size is not None and not (np.isfinite(pixel_size) and pixel_size > 0):
            raise ValueError(f"the pixel size is {pixel_size!r}; expected a positive length")
        return cls(
            np.where(mask, projections, np.float32(0)),
            mask,
            theta,
            None if center is None else check_center(center, columns),
            float(roll_deg),
            None if pixel_size is None else float(pixel_size),
            int(row0),
            int(raw_rows),
            dict(provenance or {}),
        )

    @property
    def views(self) -> int:
        """Number of projections."""
        return self.projections.shape[0]

    @property
    def rows(self) -> int:
        """Number of detector rows, each one slice."""
        return self.projections.shape[1]

    @property
    def columns(self) -> int:
        """Number of detector bins across the axis."""
        return self.projections.shape[2]

    @property
    def wedge(self) -> Wedge:
        """The missing wedge of the views that are left."""
        return Wedge.from_angles(self.theta_rad)

    def geometry(self) -> ParallelGeometry:
        """Parallel geometry of every row; needs a known centre."""
        if self.center is None:
            raise ValueError(
                "the scan has no rotation centre yet; give one (center=...) or look for it with "
                "pf.with_center(scan)"
            )
        return ParallelGeometry.create(self.theta_rad, self.columns, self.center)

    def with_center(self, center: float) -> Scan:
        """The same scan with the rotation axis at detector index ``center``, wherever it was before."""
        provenance = {name: said for name, said in self.provenance.items() if name != "center"}
        return dataclasses.replace(self, center=check_center(center, self.columns), provenance=provenance)

    def with_provenance(self, **said: str) -> Scan:
        """The same scan, of which more is known in words."""
        return dataclasses.replace(self, provenance={**self.provenance, **said})

    def select_views(self, selection: slice | str, exclude: slice | str | None = None) -> Scan:
        """Only the views ``A:B[:S]``, without those in ``exclude``; both count the views of this scan.

        ``ValueError`` where they lie outside the scan or none is left.
        """
        return self.take_views(resolve_views(selection, exclude, self.views))

    def take_views(self, indices) -> Scan:
        """Only the views with these indices."""
        projections, mask, theta = (a[indices] for a in (self.projections, self.mask, self.theta_rad))
        return dataclasses.replace(self, projections=projections, mask=mask, theta_rad=theta)

    def exclude_views(self, selection: slice | str) -> Scan:
        """All views but ``A:B[:S]``; ``ValueError`` where they lie outside the scan or none is left."""
        return self.select_views(slice(None), selection)

    def take_rows(self, indices) -> Scan:
        """Rows with these indices, not neighbours perhaps: to look at, not a part of the stack any more."""
        projections, mask = self.projections[:, indices], self.mask[:, indices]
        return dataclasses.replace(
            self, projections=projections, mask=mask, row0=0, raw_rows=projections.shape[1]
        )

    def select_rows(self, selection: slice | str) -> Scan:
        """Only the rows ``A:B`` (counted in this scan); ``row0`` follows.

        ``ValueError`` where they lie outside the scan, none is left, or the step is not 1.
        """
        keep = resolve(selection, self.rows, "rows")
        if keep.size > 1 and keep[1] - keep[0] != 1:
            raise ValueError(f"the rows {selection} have a step; expected neighbouring rows A:B")
        rows = slice(keep[0], keep[-1] + 1)
        return dataclasses.replace(
            self,
            projections=self.projections[:, rows],
            mask=self.mask[:, rows],
            row0=self.row0 + int(keep[0]),
        )


def resolve_views(selection: slice | str | None, exclude: slice | str | None, count: int) -> np.ndarray:
    """Indices of the views ``A:B[:S]`` of ``count``, default all, without those in ``exclude``.

    ``ValueError`` where they lie outside the scan or none is left.
    """
    keep = resolve(slice(None) if selection is None else selection, count, "views")
    if exclude is not None:
        keep = np.setdiff1d(keep, resolve(exclude, count, "views to leave out"))
    if keep.size == 0:
        raise ValueError(f"no view is left of {count} after leaving out {exclude}; keep at least one")
    return keep


def check_content(any_valid: bool, any_signal: bool) -> None:
    """``ValueError`` for a scan without a valid bin, or in which all are 0."""
    if not any_valid:
        raise ValueError("no valid bin is left in the scan; expected at least one that is measured")
    if not any_signal:
        raise ValueError(
            "all projections are 0; expected line integrals of a sample: is this the right dataset, or a "
            "dark or an empty scan?"
        )


def check_stack(projections) -> np.ndarray:
    """``projections`` as an array ``(views, rows, columns)`` of real numbers, or a ``ValueError``."""
    projections = np.asarray(projections)
    check_shape(projections.shape, projections.dtype)
    return projections


def check_angles(theta_rad, shape: tuple[int, int, int]) -> np.ndarray:
    """The angles of a stack of this shape; ``ValueError`` for bad ones, or another number than views."""
    theta = check_theta_rad(theta_rad)
    if theta.size != shape[0]:
        raise ValueError(
            f"{theta.size} angles for {shape[0]} views; expected one angle for each view: give the "
            f"angles of this scan (stack of shape {shape}, read as (views, rows, columns))"
        )
    return theta


def check_shape(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """``ValueError`` where no array of this shape and type is a stack ``(views, rows, columns)``."""
    if dtype.kind not in "fiub":
        raise ValueError(f"the projections are of type {dtype}; expected real numbers")
    if len(shape) != 3:
        raise ValueError(
            f"the projections have shape {shape}; expected a stack (views, rows, columns), "
            "a single sinogram being (views, 1, columns)"
        )
    if 0 in shape:
        raise ValueError(
            f"the projections have shape {shape}, no bin at all; expected (views, rows, columns)"
        )


def check_finite(
    projections: np.ndarray, mask: np.ndarray | None = None, mask_nan: bool = False, row0: int = 0
) -> np.ndarray:
    """Which bins are finite in float32; ``ValueError`` where a valid one is not, unless ``mask_nan``; rows
    count from ``row0``."""
    finite = np.isfinite(_float32(projections))
    bad = ~finite if mask is None else ~finite & mask
    if bad.any() and not mask_nan:
        view, row, column = (int(i) for i in np.argwhere(bad)[0] + [0, row0, 0])
        raise ValueError(
            f"{int(bad.sum())} bins are NaN or infinite in float32, first at view {view}, row {row}, column "
            f"{column}; expected finite values: mend the file, or leave these bins out (--mask-nan; "
            "mask_nan=True)"
        )
    return finite


def _float32(projections: np.ndarray) -> np.ndarray:
    """``projections`` in float32, infinite where they are beyond it; :func:`check_finite` then says so."""
    with np.errstate(over="ignore"):
        return projections.astype(np.float32, copy=False)


def parse_slice(text: str) -> slice:
    """``"A:B"`` or ``"A:B:S"`` as a slice: from A up to but without B, every S-th.

    A, B and S are whole numbers counted from 0; A and B may be left out (``"10:"``, ``":40"``). Negative
    numbers, which Python would count from the end, are refused: on a command line they read as options.

    >>> parse_slice("40:80:2")
    slice(40, 80, 2)
    """
    expected = "expected A:B or A:B:S with whole numbers from 0, such as 40:80 or 0:51:4"
    parts = text.strip().split(":")
    if len(parts) == 1 and parts[0].isdecimal():
        raise ValueError(f"{text!r} is one number; for a single one write {text}:{int(text) + 1}")
    if len(parts) not in (2, 3) or any(part.strip() and not part.strip().isdecimal() for part in parts):
        raise ValueError(f"{text!r} is not a selection; {expected}")
    start, stop, *step = (int(part) if part.strip() else None for part in parts)
    if step and step[0] == 0:
        raise ValueError(f"{text!r} has the step 0; {expected}")
    return slice(start, stop, step[0] if step else None)


def resolve(selection: slice | str, count: int, what: str) -> np.ndarray:
    """Indices that ``selection`` names among ``count`` items called ``what``.

    Stricter than Python, which cuts a selection to what is there: ``ValueError`` where it reaches outside
    ``0:count``, counts from the end, or is empty.
    """
    selection = parse_slice(selection) if isinstance(selection, str) else selection
    if not isinstance(selection, slice):
        raise ValueError(
            f"the {what} are {selection!r}; expected slice(A, B) or 'A:B' of whole numbers from 0"
        )
    start = 0 if selection.start is None else selection.start
    stop = count if selection.stop is None else selection.stop
    step = 1 if selection.step is None else selection.step
    name = f"{start}:{stop}" + (f":{step}" if step != 1 else "")
    if start < 0 or stop < 0 or step < 1 or start >= count or stop > count:
        raise ValueError(f"the {what} {name} lie outside the scan; expected A:B within 0:{count}")
    keep = np.arange(start, stop, step)
    if keep.size == 0:
        raise ValueError(f"the {what} {name} are none; expected A:B with A below B, within 0:{count}")
    return keep


def ranges(numbers) -> str:
    """``27-35, 40``: neighbouring numbers as ranges."""
    groups = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{g[0]}-{g[-1]}" if len(g) > 1 else f"{g[0]}" for g in groups)
