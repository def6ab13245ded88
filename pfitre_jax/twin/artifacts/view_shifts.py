"""Views that are not where the reconstruction expects them: shifts along the columns, and angles."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pfitre_jax.twin.artifacts.artifact import Artifact, Exposure, Stage


def draw_shifts(key: Array, views: int, rms: Array | float) -> Float[Array, " views"]:
    """Per-view shifts along the columns, bins: independent jitter of standard deviation ``rms``.

    A combination of 1, cos and sin of the view angle changes the centre and the position of the object and is
    no error. Jitter contains little of it, which is not removed.
    """
    return rms * jax.random.normal(key, (views,))


def draw_drift(key: Array, views: int, rms: Array | float) -> Float[Array, " views"]:
    """Slowly varying shifts, bins: four cosines with random weights and the root mean square ``rms``.

    There is no constant term: that would be another centre.
    """
    orders = jnp.arange(1, 5)
    waves = jnp.cos(jnp.pi * orders[:, None] * (jnp.arange(views)[None, :] + 0.5) / views)
    # Slower ones are stronger; cosines have the mean square 1/2.
    weights = jax.random.normal(key, (4,)) / orders
    return rms * (weights @ waves) / jnp.sqrt(jnp.sum(1 / orders**2) / 2)


def draw_outliers(key: Array, views: int, share: Array | float, size: float = 5.0) -> Float[Array, " views"]:
    """Shifts of a few views that slipped, bins: a ``share`` of the views, by up to ``size`` either way."""
    key_which, key_size = jax.random.split(key)
    slipped = jax.random.uniform(key_which, (views,)) < share
    return slipped * jax.random.uniform(key_size, (views,), minval=-size, maxval=size)


def draw_sample_drift(
    key: Array, theta_rad: Float[Array, " views"], distance: Array | float
) -> Float[Array, " views"]:
    """Shifts, bins, of a sample that moves straight by ``distance`` bins during the scan.

    The direction ``phi`` in the plane is random: ``s_v = distance * (v/V - 1/2) * cos(theta_v - phi)``.
    """
    views = theta_rad.shape[0]
    phi = jax.random.uniform(key, maxval=2 * jnp.pi)
    return distance * (jnp.arange(views) / views - 0.5) * jnp.cos(theta_rad - phi)


def draw_angle_errors(key: Array, views: int, rms_deg: Array | float) -> Float[Array, " views"]:
    """Independent errors of the view angles, radians, of standard deviation ``rms_deg`` degrees."""
    return jnp.deg2rad(rms_deg) * jax.random.normal(key, (views,))


def draw_sign(key: Array) -> Float[Array, ""]:
    """1 or -1, equally likely."""
    return jnp.where(jax.random.uniform(key) < 0.5, 1.0, -1.0)


def _shift(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.shifted(draw_shifts(key, scan.geometry.views, strength))


def _drift(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.shifted(draw_drift(key, scan.geometry.views, strength))


def _outliers(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.shifted(draw_outliers(key, scan.geometry.views, strength))


def _sample_drift(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.shifted(draw_sample_drift(key, scan.geometry.theta_rad, strength))


def _center_error(key: Array, scan: Exposure, strength) -> Exposure:
    return scan.shifted(strength * draw_sign(key))


def _angle_error(key: Array, scan: Exposure, strength) -> Exposure:
    theta = scan.geometry.theta_rad + draw_angle_errors(key, scan.geometry.views, strength)
    return scan.replace(geometry=dataclasses.replace(scan.geometry, theta_rad=theta))


SHIFT = Artifact(
    name="shift",
    number=4,
    stage=Stage.GEOMETRY,
    apply=_shift,
    help="independent shifts of the views along the columns",
    unit="bins rms",
    default=(0.0, 0.6),
    gallery=1.5,
    evaluation=0.5,
)
DRIFT = Artifact(
    name="drift",
    number=5,
    stage=Stage.GEOMETRY,
    apply=_drift,
    help="slowly varying shifts of the views along the columns",
    unit="bins rms",
    gallery=3.0,
    evaluation=0.75,
)
OUTLIERS = Artifact(
    name="outliers",
    number=6,
    stage=Stage.GEOMETRY,
    apply=_outliers,
    help="views that slipped by up to 5 bins",
    unit="share of the views",
    largest=1.0,
    gallery=0.15,
    evaluation=0.04,
)
SAMPLE_DRIFT = Artifact(
    name="sample_drift",
    number=7,
    stage=Stage.GEOMETRY,
    apply=_sample_drift,
    help="straight motion of the sample during the scan",
    unit="bins",
    gallery=8.0,
    evaluation=1.5,
)
CENTER_ERROR = Artifact(
    name="center_error",
    number=8,
    stage=Stage.GEOMETRY,
    apply=_center_error,
    help="error of the rotation centre, either way",
    unit="bins",
    gallery=4.0,
    evaluation=0.5,
)
ANGLE_ERROR = Artifact(
    name="angle_error",
    number=9,
    stage=Stage.GEOMETRY,
    apply=_angle_error,
    help="independent errors of the view angles",
    unit="degrees rms",
    gallery=2.0,
    evaluation=0.3,
)
