"""Sample support: the pixels that may differ from 0, from what the detector sees."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.data.overview import Overview, smoothed_peak
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.truncation import (
    TRUNCATION_ERRORS,
    TRUNCATION_FRACTION,
    completed_side,
    truncated_views,
)
from pfitre_jax.estimation.shadow import Shadow, casts_shadow, sample_shadow, shadow_outline
from pfitre_jax.geometry import ParallelGeometry, Wedge

#: How the support is determined: estimated from the scan, or one of two fixed shapes.
SupportKind = Literal["auto", "disc", "extended"]
#: Prefix of the text of :class:`Faces`.
FACES = "faces:"
#: Diameters of extended images, in units of the detector's columns.
EXTENSIONS = (1.13, 1.5)
#: Pixels beyond the field of view in which a learned prior is applied.
MARGIN = 16


@dataclasses.dataclass(frozen=True)
class Faces:
    """Known faces of a flat sample: two lines perpendicular to the middle of the missing directions.

    Attributes:
        low: Position of one face along the middle of the missing wedge, columns from the rotation axis.
            The direction is between -45 and 135 degrees: y if it is 90 degrees, x if it is 0 or 180.
        high: Position of the other face.

    Raises:
        ValueError: ``low`` is not below ``high``, or one of them is not finite.
    """

    low: float
    high: float

    def __post_init__(self):
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"faces are at {self.low:g} and {self.high:g}; expected finite LOW < HIGH")

    @classmethod
    def from_text(cls, text: str) -> Faces:
        """Faces from ``faces:LOW,HIGH``.

        Raises:
            ValueError: The text has another form.
        """
        try:
            low, high = (float(number) for number in text.removeprefix(FACES).split(","))
        except ValueError as error:
            raise ValueError(f"support is {text}; expected faces:LOW,HIGH, such as faces:-24,24") from error
        return cls(low, high)

    @property
    def text(self) -> str:
        """As :meth:`from_text` reads it."""
        return f"{FACES}{self.low:g},{self.high:g}"


@dataclasses.dataclass(frozen=True)
class SupportShape:
    """A shape that the support of a scan may have.

    Attributes:
        extension: Diameter, in detector widths, of a disc whose pixels belong to the shape if all views
            without truncation see them. None: the disc about the rotation axis that every view sees
            completely.
        outlined: Whether only pixels in the shadow of the sample belong to it.
        faces: Faces between which its pixels lie, or None.
    """

    extension: float | None = None
    outlined: bool = False
    faces: Faces | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SupportShape:
        """Shape from the JSON values of its fields."""
        faces = record.get("faces")
        return cls(**(record | {"faces": None if faces is None else Faces(**faces)}))

    @property
    def text(self) -> str:
        """Description for summaries and messages."""
        field = "disc of the field of view"
        if self.extension is not None:
            field = (
                f"area that all views without truncation see, up to {self.extension:g} detector widths across"
            )
        if self.outlined:
            field = f"outline of the sample's shadows in the {field}"
        if self.faces is not None:
            field += f", between faces at {self.faces.low:g} and {self.faces.high:g} columns"
        return field


@dataclasses.dataclass(frozen=True, eq=False)
class Support:
    """Support of a scan.

    Attributes:
        image: (ny, nx), 1 where the image may differ from 0.
        text: Its description.
        shape: Shape from which it was drawn, or None.
    """

    image: Float[np.ndarray, "ny nx"]
    text: str
    shape: SupportShape | None = None

    @classmethod
    def from_image(cls, image: np.ndarray, name: str = "image") -> Support:
        """Support from an image that is not 0 where the sample may be.

        Args:
            image: (n, n), or (1, n, n).
            name: Its name, for summaries and messages.

        Raises:
            ValueError: The image is not square, is not finite, or is 0 everywhere.
        """
        values = np.asarray(image)
        values = values[0] if values.ndim == 3 and len(values) == 1 else values
        if values.ndim != 2 or values.shape[0] != values.shape[1]:
            raise ValueError(f"support {name} has shape {np.shape(image)}; expected a square image (n, n)")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"support {name} has NaN or infinite values; expected 0 outside the sample")
        if not np.any(values != 0):
            raise ValueError(f"support {name} is 0 everywhere; expected other values where the sample may be")
        return cls((values != 0).astype(np.float32), name)

    @property
    def sha256(self) -> str:
        """Hash of the image, hexadecimal."""
        return hashlib.sha256(np.packbits(self.image > 0).tobytes()).hexdigest()

    def check(self, columns: int) -> None:
        """Checks that the image belongs to a detector of ``columns`` columns.

        Raises:
            ValueError: The image is smaller than the detector, or its parity differs.
        """
        n = len(self.image)
        if n < columns or (n - columns) % 2:
            raise ValueError(
                f"support {self.text} has {n} x {n} pixels; expected {columns} x {columns} for a detector of "
                f"{columns} columns, or more by an even number"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class FieldOfView:
    """What the detector sees of a sample, from which supports are drawn.

    Attributes:
        geometry: Geometry of a row.
        truncated: (views,), whether a view extends beyond the field of view.
        beyond_disc: Whether matter lies outside the disc that every view sees.
        shadow: Shadow of the sample.
        half_acquisition: Whether the axis is off centre, views over a whole turn complete each other, and
            matter lies outside the disc that every view sees. The field of view is then the disc that the
            farther side of the detector sees, and a view is truncated only if the sample exceeds that side.
    """

    geometry: ParallelGeometry
    truncated: Bool[np.ndarray, " views"]
    beyond_disc: bool
    shadow: Shadow
    half_acquisition: bool = False

    @classmethod
    def from_scan(cls, scan: Scan) -> FieldOfView:
        """Field of view of a scan whose centre is known."""
        geometry = scan.geometry()
        truncated = np.isin(np.arange(scan.views), truncated_views(scan))
        outside = _signal_beyond_disc(geometry, scan.overview)
        half = outside and completed_side(scan) is not None
        beyond = bool(truncated.any()) or (outside and not half)
        return cls(geometry, truncated, beyond, sample_shadow(scan), half)

    @property
    def radius(self) -> float:
        """Radius of the disc about the axis that is measured completely, pixels."""
        return float(self.geometry.reach if self.half_acquisition else self.geometry.disc_radius)

    @property
    def diameter(self) -> float:
        """Diameter of the image to which extensions refer, pixels: the columns, or twice the radius."""
        return 2 * self.radius if self.half_acquisition else float(self.geometry.columns)

    def candidates(self) -> list[SupportShape]:
        """Shapes to choose from: the disc, its outline, and wider outlines where matter lies outside."""
        wider = EXTENSIONS if self.beyond_disc else ()
        return [SupportShape(), *(SupportShape(extension, outlined=True) for extension in (None, *wider))]

    def fixed_shape(self, kind: SupportKind | Faces) -> SupportShape:
        """The shape "disc", "extended" or of known faces; for "auto" the larger one that the scan needs."""
        if isinstance(kind, Faces):
            return dataclasses.replace(self.candidates()[-1], faces=kind)
        extended = kind == "extended" or (kind == "auto" and self.beyond_disc)
        return SupportShape(EXTENSIONS[-1] if extended else None)

    def contains(
        self, shape: SupportShape, x: Float[np.ndarray, "1 nx"], y: Float[np.ndarray, "ny 1"]
    ) -> Bool[np.ndarray, "ny nx"]:
        """Whether points belong to a shape, (ny, nx).

        Args:
            shape: The shape.
            x: (1, nx), coordinates from the rotation axis, detector bins.
            y: (ny, 1), coordinates from the rotation axis, detector bins.
        """
        geometry = self.geometry
        if shape.extension is None:
            inside = x**2 + y**2 <= self.radius**2
        else:
            inside = x**2 + y**2 <= (shape.extension * self.diameter / 2) ** 2
            if not self.half_acquisition:
                inside &= _in_every_view(geometry, ~self.truncated, x, y)
        if shape.outlined:
            inside &= shadow_outline(self.shadow, geometry, x, y)
        if shape.faces is not None:
            along = along_missing(geometry, x, y)
            inside &= (along > shape.faces.low) & (along < shape.faces.high)
        return inside

    def casts_shadow(self, support: Support) -> bool:
        """Whether a support casts the whole shadow that the views show, so that it can contain the sample."""
        x, y = pixel_grid(len(support.image))
        return casts_shadow(self.shadow, self.geometry, support.image > 0, x, y)

    def support(self, shape: SupportShape) -> Support:
        """The support of a shape on the pixels of the image.

        The image has (columns, columns) pixels. An extended one, or one of a half acquisition, is the
        smallest square, of the columns' parity, whose inscribed disc contains the support, so that it can be
        rotated.
        """
        columns = self.geometry.columns
        size = columns + 2 * max(int(np.ceil(((shape.extension or 1) * self.diameter - columns) / 2)), 0)
        x, y = pixel_grid(size)
        image = self.contains(shape, x, y)
        diameter = 2 * float(np.sqrt(np.max((x**2 + y**2) * image)))
        margin = max(int((size - max(diameter + 1, columns)) / 2), 0)
        cropped = image[margin : size - margin, margin : size - margin]
        return Support(cropped.astype(np.float32), shape.text, shape)


def image_support(
    geometry: ParallelGeometry, truncated: Bool[np.ndarray, " views"] | None = None
) -> Float[np.ndarray, "ny nx"]:
    """Support (ny, nx) float32 by the geometry alone, 1 for the pixels that may differ from 0.

    By default it is the disc about the rotation axis that every view sees completely, on an image of
    (columns, columns). With truncated views, whose rays also cross matter beyond the field of view, it is
    every pixel that all other views see inside the detector, within a disc of 1.5 times the columns across.

    Args:
        geometry: Geometry of a row.
        truncated: (views,), which views extend beyond the field of view; None for the disc.

    Raises:
        ValueError: ``truncated`` has another shape.
    """
    views = np.zeros(geometry.views, bool) if truncated is None else np.asarray(truncated, bool)
    if views.shape != (geometry.views,):
        raise ValueError(
            f"truncated has shape {views.shape}; expected one value for each of {geometry.views} views"
        )
    unlimited = np.full(geometry.views, np.inf)
    field = FieldOfView(geometry, views, truncated is not None, Shadow(-unlimited, unlimited))
    return field.support(field.fixed_shape("auto")).image


def field_of_view(geometry: ParallelGeometry) -> int:
    """Side of the square in which a learned prior is applied, pixels, of the columns' parity.

    It is centred on the rotation axis and contains what the detector sees in all views, with
    :data:`MARGIN` pixels on each side.
    """
    center, last = float(geometry.center), geometry.columns - 1
    reach = max(center, last - center) + 0.5
    return geometry.columns + 2 * (int(np.ceil(max(reach - geometry.columns / 2, 0))) + MARGIN)


def pixel_grid(size: int) -> tuple[Float[np.ndarray, "1 size"], Float[np.ndarray, "size 1"]]:
    """Coordinates x (1, size) to the right and y (size, 1) upwards, in pixels from the middle."""
    x = np.arange(size) - (size - 1) / 2
    return x[None, :], -x[:, None]


def along_missing(
    geometry: ParallelGeometry, x: Float[np.ndarray, "1 nx"], y: Float[np.ndarray, "ny 1"]
) -> Float[np.ndarray, "ny nx"]:
    """Coordinate (ny, nx) of points along the middle of the missing wedge, in the unit of x and y."""
    # The middle is known modulo pi. It is taken upwards or to the right, so that a small change of the angles
    # near either direction does not reverse it.
    middle = (Wedge.from_angles(geometry.theta_rad).center_rad + np.pi / 4) % np.pi - np.pi / 4
    return x * np.cos(middle) + y * np.sin(middle)


def _in_every_view(
    geometry: ParallelGeometry,
    counted: Bool[np.ndarray, " views"],
    x: Float[np.ndarray, "1 nx"],
    y: Float[np.ndarray, "ny 1"],
) -> Bool[np.ndarray, "ny nx"]:
    """Whether all counted views see a point inside the detector, (ny, nx)."""
    theta, shifts = np.asarray(geometry.theta_rad, float), np.asarray(geometry.shifts, float)
    inside = np.ones((y.shape[0], x.shape[1]), bool)
    for view in np.flatnonzero(counted):
        bins = x * np.cos(theta[view]) + y * np.sin(theta[view]) + float(geometry.center) + shifts[view]
        inside &= (bins >= -0.5) & (bins <= geometry.columns - 0.5)
    return inside


def _signal_beyond_disc(geometry: ParallelGeometry, overview: Overview) -> bool:
    """Whether a view has signal outside the shadow of the disc, as much as that of a truncated view."""
    distance = np.abs(np.arange(geometry.columns) - float(geometry.center))
    outside = distance > float(geometry.disc_radius) + 1
    valid = overview.valid[:, outside].sum(axis=1)
    signal = overview.signal[:, outside].sum(axis=1) / np.maximum(valid, 1)
    error = overview.noise / np.sqrt(np.maximum(valid, 1))
    highest = smoothed_peak(overview.profile)
    threshold = np.maximum(TRUNCATION_FRACTION * highest, TRUNCATION_ERRORS * error)
    return bool(np.any((highest > 0) & (signal > threshold)))
