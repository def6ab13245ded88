"""The virtual instrument: how a scan is taken and what goes wrong with it. Jitted, seeded by keys.

:class:`Instrument` holds the ranges that the imperfections of :mod:`pfitre_jax.twin.artifacts` are drawn
from.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.geometry import ParallelGeometry, Wedge
from pfitre_jax.twin import artifacts
from pfitre_jax.twin.projection import project_absorbed, project_finely


@dataclasses.dataclass(frozen=True)
class Instrument:
    """Ranges that scans are drawn from; an imperfection with range (0, 0) is off.

    missing_deg: width of the missing wedge, uniform
    core_deg, core_share: a sub-range of ``missing_deg`` and the share of scans drawn from it
    center: largest distance of the (known) rotation centre from the detector's middle, share of the columns
    noise: sigma of the Gaussian noise over the sinogram's maximum, log-uniform, in every scan
    counts: photons in the brightest bin, log-uniform; Poisson noise before the Gaussian one
    clean_share: of scans that have none of the following
    probability: that each of the following occurs in one of the other scans; then its strength is uniform
    gain: rms of the per-view gain error
    equalised: 1, 1 for views scaled to the same sum
    shift, drift: rms of per-view shifts along the columns, independent and slow, bins
    outliers: share of views that slipped by up to 5 bins
    sample_drift: straight way of the sample during the scan, bins
    center_error: of the centre that the reconstruction is told, either way, bins
    angle_error: rms of the view angles, degrees
    absorption: of fluorescence in the sample, see :func:`pfitre_jax.twin.projection.project_absorbed`
    blur: sigma of the point spread, bins
    stripes: rms of the columns' offsets over the sinogram's maximum
    dead, hot: share of the columns, the dead ones known to be; zingers: share of the bins
    truncation: share of the columns that a run of views loses at one side; those bins are known to be missing

    Of scans whose slices are rows of one volume only:

    roll: of the rotation axis against the detector's columns, either way, degrees
    row_shift: rms of per-view shifts along the rows, bins
    line_drift, line_walk: rms of the rows' shifts along the columns inside each view, bins: a stage that
        drifts steadily, or at random, while a probe scans a view row after row
    """

    missing_deg: tuple[float, float] = (30.0, 120.0)
    core_deg: tuple[float, float] = (80.0, 110.0)
    core_share: float = 0.5
    center: float = 0.02
    noise: tuple[float, float] = (0.003, 0.05)
    counts: tuple[float, float] = (0.0, 0.0)
    clean_share: float = 0.0
    probability: float = 0.5
    gain: tuple[float, float] = (0.0, 0.05)
    equalised: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.6)
    drift: tuple[float, float] = (0.0, 0.0)
    outliers: tuple[float, float] = (0.0, 0.0)
    sample_drift: tuple[float, float] = (0.0, 0.0)
    center_error: tuple[float, float] = (0.0, 0.0)
    angle_error: tuple[float, float] = (0.0, 0.0)
    absorption: tuple[float, float] = (0.0, 0.0)
    blur: tuple[float, float] = (0.0, 0.0)
    stripes: tuple[float, float] = (0.0, 0.0)
    dead: tuple[float, float] = (0.0, 0.0)
    hot: tuple[float, float] = (0.0, 0.0)
    zingers: tuple[float, float] = (0.0, 0.0)
    truncation: tuple[float, float] = (0.0, 0.0)
    roll: tuple[float, float] = (0.0, 0.0)
    row_shift: tuple[float, float] = (0.0, 0.0)
    line_drift: tuple[float, float] = (0.0, 0.0)
    line_walk: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and not 0 <= value[0] <= value[1] < float("inf"):
                low, high = value
                raise ValueError(f"{field.name} is ({low:g}, {high:g}); expected 0 <= low <= high")
        for name in ("noise", "counts"):
            low, high = getattr(self, name)
            if low == 0 < high:
                raise ValueError(
                    f"{name} is (0, {high:g}), drawn log-uniform; expected a positive lower end, or "
                    "(0, 0) for none"
                )
        if self.missing_deg[1] >= 180:
            raise ValueError(f"missing_deg goes up to {self.missing_deg[1]:g}; expected less than 180")
        if self.roll[1] >= 45:
            raise ValueError(f"roll goes up to {self.roll[1]:g} degrees; expected less than 45")
        for name in ("outliers", "dead", "hot", "zingers", "truncation", "equalised"):
            if getattr(self, name)[1] > 1:
                raise ValueError(f"{name} goes up to {getattr(self, name)[1]:g}; expected a share, at most 1")
        for name in ("core_share", "clean_share", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; expected 0 to 1")

    def require_rows(self, volume: bool) -> None:
        """Raise ``ValueError`` if an imperfection of :data:`ROWWISE` may occur and slices are no rows."""
        names = [name for name in ROWWISE if getattr(self, name)[1] > 0]
        if names and not volume:
            raise ValueError(
                f"{', '.join(names)} need slices that are rows of one volume, and these are independent; "
                "leave them out, or simulate a volume (pfitre simulate --scene circuits3d)"
            )


#: Imperfections that occur in some scans, whatever their slices are.
SWITCHED = (
    *("gain", "equalised", "shift", "drift", "outliers", "sample_drift", "center_error", "angle_error"),
    *("absorption", "blur", "stripes", "dead", "hot", "zingers", "truncation"),
)
#: Imperfections that need slices that are rows of one volume.
ROWWISE = ("roll", "row_shift", "line_drift", "line_walk")


def draw_geometry(key, instrument: Instrument, views: int, columns: int) -> tuple[ParallelGeometry, Wedge]:
    """Evenly spaced views around a missing wedge of random width and orientation."""
    k_width, k_core, k_which, k_orientation, k_center = jax.random.split(key, 5)
    wide = jax.random.uniform(k_width, minval=instrument.missing_deg[0], maxval=instrument.missing_deg[1])
    core = jax.random.uniform(k_core, minval=instrument.core_deg[0], maxval=instrument.core_deg[1])
    missing = jnp.where(jax.random.uniform(k_which) < instrument.core_share, core, wide)
    orientation = jax.random.uniform(k_orientation, maxval=jnp.pi)
    offset = jax.random.uniform(k_center, minval=-1, maxval=1) * instrument.center * columns
    return limited_angle_geometry(jnp.deg2rad(missing), orientation, views, columns, offset)


def limited_angle_geometry(
    missing_rad, orientation_rad, views: int, columns: int, center_offset=0.0
) -> tuple[ParallelGeometry, Wedge]:
    """``views`` angles, evenly spaced over what a wedge of ``missing_rad`` about ``orientation_rad`` leaves.

    Angles are the middles of equal intervals, so that the gap less one spacing is the missing width.
    """
    measured = jnp.pi - missing_rad
    theta = orientation_rad + missing_rad / 2 + (jnp.arange(views) + 0.5) * measured / views
    center = (columns - 1) / 2 + jnp.asarray(center_offset, theta.dtype)
    geometry = ParallelGeometry(theta, center, jnp.zeros_like(theta), columns)
    return geometry, Wedge(jnp.asarray(orientation_rad, theta.dtype), jnp.asarray(missing_rad, theta.dtype))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Measured:
    """sinograms: (slices, views, columns); mask: (views, columns), 0 for bins known to be missing
    noise: (), standard deviation of the Gaussian noise over each sinogram's maximum
    """

    sinograms: Float[Array, "slices views columns"]
    mask: Float[Array, "views columns"]
    noise: Float[Array, ""]


def measure(
    key,
    instrument: Instrument,
    geometry: ParallelGeometry,
    images: Float[Array, "slices fy fx"],
    volume: bool = False,
) -> Measured:
    """One scan of several slices: what belongs to the scan is drawn once.

    Errors of angles, centre and shifts are not in ``geometry``: the reconstruction does not know of them.

    volume: whether the slices are the rows of one volume, in their order

    Raises ``ValueError`` where an imperfection of :data:`ROWWISE` is on and they are not.
    """
    instrument.require_rows(volume)
    draw = _Draws(key, instrument)
    views, columns = geometry.views, geometry.columns
    shifts, theta = geometry.shifts, geometry.theta_rad
    for name, jitter in (
        ("shift", lambda k, s: artifacts.draw_shifts(k, views, s)),
        ("drift", lambda k, s: artifacts.draw_drift(k, views, s)),
        ("outliers", lambda k, s: artifacts.draw_outliers(k, views, s)),
        ("sample_drift", lambda k, s: artifacts.draw_sample_drift(k, theta, s)),
        ("center_error", lambda k, s: s * draw.sign("center_error")),
    ):
        if draw.on(name):
            shifts = shifts + jitter(draw.key(name), draw.strength(name))
    if draw.on("angle_error"):
        rms = draw.strength("angle_error")
        theta = theta + artifacts.draw_angle_errors(draw.key("angle_error"), views, rms)
    true = dataclasses.replace(geometry, theta_rad=theta, shifts=shifts)
    lines = None
    for name, stray in (
        ("line_drift", artifacts.draw_line_ramps),
        ("line_walk", artifacts.draw_line_walks),
    ):
        if draw.on(name):
            own = stray(draw.key(name), len(images), views, draw.strength(name))
            lines = own if lines is None else lines + own
    strength = draw.strength("absorption") if draw.on("absorption") else None
    y = _project(true, images, strength, lines)
    if draw.on("row_shift"):
        y = artifacts.move_rows(draw.key("row_shift"), y, draw.strength("row_shift"))
    if draw.on("roll"):
        y = artifacts.roll_views(y, draw.sign("roll") * draw.strength("roll"))
    for name, spoil in (
        ("blur", lambda k, y, s: artifacts.blur(y, s)),
        ("gain", artifacts.apply_gain),
    ):
        if draw.on(name):
            y = spoil(draw.key(name), y, draw.strength(name))
    each = lambda noise, name, y, s: jax.vmap(noise, (0, 0, None))(  # noqa: E731
        jax.random.split(draw.key(name), len(y)), y, s
    )
    if draw.on("counts"):
        y = each(artifacts.count_photons, "counts", y, draw.logarithmic("counts"))
    level = draw.logarithmic("noise") if draw.on("noise") else jnp.zeros(())
    if draw.on("noise"):
        y = each(artifacts.add_noise, "noise", y, level)
    for name, spoil in (
        ("stripes", artifacts.add_stripes),
        ("hot", artifacts.heat_columns),
        ("dead", artifacts.kill_columns),
        ("zingers", artifacts.add_zingers),
    ):
        if draw.on(name):
            y = spoil(draw.key(name), y, draw.strength(name))
    mask = jnp.ones((views, columns), y.dtype)
    if draw.on("truncation"):
        mask = artifacts.narrow_field(draw.key("truncation"), views, columns, draw.strength("truncation"))
    if draw.on("dead"):
        # A column that answers nothing is found by any preprocessing.
        mask = artifacts.kill_columns(draw.key("dead"), mask, draw.strength("dead"))
    if draw.on("equalised"):
        y = jnp.where(draw.strength("equalised") > 0, artifacts.equalise(y * mask[None]), y)
    return Measured(y * mask[None], mask.astype(y.dtype), level)


def _project(geometry, images, absorption, lines):
    """Sinograms (slices, views, columns); lines: (slices, views), each slice's own shifts, or None."""

    def project(geometry, images):
        if absorption is not None:
            return project_absorbed(geometry, images, absorption)
        return jax.vmap(lambda image: project_finely(geometry, image))(images)

    if lines is None:
        return project(geometry, images)
    moved = lambda extra: dataclasses.replace(geometry, shifts=geometry.shifts + extra)  # noqa: E731
    return jax.lax.map(lambda row: project(moved(row[0]), row[1][None])[0], (lines, images))


