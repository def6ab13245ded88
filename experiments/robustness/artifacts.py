"""Artifacts of detectors and stages, applied to a scan."""

from __future__ import annotations

import numpy as np

import pfitre_jax as pf
from experiments.robustness.config import Config
from pfitre_jax.data import dead_columns


def apply_artifacts(config: Config, scan: pf.Scan, artifacts: str) -> tuple[pf.Scan, float]:
    """Scan with the artifacts that a label names.

    "photons": the line integrals come from counts; "truncated": the detector is too narrow; "equalised":
    every view has the same sum over the visible columns; "detected": dead columns are masked.

    Returns:
        The scan, and the factor by which its line integrals were scaled.
    """
    rng = np.random.default_rng(config.seed)
    values, factor = np.array(scan.projections), 1.0
    if "photons" in artifacts:
        factor = config.absorption / float(values.max())
        counts = rng.poisson(config.photons * np.exp(-factor * values))
        values = -np.log(np.maximum(counts, 1) / config.photons).astype(np.float32)
    for name, apply in ARTIFACTS.items():
        if name in artifacts:
            values = apply(config, rng, values)
    mask = np.array(scan.mask)
    if "truncated" in artifacts:
        margin = round(config.truncation * values.shape[-1])
        mask[..., :margin] = mask[..., -margin:] = False
    if "equalised" in artifacts:
        sums = (values * mask).sum(axis=-1, keepdims=True)
        values = values * (sums.mean(axis=0) / sums)
    if "detected" in artifacts:
        mask &= ~dead_columns(values)
    return scan.with_projections(values, mask), factor


def _outlier_views(config: Config, rng, values):
    """Displaces some views and makes them brighter."""
    for view in rng.choice(len(values), config.outliers, replace=False):
        values[view] = config.gain * np.roll(values[view], config.bins, axis=-1)
    return values


def _zingers(config: Config, rng, values):
    """Adds a random value to some bins."""
    hit = rng.random(values.shape) < config.zingers
    return np.where(hit, values + values.max() * rng.random(values.shape, np.float32), values)


def _stripes(config: Config, rng, values):
    """Adds a constant offset to some columns in the central half of the detector."""
    center = np.arange(values.shape[-1] // 4, 3 * values.shape[-1] // 4)
    for column in rng.choice(center, min(config.stripes, len(center)), replace=False):
        values[..., column] += np.float32(config.stripe * values.max() * rng.choice([-1, 1]))
    return values


def _view_gains(config: Config, rng, values):
    """Multiplies each view by a random factor."""
    return values * (1 + config.gains * rng.standard_normal((len(values), 1, 1), np.float32))


def _dead_columns(config: Config, rng, values):
    """Sets some columns to 0."""
    number = max(round(config.dead * values.shape[-1]), 1)
    values[..., rng.choice(values.shape[-1], number, replace=False)] = 0
    return values


#: Functions ``(config, rng, values) -> values`` by name, in the order in which they apply.
ARTIFACTS = {
    "outlier views": _outlier_views,
    "zingers": _zingers,
    "stripes": _stripes,
    "view gains": _view_gains,
    "dead columns": _dead_columns,
}
