"""Scans that are known in closed form: round Gaussian blobs in 3D, seen by a tilted or shifted detector."""

from __future__ import annotations

import numpy as np

from pfitre_jax.data.scan import Scan


def projections(theta_rad, *, rows=40, columns=64, center=None, roll_deg=0.0, blobs=12, reach=16.0, seed=0):
    """Line integrals (views, rows, columns) of ``blobs`` Gaussians within ``reach`` of the axis.

    A blob of width s at (x, y, z) is a spot of width s at ``t = x cos(theta) + y sin(theta)``, height z.
    The axis stands at column ``center`` (default the middle) in its own frame; the detector is turned against
    that about its middle, so that bin (row, column) lies at

        height  cos(roll) r - sin(roll) k,    across  sin(roll) r + cos(roll) k

    with r, k counted from the middle: what ``scipy.ndimage.rotate(p, +roll, axes=(1, 2))`` turns upright.
    """
    rng = np.random.default_rng(seed)
    theta = np.asarray(theta_rad, float)
    offset = 0.0 if center is None else center - (columns - 1) / 2
    roll = np.deg2rad(roll_deg)
    r = (np.arange(rows) - (rows - 1) / 2)[:, None]
    k = (np.arange(columns) - (columns - 1) / 2)[None, :]
    height = np.cos(roll) * r - np.sin(roll) * k
    across = np.sin(roll) * r + np.cos(roll) * k
    out = np.zeros((theta.size, rows, columns))
    for _ in range(blobs):
        x, y = rng.uniform(-1, 1, 2) * reach / np.sqrt(2)
        z = rng.uniform(-0.4, 0.4) * rows
        width, amplitude = rng.uniform(1.5, 3.0), rng.uniform(0.5, 1.0)
        t = x * np.cos(theta) + y * np.sin(theta) + offset
        distance = (across - t[:, None, None]) ** 2 + (height - z) ** 2
        out += amplitude * np.exp(-distance / (2 * width**2))
    return out


def blob_scan(theta, noise=0.0, **kwargs) -> Scan:
    """A scan of blobs with noise relative to the largest line integral."""
    p = projections(theta, **kwargs)
    p = p + noise * p.max() * np.random.default_rng(1).standard_normal(p.shape)
    return Scan.create(p, theta)