class _Draws:
    """Keys and strengths by name: what one imperfection draws does not depend on which others are on."""

    def __init__(self, key, instrument: Instrument):
        # New ones come last, so that old seeds go on giving the same scans.
        names = ["noise", "counts", *SWITCHED, "clean", *ROWWISE]
        self._keys = {name: jax.random.fold_in(key, number) for number, name in enumerate(names)}
        self._instrument = instrument
        clean = jax.random.uniform(self._keys["clean"]) < instrument.clean_share
        self._probability = jnp.where(clean, 0.0, instrument.probability)

    def on(self, name: str) -> bool:
        """Whether it can occur at all; known before anything is drawn."""
        return getattr(self._instrument, name)[1] > 0

    def key(self, name: str):
        return jax.random.fold_in(self._keys[name], 0)

    def sign(self, name: str):
        """1 or -1."""
        return jnp.where(jax.random.uniform(self.key(name)) < 0.5, 1.0, -1.0)

    def strength(self, name: str):
        """Uniform in its range, or 0 where it does not occur in this scan."""
        low, high = getattr(self._instrument, name)
        k_size, k_on = jax.random.split(jax.random.fold_in(self._keys[name], 1))
        size = jax.random.uniform(k_size, minval=low, maxval=high)
        return jnp.where(jax.random.uniform(k_on) < self._probability, size, 0.0)

    def logarithmic(self, name: str):
        """Log-uniform in its range, in every scan."""
        low, high = getattr(self._instrument, name)
        return low * (high / low) ** jax.random.uniform(jax.random.fold_in(self._keys[name], 1))
