"""What a file held, before flat field and logarithm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pfitre_jax.data.scan import check_shape, check_stack

#: Kinds of data: detector counts with flat and dark frames, transmission p/p0, line integrals.
KINDS = ("counts", "transmission", "absorption")


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """Projections that are still in their file.

    shape: (views, rows, columns); dtype: of the numbers
    read: a slice of neighbouring rows -> (views, n, columns); raises ``ValueError`` for a damaged file
    rows_read: so many neighbouring rows are read from the file whenever one of them is
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    read: Callable[[slice], np.ndarray]
    rows_read: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class RawScan:
    """Contents of a scan file. Use :meth:`create`, which validates.

    projections: (views, rows, columns), as stored, or a :class:`Stack` of them
    theta_rad: (views,), radians
    kind: one of :data:`KINDS`
    flat, dark: (rows, columns), mean frames; only for counts
    center: detector index of the rotation axis, where the file names one
    provenance: file, format and origin of the angles, in words
    """

    projections: np.ndarray | Stack
    theta_rad: np.ndarray
    kind: str
    flat: np.ndarray | None
    dark: np.ndarray | None
    center: float | None
    provenance: dict[str, str]

    @classmethod
    def create(
        cls,
        projections,
        theta_rad,
        *,
        kind: str | None = None,
        flat=None,
        dark=None,
        center: float | None = None,
        provenance: dict[str, str] | None = None,
    ) -> RawScan:
        """Validated contents; ``kind`` defaults to counts where there are flats, else to absorption.

        flat, dark: (rows, columns), or frames (n, rows, columns) that are averaged

        Raises ``ValueError`` for an unknown kind, counts without flat or dark, frames that do not fit.
        """
        if isinstance(projections, Stack):
            check_shape(projections.shape, projections.dtype)
        else:
            projections = check_stack(projections)
        if kind is None:
            kind = "absorption" if flat is None else "counts"
        if kind not in KINDS:
            raise ValueError(f"the data kind is {kind!r}; expected one of {', '.join(KINDS)}")
        if kind == "counts":
            flat = _mean_frame(flat, projections.shape[1:], "flat")
            dark = _mean_frame(dark, projections.shape[1:], "dark")
        else:
            flat = dark = None
        provenance = {**(provenance or {}), "data": kind}
        return cls(projections, np.asarray(theta_rad, float), kind, flat, dark, center, provenance)

    def load(self, rows: slice = slice(None)) -> RawScan:
        """These rows, in memory."""
        stored = isinstance(self.projections, Stack)
        projections = self.projections.read(rows) if stored else self.projections[:, rows]
        flat, dark = (None if frame is None else frame[rows] for frame in (self.flat, self.dark))
        return dataclasses.replace(self, projections=projections, flat=flat, dark=dark)


def _mean_frame(frames, shape: tuple[int, int], name: str) -> np.ndarray:
    if frames is None:
        raise ValueError(
            f"the data are counts but there is no {name} frame; counts need flat and dark "
            "(a dark of zeros, where the detector has none): add it, or say 'transmission' or 'absorption'"
        )
    frames = np.asarray(frames)
    if frames.dtype.kind not in "fiub":
        raise ValueError(f"the {name} is of type {frames.dtype}; expected real numbers")
    frames = frames.astype(float)
    if frames.ndim == 3 and len(frames):
        frames = frames.mean(axis=0)
    if frames.shape != shape:
        raise ValueError(
            f"the {name} has shape {frames.shape}; expected {shape} (rows, columns) as the "
            "projections, or such frames one after the other"
        )
    if not np.all(np.isfinite(frames)):
        raise ValueError(f"the {name} holds NaN or infinity; expected finite values: mend the file")
    return frames
