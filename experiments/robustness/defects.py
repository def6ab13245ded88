"""What detectors and stages do to a scan."""

from __future__ import annotations

import numpy as np

import pfitre_jax as pf
from experiments.robustness.config import Config
from pfitre_jax.data import dead_columns


def spoiled(config: Config, scan: pf.Scan, defects: str) -> tuple[pf.Scan, float]:
    """``scan`` with what the words of ``defects`` name, and by what its line integrals were multiplied.

    With "found", dead columns are left out; with "photons", the line integrals are of counts; with "cut", the
    detector is too narrow; with "equalised", each view has the same sum over the columns that are seen.
    """
    generator = np.random.default_rng(config.seed)
    values, factor = np.array(scan.projections), 1.0
    if "photons" in defects:
        factor = config.absorption / float(values.max())
        counts = generator.poisson(config.photons * np.exp(-factor * values))
        values = -np.log(np.maximum(counts, 1) / config.photons).astype(np.float32)
    for name, spoil in DEFECTS.items():
        if name in defects:
            values = spoil(config, generator, values)
    mask = np.array(scan.mask)
    if "cut" in defects:
        beyond = round(config.cut * values.shape[-1])
        mask[..., :beyond] = mask[..., -beyond:] = False
    if "equalised" in defects:
        sums = (values * mask).sum(axis=-1, keepdims=True)
        values = values * (sums.mean(axis=0) / sums)
    if "found" in defects:
        mask &= ~dead_columns(values)
    return scan.with_projections(values, mask), factor


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
    """Columns, of those with signal, whose flat field is wrong: off by a constant in all views."""
    middle = np.arange(values.shape[-1] // 4, 3 * values.shape[-1] // 4)
    for column in generator.choice(middle, min(config.stripes, len(middle)), replace=False):
        values[..., column] += np.float32(config.stripe * values.max() * generator.choice([-1, 1]))
    return values


def _gains(config: Config, generator, values):
    """Views that are brighter or darker."""
    return values * (1 + config.gains * generator.standard_normal((len(values), 1, 1), np.float32))


def _dead(config: Config, generator, values):
    """Columns that read 0."""
    number = max(round(config.dead * values.shape[-1]), 1)
    values[..., generator.choice(values.shape[-1], number, replace=False)] = 0
    return values


DEFECTS = {"views": _views, "zingers": _zingers, "stripes": _stripes, "gains": _gains, "dead": _dead}
