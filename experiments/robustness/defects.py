"""What detectors and stages do to a scan."""

from __future__ import annotations

import dataclasses

import numpy as np

import pfitre_jax as pf
from experiments.robustness.config import Config
from pfitre_jax.preprocess import dead_columns


def spoiled(config: Config, scan: pf.Scan, defects: str) -> pf.Scan:
    """``scan`` with what the words of ``defects`` name; with "found", dead columns are left out."""
    generator = np.random.default_rng(config.seed)
    values = np.array(scan.projections)
    for name, spoil in DEFECTS.items():
        if name in defects:
            values = spoil(config, generator, values)
    mask = np.array(scan.mask)
    if "found" in defects:
        mask &= ~dead_columns(values)
    return dataclasses.replace(scan, projections=values, mask=mask)


def _views(config: Config, generator, values):
    """Views that lie wrong by some bins, and are brighter."""
    for view in generator.choice(len(values), config.outliers, replace=False):
        values[view] = config.gain * np.roll(values[view], config.bins, axis=-1)
    return values


def _zingers(config: Config, generator, values):
    """Bins that a stray photon hit."""
    hit = generator.random(values.shape) < config.zingers
    return np.where(hit, values + values.max() * generator.random(values.shape, np.float32), values)


def _stripes(config: Config, generator, values):
    """Columns, of those with signal, whose gain is off in all views."""
    middle = np.arange(values.shape[-1] // 4, 3 * values.shape[-1] // 4)
    for column in generator.choice(middle, min(config.stripes, len(middle)), replace=False):
        values[..., column] *= 1 + config.stripe * generator.choice([-1, 1])
    return values


def _dead(config: Config, generator, values):
    """Columns that read 0."""
    number = max(round(config.dead * values.shape[-1]), 1)
    values[..., generator.choice(values.shape[-1], number, replace=False)] = 0
    return values


DEFECTS = {"views": _views, "zingers": _zingers, "stripes": _stripes, "dead": _dead}
