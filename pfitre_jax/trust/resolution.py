"""Resolution: Fourier ring and shell correlation between two reconstructions from half sets of the views.

Both halves hold independent noise, so that they agree only where the signal is above it. Agreement is no
proof of truth: a prior that supplies the same structure to both halves correlates, too. Inside the missing
wedge the correlation therefore shows how firmly the prior decides, and only outside of it what the data
resolve.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pfitre_jax.estimation.held_out_views import interleaved_folds
from pfitre_jax.geometry import Wedge

Threshold = Literal["half-bit", "0.143"]
THRESHOLDS: tuple[Threshold, ...] = ("half-bit", "0.143")
#: Correlation of two half sets whose average has a correlation of 0.5 with the truth.
FIXED_THRESHOLD = 0.143
#: Share of the radius, or of the rows, over which the window falls to 0 at either end.
WINDOW_EDGE = 0.25
#: Fewest independent Fourier coefficients of a ring whose correlation is compared with a threshold.
MIN_COEFFICIENTS = 4.0
#: Sectors of equal width into which the measured directions are divided.
MEASURED_SECTORS = 3
#: Fewest rows for a shell correlation.
MIN_SHELL_ROWS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class FourierCorrelation:
    """Correlation of two images, or stacks of images, in rings or shells of spatial frequency.

    Attributes:
        frequency: (rings,), mean spatial frequency of a ring, cycles per pixel, at most 0.5.
        correlation: (rings,), ``Re sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2)`` over the ring, 0 where a
            sum is 0.
        coefficients: (rings,), number of independent complex Fourier coefficients of a ring.
    """

    frequency: Float[np.ndarray, " rings"]
    correlation: Float[np.ndarray, " rings"]
    coefficients: Float[np.ndarray, " rings"]

    @property
    def half_bit(self) -> Float[np.ndarray, " rings"]:
        """Half-bit threshold of each ring, see :func:`half_bit_threshold`."""
        return half_bit_threshold(self.coefficients)

    def threshold(self, name: Threshold) -> Float[np.ndarray, " rings"]:
        """Values of a threshold (rings,)."""
        return self.half_bit if name == "half-bit" else np.full_like(self.frequency, FIXED_THRESHOLD)

    def resolution(self, name: Threshold = "half-bit") -> float | None:
        """Period, in pixels, of the lowest frequency at which the correlation falls below a threshold.

        The crossing is interpolated between rings. 2 pixels, the Nyquist limit, if the correlation stays
        above the threshold; None if it starts below.

        Args:
            name: The threshold.
        """
        tested = self.coefficients >= MIN_COEFFICIENTS
        frequency, excess = self.frequency[tested], (self.correlation - self.threshold(name))[tested]
        below = np.flatnonzero(excess < 0)
        if not frequency.size or (below.size and below[0] == 0):
            return None
        if not below.size:
            return 2.0
        k = below[0]
        share = excess[k - 1] / (excess[k - 1] - excess[k])
        return float(1 / (frequency[k - 1] + share * (frequency[k] - frequency[k - 1])))


@dataclasses.dataclass(frozen=True, eq=False)
class Sector:
    """Correlation of the frequencies whose direction has a certain angle to the middle of the wedge.

    Attributes:
        low_deg: Smallest angle to the middle of the missing wedge, on either side, degrees.
        high_deg: Largest angle.
        measured: Whether the sector is outside the missing wedge.
        rings: The correlation.
    """

    low_deg: float
    high_deg: float
    measured: bool
    rings: FourierCorrelation


@dataclasses.dataclass(frozen=True, eq=False)
class Resolution:
    """Resolution of a reconstruction from half sets of its views; made by :func:`estimate_resolution`.

    Attributes:
        rings: Correlation in rings over all directions, of all rows together.
        sectors: Correlation by direction, from the middle of the wedge outwards.
        shells: Correlation in shells of the volume; None with fewer rows than :data:`MIN_SHELL_ROWS`.
        rows: Number of rows.
        pixel_size: Size of a pixel, micrometres, or None.
    """

    rings: FourierCorrelation
    sectors: list[Sector]
    shells: FourierCorrelation | None
    rows: int
    pixel_size: float | None = None

    def record(self) -> dict[str, Any]:
        """The resolution as JSON values, see ``summary.json`` in docs/reference/files.md."""
        content: dict[str, Any] = {"rows": self.rows, "rings": self._entry(self.rings)}
        content["sectors"] = [
            {
                "angle_to_wedge_deg": [sector.low_deg, sector.high_deg],
                "measured": sector.measured,
                **self._entry(sector.rings),
            }
            for sector in self.sectors
        ]
        content["shells"] = None if self.shells is None else self._entry(self.shells)
        return content

    def _entry(self, rings: FourierCorrelation) -> dict[str, Any]:
        pixels = {name: rings.resolution(name) for name in THRESHOLDS}
        entry: dict[str, Any] = {"pixels": pixels}
        if self.pixel_size is not None:
            size = self.pixel_size
            entry["um"] = {name: None if value is None else value * size for name, value in pixels.items()}
        entry["curve"] = {
            "frequency": np.round(rings.frequency, 6).tolist(),
            "correlation": np.round(rings.correlation, 5).tolist(),
            "half_bit": np.round(rings.half_bit, 5).tolist(),
        }
        return entry


def half_sets(theta_rad: ArrayLike) -> Float[np.ndarray, "2 views"]:
    """The two half sets of the views: the even and the odd ones in angular order.

    Args:
        theta_rad: (views,), radians, in any order.

    Returns:
        (2, views), 1 for a view of the half set.
    """
    return interleaved_folds(theta_rad, 2)


def half_bit_threshold(coefficients: ArrayLike) -> Float[np.ndarray, " rings"]:
    """Correlation of half sets at which their average holds half a bit of information per coefficient.

    ``(0.2071 + 1.9102/sqrt n) / (1.2071 + 0.9102/sqrt n)``, for a signal-to-noise ratio of
    ``(sqrt 2 - 1)/2`` of each half set. It is 0.17 for many coefficients.

    Args:
        coefficients: (rings,), number ``n`` of independent coefficients.

    References:
        van Heel & Schatz, J. Struct. Biol. 151, 2005.
    """
    root = np.sqrt(np.maximum(np.asarray(coefficients, float), 1e-12))
    return (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)


def ring_correlation(
    first: Float[np.ndarray, "rows ny nx"],
    second: Float[np.ndarray, "rows ny nx"],
    *,
    wedge_center_rad: float = 0.0,
    sector_rad: tuple[float, float] | None = None,
) -> FourierCorrelation:
    """Fourier ring correlation of slices; the sums over a ring include all rows.

    Args:
        first: (rows, ny, nx), slices from one half set.
        second: (rows, ny, nx), slices from the other one.
        wedge_center_rad: Middle of the missing wedge, radians.
        sector_rad: Smallest and largest angle between the direction of a frequency and the middle of the
            wedge, 0 to pi/2, that are counted; None for all directions.
    """
    first, second = _checked(first, second)
    window = _disc_window(first.shape[1:])
    a, b = (np.fft.fft2(_windowed(stack, window, axes=(1, 2))) for stack in (first, second))
    radius, angle = _frequencies(first.shape[1:], wedge_center_rad)
    # Coefficients closer than the width of the window's transform are correlated, along the ring only,
    # because rings are as thin as one coefficient.
    independent = np.sqrt(_effective_share(window))
    return _correlation(a, b, radius, _in_sector(angle, sector_rad), min(first.shape[1:]), independent)


def shell_correlation(
    first: Float[np.ndarray, "rows ny nx"],
    second: Float[np.ndarray, "rows ny nx"],
    *,
    wedge_center_rad: float = 0.0,
    sector_rad: tuple[float, float] | None = None,
) -> FourierCorrelation:
    """Fourier shell correlation of volumes of cubic voxels, see :func:`ring_correlation`.

    Args:
        first: (rows, ny, nx), volume from one half set.
        second: (rows, ny, nx), volume from the other one.
        wedge_center_rad: Middle of the missing wedge, radians.
        sector_rad: Angles to the middle of the wedge, in the plane of a slice, that are counted.
    """
    first, second = _checked(first, second)
    window = _row_window(len(first))[:, None, None] * _disc_window(first.shape[1:])
    a, b = (np.fft.fftn(_windowed(stack, window, axes=(0, 1, 2))) for stack in (first, second))
    radius, angle = _frequencies(first.shape[1:], wedge_center_rad)
    radius = np.hypot(radius, np.fft.fftfreq(len(first))[:, None, None])
    independent = _effective_share(window) ** (2 / 3)
    counted = np.broadcast_to(_in_sector(angle, sector_rad), radius.shape)
    return _correlation(a, b, radius, counted, min(first.shape[1:]), independent)


def estimate_resolution(
    first: Float[np.ndarray, "rows ny nx"],
    second: Float[np.ndarray, "rows ny nx"],
    wedge: Wedge,
    pixel_size: float | None = None,
) -> Resolution:
    """Resolution over all directions, by direction to the missing wedge and, with enough rows, in shells.

    Args:
        first: (rows, ny, nx), neighbouring slices from one half set of the views, see :func:`half_sets`.
        second: (rows, ny, nx), the same slices from the other half set.
        wedge: The missing wedge.
        pixel_size: Size of a pixel, micrometres.
    """
    center = float(wedge.center_rad)
    half = wedge.width_deg / 2
    edges = np.linspace(half, 90, MEASURED_SECTORS + 1)
    limits = [(0.0, half, False)] if half > 0 else []
    limits += [(low, high, True) for low, high in itertools.pairwise(edges)]
    sectors = []
    for low, high, measured in limits:
        sector_rad = float(np.deg2rad(low)), float(np.deg2rad(high))
        rings = ring_correlation(first, second, wedge_center_rad=center, sector_rad=sector_rad)
        sectors.append(Sector(float(low), float(high), measured, rings))
    rows = len(first)
    return Resolution(
        ring_correlation(first, second),
        sectors,
        shell_correlation(first, second) if rows >= MIN_SHELL_ROWS else None,
        rows,
        pixel_size,
    )


def _checked(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, float), np.asarray(second, float)
    if first.ndim != 3 or first.shape != second.shape:
        raise ValueError(
            f"the half sets have shapes {first.shape} and {second.shape}; expected the same shape "
            "(rows, ny, nx)"
        )
    return first, second


def _correlation(
    first: np.ndarray,
    second: np.ndarray,
    radius: np.ndarray,
    counted: np.ndarray,
    size: int,
    independent: float,
) -> FourierCorrelation:
    """Correlation of transforms (rows, ny, nx) in rings of ``radius``, whose width is ``1/size``.

    ``radius`` is (ny, nx) for rings, which are summed over the rows, or (rows, ny, nx) for shells.
    """
    ring = np.round(radius * size).astype(int)
    counted = counted & (ring > 0) & (radius <= 0.5)
    ring, rings = np.where(counted, ring, 0), size // 2 + 1

    def per_ring(values: np.ndarray) -> np.ndarray:
        summed = values if radius.ndim == values.ndim else values.sum(axis=0)
        return np.bincount(ring.ravel(), (counted * summed).ravel(), minlength=rings)[:rings]

    cross = per_ring((first * second.conj()).real)
    power = per_ring(np.abs(first) ** 2) * per_ring(np.abs(second) ** 2)
    count = np.bincount(ring.ravel(), counted.ravel(), minlength=rings)[:rings]
    mean = np.bincount(ring.ravel(), (counted * radius).ravel(), minlength=rings)[:rings]
    repeated = len(first) if radius.ndim < first.ndim else 1
    filled = count > 0
    return FourierCorrelation(
        (mean / np.maximum(count, 1))[filled],
        np.where(power > 0, cross / np.sqrt(np.where(power > 0, power, 1)), 0)[filled],
        # A real image has the same coefficients at opposite frequencies.
        (repeated * independent * count / 2)[filled],
    )


def _frequencies(shape: tuple[int, ...], wedge_center_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """Spatial frequency (ny, nx), cycles per pixel, and angle to the middle of the wedge, 0 to pi/2."""
    # y points up, rows go down.
    fx, fy = np.fft.fftfreq(shape[1])[None, :], -np.fft.fftfreq(shape[0])[:, None]
    off = np.mod(np.arctan2(fy, fx) - wedge_center_rad + np.pi / 2, np.pi) - np.pi / 2
    return np.hypot(fx, fy), np.abs(off)


def _in_sector(angle: np.ndarray, sector_rad: tuple[float, float] | None) -> np.ndarray:
    if sector_rad is None:
        return np.ones(angle.shape, bool)
    low, high = sector_rad
    # The angle pi/2 belongs to the last sector.
    return (angle >= low) & ((angle < high) | (high >= np.pi / 2 - 1e-9))


def _disc_window(shape: tuple[int, ...]) -> np.ndarray:
    """Window (ny, nx): 1 in a disc, falling to 0 at the edge of the image, which both halves share."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in shape)
    return _fall(1 - np.hypot(y[:, None], x[None, :]) / (min(shape) / 2))


def _row_window(rows: int) -> np.ndarray:
    """Window (rows,): 1 in the middle, falling to 0 beyond the first and the last row."""
    return _fall(1 - np.abs(np.arange(rows) - (rows - 1) / 2) / (rows / 2))


def _fall(distance: np.ndarray) -> np.ndarray:
    """Cosine from 0 at the distance 0 from the edge to 1 at :data:`WINDOW_EDGE`."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(distance / WINDOW_EDGE, 0, 1))


def _windowed(stack: np.ndarray, window: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """``window (x - mean)``: the window itself, times the mean, would correlate between the halves."""
    mean = np.sum(window * stack, axis=axes, keepdims=True) / np.sum(window)
    return window * (stack - mean)


def _effective_share(window: np.ndarray) -> float:
    """Share of the coefficients of windowed noise that are independent, ``(sum w^2)^2 / (N sum w^4)``."""
    return float(np.sum(window**2) ** 2 / (window.size * np.sum(window**4)))
