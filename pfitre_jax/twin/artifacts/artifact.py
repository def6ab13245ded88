"""The interface of an artifact, and the simulated scan that it changes."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry

#: Smallest and largest strength.
Range = tuple[float, float]


class Stage(enum.IntEnum):
    """When an artifact acts; the stages of a scan follow each other in this order.

    Attributes:
        GEOMETRY: Before the projection: the views or rows are not where the reconstruction expects them.
        SIGNAL: After the projection: the noise-free sinogram changes.
        NOISE: Random noise of each bin.
        DETECTOR: Readout of the detector columns and bins.
        PROCESSING: Software that normalises the recorded scan, and the choice of its views.
    """

    GEOMETRY = 0
    SIGNAL = 1
    NOISE = 2
    DETECTOR = 3
    PROCESSING = 4


@dataclasses.dataclass(frozen=True)
class Exposure:
    """A scan while it is simulated: each artifact returns a changed copy.

    Attributes:
        geometry: The true geometry, artifacts included.
        images: (slices, fy, fx), the scenes, drawn finer than the detector.
        mask: (views, columns), 0 for bins that the reconstruction knows to be missing, else 1.
        sinograms: (slices, views, columns), line integrals in bins; empty in the stage ``GEOMETRY``.
        noise: (), standard deviation of the Gaussian noise, relative to the maximum of each sinogram.
        line_shifts: (slices, views), bins, shift of each slice in each view along the columns, or None.
        absorption: (), strength of the sample's self-absorption, or None.
    """

    geometry: ParallelGeometry
    images: Float[Array, "slices fy fx"]
    mask: Float[Array, "views columns"]
    sinograms: Float[Array, "slices views columns"]
    noise: Float[Array, ""]
    line_shifts: Float[Array, "slices views"] | None = None
    absorption: Float[Array, ""] | None = None

    def replace(self, **changes: Any) -> Exposure:
        """Returns a copy with these attributes changed."""
        return dataclasses.replace(self, **changes)

    def shifted(self, shifts: Float[Array, " views"]) -> Exposure:
        """Returns a copy whose views are shifted along the columns by ``shifts: (views,), bins``."""
        geometry = dataclasses.replace(self.geometry, shifts=self.geometry.shifts + shifts)
        return self.replace(geometry=geometry)

    def line_shifted(self, shifts: Float[Array, "slices views"]) -> Exposure:
        """Returns a copy whose slices are shifted along the columns by ``shifts: (slices, views), bins``."""
        total = shifts if self.line_shifts is None else self.line_shifts + shifts
        return self.replace(line_shifts=total)


#: Changes a scan: ``apply(key, exposure, strength) -> exposure``. The strength is an array, ().
Apply = Callable[[Array, Exposure, Float[Array, ""]], Exposure]


@dataclasses.dataclass(frozen=True)
class Artifact:
    """One artifact of a scan; the range of its strength is a field of the instrument.

    An artifact occurs in some of the scans, with a uniform strength, or, with ``always``, in all scans, with
    a log-uniform strength.

    Attributes:
        name: Its name in configurations, tables and figures.
        number: Number that its random keys are derived from, unique and never changed, so that a seed keeps
            giving the same scan. A new artifact takes the next number.
        stage: When it acts; within a stage artifacts act in the order of the registry.
        apply: Changes a scan; a strength of 0 must change nothing.
        help: What it is, in a phrase.
        unit: Unit of its strength.
        gallery: Strength in the gallery, well above that of a good scan.
        evaluation: Strength in ``pfitre evaluate``, or None to leave it out there.
        default: Range of the strength; (0, 0) is off.
        largest: Largest strength that is allowed.
        always: Whether it occurs in every scan, with a log-uniform strength.
        needs_rows: Whether the slices must be the rows of one volume.
        gallery_with: Name of another artifact without which this one cannot be seen.
    """

    name: str
    number: int
    stage: Stage
    apply: Apply
    help: str
    unit: str
    gallery: float
    evaluation: float | None = None
    default: Range = (0.0, 0.0)
    largest: float = float("inf")
    always: bool = False
    needs_rows: bool = False
    gallery_with: str | None = None

    def check(self, strengths: Range) -> None:
        """Raises ``ValueError`` for a range of strengths that cannot be drawn from."""
        low, high = strengths
        if self.always and low == 0 < high:
            raise ValueError(
                f"{self.name} is (0, {high:g}), drawn log-uniform; expected a positive lower end, or (0, 0) "
                "for none"
            )
        if high > self.largest:
            raise ValueError(
                f"{self.name} goes up to {high:g}; expected at most {self.largest:g} ({self.unit})"
            )
