"""Scans of discs, whose line integrals are known in closed form.

Tests of different files share this detector, these angles and three rows at a time: one compilation for all.
"""

from __future__ import annotations

import numpy as np

COLUMNS, CENTER = 33, 17.0
THETA_DEG = np.arange(0.0, 180.0, 9.0)
THETA = np.deg2rad(THETA_DEG)
ROWS = 3


def disc_sinogram(
    discs, theta_rad=THETA, columns: int = COLUMNS, center: float = CENTER, fine: int = 8
) -> np.ndarray:
    """Line integrals (views, columns) of discs ``(x, y, radius, value)``, averaged over each bin."""
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    t = (np.arange(columns)[:, None] + offsets - center).ravel()
    out = np.zeros((len(theta_rad), columns))
    for x, y, radius, value in discs:
        u = t - (x * np.cos(theta_rad) + y * np.sin(theta_rad))[:, None]
        chords = 2 * value * np.sqrt(np.maximum(radius**2 - u**2, 0))
        out += chords.reshape(len(theta_rad), columns, fine).mean(axis=2)
    return out.astype(np.float32)


def disc_image(discs, size: int, fine: int = 4) -> np.ndarray:
    """Image (size, size) of discs, averaged over each pixel."""
    k = (np.arange(size * fine) + 0.5) / fine - size / 2
    out = np.zeros((size * fine, size * fine))
    for x, y, radius, value in discs:
        out += value * ((k[None, :] - x) ** 2 + (-k[:, None] - y) ** 2 <= radius**2)
    return out.reshape(size, fine, size, fine).mean(axis=(1, 3))


def disc_stack(rows) -> np.ndarray:
    """Projections (views, rows, columns); ``rows``: a list of discs for each row."""
    return np.stack([disc_sinogram(discs) for discs in rows], axis=1)
