"""The virtual instrument: simulated scans with a missing wedge and artifacts, jitted and seeded by keys."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.runtime.fields import add_fields
from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Range, Stage
from pfitre_jax.twin.artifacts.registry import ARTIFACTS, CLEAN_NUMBER
from pfitre_jax.twin.projection import project_absorbed, project_finely

#: Largest ratio of the last to the first spacing of views whose spacings are in geometric progression.
SPACING_RATIO = 5.0
#: Smallest spacing of views at random angles, relative to the mean spacing.
_SMALLEST_SPACING = 0.15
# Number that the key of the view angles is derived from, above those of the keys from the split.
_VIEWS_NUMBER = 100


@dataclasses.dataclass(frozen=True)
@add_fields(
    (a.name, "tuple[float, float]", a.default, f"Range of the strength, {a.unit}: {a.help}.")
    for a in ARTIFACTS.values()
)
class Instrument:
    """Ranges that the wedge and the artifacts of scans are drawn from; an artifact with range (0, 0) is off.

    Attributes:
        missing_deg: Range of the width of the missing wedge, degrees, uniform.
        core_deg: Sub-range of ``missing_deg`` that the share ``core_share`` of the scans is drawn from.
        core_share: See ``core_deg``.
        center: Largest distance of the (known) rotation centre from the middle of the detector, share of the
            columns.
        uneven_share: Share of the scans whose views are not evenly spaced: jittered by up to half a spacing,
            at random angles, or with spacings in geometric progression, equally likely.
        clean_share: Share of the scans without artifacts except noise.
        probability: Probability of each artifact in each of the other scans. Its strength is uniform in its
            range; the noise is log-uniform and occurs in every scan.
    """

    missing_deg: Range = (30.0, 120.0)
    core_deg: Range = (80.0, 110.0)
    core_share: float = 0.5
    center: float = 0.02
    uneven_share: float = 0.0
    clean_share: float = 0.0
    probability: float = 0.5

    if TYPE_CHECKING:
        # One range for each artifact of the registry.
        def __init__(self, **fields: Any) -> None: ...

        def __getattr__(self, name: str) -> Range: ...

    def __post_init__(self) -> None:
        ranges = {"missing_deg": self.missing_deg, "core_deg": self.core_deg}
        ranges |= {name: self.range_of(artifact) for name, artifact in ARTIFACTS.items()}
        for name, (low, high) in ranges.items():
            if not 0 <= low <= high < float("inf"):
                raise ValueError(f"{name} is ({low:g}, {high:g}); expected 0 <= low <= high")
        for artifact in ARTIFACTS.values():
            artifact.check(self.range_of(artifact))
        if self.missing_deg[1] >= 180:
            raise ValueError(f"missing_deg goes up to {self.missing_deg[1]:g}; expected less than 180")
        for name in ("core_share", "uneven_share", "clean_share", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 to 1")

    def range_of(self, artifact: Artifact) -> Range:
        """Returns the range of an artifact's strength."""
        return getattr(self, artifact.name)

    def has(self, artifact: Artifact) -> bool:
        """Returns whether the artifact can occur; known before anything is drawn."""
        return self.range_of(artifact)[1] > 0

    def require_rows(self, volume: bool) -> None:
        """Raises ``ValueError`` if an artifact needs the rows of a volume and ``volume`` is False."""
        names = [a.name for a in ARTIFACTS.values() if a.needs_rows and self.has(a)]
        if names and not volume:
            raise ValueError(
                f"{', '.join(names)} need slices that are rows of one volume, but these are independent; "
                "leave them out, or simulate a volume (pfitre simulate --scene circuits3d)"
            )


def quiet_instrument(**ranges: Any) -> Instrument:
    """Returns an instrument with only the artifacts and noise in ``ranges``, which occur in every scan."""
    off: dict[str, Any] = dict.fromkeys(ARTIFACTS, (0.0, 0.0))
    return Instrument(**{"probability": 1.0} | off | ranges)


