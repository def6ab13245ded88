"""Signal of the channels of a scan, such as the elements of a fluorescence scan, and their weighted sum."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from pfitre_jax.data.motion import SAME_ANGLE_DEG
from pfitre_jax.data.scan import Scan
from pfitre_jax.solvers.parameters.noise import noise_from_differences


def signal_of(scan: Scan) -> float:
    """Standard deviation of the line integrals along the columns, without that of the noise.

    A uniform layer, which has no features to align, adds nothing to it. Elements of one scan have line
    integrals in counts of the same beam, so that the one with the most signal has the least relative noise.

    Args:
        scan: A channel, which is represented by its rows in memory.
    """
    sample = scan.sample()
    values, mask = sample.projections.astype(float), sample.mask
    mean = values.sum(axis=2, keepdims=True) / np.maximum(mask.sum(axis=2, keepdims=True), 1)
    variance = np.sum(np.square(values - mean), where=mask) / max(int(mask.sum()), 1)
    sinograms, masks = (jnp.asarray(np.moveaxis(a, 1, 0), jnp.float32) for a in (values, mask))
    noise = float(noise_from_differences(sinograms, masks))
    return float(np.sqrt(max(variance - noise**2, 0)))


def sum_channels(scans: Mapping[str, Scan], signals: Mapping[str, float]) -> Scan:
    """Weighted sum of channels, for the estimation of their geometry.

    ``sum_e p_e / sqrt(s_e)``, with the signal ``s_e`` of :func:`signal_of`. Counting noise is proportional to
    ``sqrt(s_e)``, so that all channels add the same noise, and each adds structure by its signal-to-noise
    ratio.

    Args:
        scans: The channels, in memory; those without signal are left out.
        signals: Their signal.
    """
    names = [name for name in scans if signals[name] > 0]
    first = scans[names[0]]
    views = np.arange(first.views)
    for name in names[1:]:
        views = np.intersect1d(views, same_views(first.theta_rad, scans[name].theta_rad)[0])
    theta_rad = first.theta_rad[views]
    shape = (len(views), first.rows, first.columns)
    values, mask = np.zeros(shape, np.float32), np.ones(shape, bool)
    for name in names:
        scan = scans[name].take_views(same_views(theta_rad, scans[name].theta_rad)[1])
        values += scan.projections / np.float32(np.sqrt(signals[name]))
        mask &= scan.mask
    return first.take_views(views).with_projections(np.where(mask, values, 0), mask)


def same_views(
    first: np.ndarray | Sequence[float], second: np.ndarray | Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the views that two channels share, ``first[i] == second[k]``, both in ascending order.

    A view without signal in one channel is not among its views.

    Args:
        first: Angles of the views of a channel, radians, in the order of the file.
        second: The same of another channel.
    """
    first_deg, second_deg = np.rad2deg(first), np.rad2deg(second)
    if len(first_deg) == len(second_deg) and np.all(np.abs(first_deg - second_deg) <= SAME_ANGLE_DEG):
        return np.arange(len(first_deg)), np.arange(len(first_deg))
    # Shifted, so that no angle with few decimals is at the limit between two steps.
    steps = [np.round(angles / SAME_ANGLE_DEG + 1 / np.pi).tolist() for angles in (first_deg, second_deg)]
    blocks = difflib.SequenceMatcher(a=steps[0], b=steps[1], autojunk=False).get_matching_blocks()
    pairs = [(block.a + k, block.b + k) for block in blocks for k in range(block.size)]
    indices = np.array(pairs, int).reshape(-1, 2)
    return indices[:, 0], indices[:, 1]