def draw_geometry(
    key: Array, instrument: Instrument, views: int, columns: int
) -> tuple[ParallelGeometry, Wedge]:
    """Draws views around a missing wedge of random width and orientation."""
    k_width, k_core, k_which, k_orientation, k_center = jax.random.split(key, 5)
    wide = jax.random.uniform(k_width, minval=instrument.missing_deg[0], maxval=instrument.missing_deg[1])
    core = jax.random.uniform(k_core, minval=instrument.core_deg[0], maxval=instrument.core_deg[1])
    missing = jnp.where(jax.random.uniform(k_which) < instrument.core_share, core, wide)
    orientation = jax.random.uniform(k_orientation, maxval=jnp.pi)
    offset = jax.random.uniform(k_center, minval=-1, maxval=1) * instrument.center * columns
    positions = None
    if instrument.uneven_share > 0:
        positions = draw_positions(jax.random.fold_in(key, _VIEWS_NUMBER), instrument.uneven_share, views)
    return limited_angle_geometry(jnp.deg2rad(missing), orientation, views, columns, offset, positions)


def draw_positions(key: Array, uneven_share: float, views: int) -> Float[Array, " views"]:
    """Draws where the views lie in the measured range, ascending, in (0, 1).

    The range is divided into one interval for each view. With the probability ``1 - uneven_share`` the
    intervals are equal and the views lie in their middles. Otherwise the intervals are equal and the views
    lie anywhere in them, or the intervals have exponentially distributed widths, as between random angles,
    or their widths form a geometric progression (:data:`SPACING_RATIO`).

    Args:
        key: Random key.
        uneven_share: Probability that the views are not evenly spaced.
        views: Number of views.
    """
    k_even, k_kind, k_jitter, k_random, k_ratio = jax.random.split(key, 5)
    kind = jnp.where(
        jax.random.uniform(k_even) < uneven_share, jax.random.randint(k_kind, (), 0, 3), jnp.asarray(3)
    )
    jitter = 0.95 * (jax.random.uniform(k_jitter, (views,)) - 0.5)
    gaps = _SMALLEST_SPACING + jax.random.exponential(k_random, (views,))
    ratio = jax.random.uniform(k_ratio, minval=-1, maxval=1) * jnp.log(SPACING_RATIO)
    progression = jnp.exp(ratio * jnp.linspace(0.0, 1.0, views))
    widths = jnp.select([kind == 1, kind == 2], [gaps, progression], jnp.ones(views))
    widths = widths / jnp.sum(widths)
    return jnp.cumsum(widths) - widths * (0.5 - jnp.where(kind == 0, jitter, 0.0))


def limited_angle_geometry(
    missing_rad: Array | float,
    orientation_rad: Array | float,
    views: int,
    columns: int,
    center_offset: Array | float = 0.0,
    positions: Float[Array, " views"] | None = None,
) -> tuple[ParallelGeometry, Wedge]:
    """Views outside a missing wedge, evenly spaced unless ``positions`` are given.

    Angles are the middles of equal intervals, so that the gap less one spacing is the missing width.

    Args:
        missing_rad: (), width of the wedge, radians.
        orientation_rad: (), middle of the wedge, radians.
        views: Number of views.
        columns: Number of detector columns.
        center_offset: (), distance of the rotation centre from the middle of the detector, bins.
        positions: (views,), where the views lie in the measured range, ascending, in (0, 1).
    """
    measured = jnp.pi - missing_rad
    if positions is None:
        theta = orientation_rad + missing_rad / 2 + (jnp.arange(views) + 0.5) * measured / views
    else:
        theta = orientation_rad + missing_rad / 2 + positions * measured
    center = (columns - 1) / 2 + jnp.asarray(center_offset, theta.dtype)
    geometry = ParallelGeometry(theta, center, jnp.zeros_like(theta), columns)
    return geometry, Wedge(jnp.asarray(orientation_rad, theta.dtype), jnp.asarray(missing_rad, theta.dtype))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measurement:
    """A simulated scan.

    Attributes:
        sinograms: (slices, views, columns), line integrals in bins, 0 where the mask is 0.
        mask: (views, columns), 0 for bins that are known to be missing, else 1.
        noise: (), standard deviation of the Gaussian noise, relative to the maximum of each sinogram.
    """

    sinograms: Float[Array, "slices views columns"]
    mask: Float[Array, "views columns"]
    noise: Float[Array, ""]


def measure(
    key: Array,
    instrument: Instrument,
    geometry: ParallelGeometry,
    images: Float[Array, "slices fy fx"],
    volume: bool = False,
) -> Measurement:
    """Simulates one scan of several slices, which share the artifacts of the scan.

    Errors of angles, centre and shifts are not in ``geometry``: the reconstruction does not know them.

    Args:
        key: Random key.
        instrument: Ranges of the artifacts.
        geometry: Geometry that the reconstruction assumes.
        images: (slices, fy, fx), scenes drawn :data:`pfitre_jax.twin.projection.OVERSAMPLING` times finer
            than the detector.
        volume: Whether the slices are the rows of one volume, in order.

    Raises:
        ValueError: If an artifact needs the rows of a volume and ``volume`` is False.
    """
    instrument.require_rows(volume)
    draws = _Draws(key, instrument)
    mask = jnp.ones((geometry.views, geometry.columns), images.dtype)
    scan = Exposure(geometry, images, mask, jnp.zeros((0, 0, 0), images.dtype), jnp.zeros(()))
    projected = False
    for artifact in ARTIFACTS.values():
        if artifact.stage > Stage.GEOMETRY and not projected:
            scan, projected = _project(scan), True
        if instrument.has(artifact):
            scan = artifact.apply(draws.key(artifact), scan, draws.strength(artifact))
    return Measurement(scan.sinograms * scan.mask[None], scan.mask.astype(images.dtype), scan.noise)


def _project(scan: Exposure) -> Exposure:
    """Returns the exposure with its noise-free sinograms."""

    def project(geometry: ParallelGeometry, images: Array) -> Array:
        if scan.absorption is not None:
            return project_absorbed(geometry, images, scan.absorption)
        return jax.vmap(lambda image: project_finely(geometry, image))(images)

    if scan.line_shifts is None:
        return scan.replace(sinograms=project(scan.geometry, scan.images))

    def project_row(row: tuple[Array, Array]) -> Array:
        shifts, image = row
        return project(scan.shifted(shifts).geometry, image[None])[0]

    return scan.replace(sinograms=jax.lax.map(project_row, (scan.line_shifts, scan.images)))


class _Draws:
    """Random keys and strengths of the artifacts, independent of the other artifacts."""

    def __init__(self, key: Array, instrument: Instrument):
        self._key = key
        self._instrument = instrument
        clean = jax.random.uniform(jax.random.fold_in(key, CLEAN_NUMBER)) < instrument.clean_share
        self._probability = jnp.where(clean, 0.0, instrument.probability)

    def key(self, artifact: Artifact) -> Array:
        """Returns the key for the random numbers of the artifact, apart from its strength."""
        return jax.random.fold_in(jax.random.fold_in(self._key, artifact.number), 0)

    def strength(self, artifact: Artifact) -> Float[Array, ""]:
        """Draws the strength, 0 where the artifact does not occur in this scan."""
        low, high = self._instrument.range_of(artifact)
        key = jax.random.fold_in(jax.random.fold_in(self._key, artifact.number), 1)
        if artifact.always:
            return low * (high / low) ** jax.random.uniform(key)
        k_size, k_on = jax.random.split(key)
        size = jax.random.uniform(k_size, minval=low, maxval=high)
        return jnp.where(jax.random.uniform(k_on) < self._probability, size, 0.0)
