"""Signal of the channels of a scan, such as the elements of a fluorescence scan, and their weighted sum."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from pfitre_jax.data.motion import SAME_ANGLE_DEG
from pfitre_jax.data.scan import Scan
from pfitre_jax.solvers.parameters.noise import MAD

#: Columns of the local mean, and its smallest share of the root mean square where a channel has signal: most
#: bins of a sparse channel are 0, and would hide its noise.
LOCAL_COLUMNS, LOCAL_SHARE = 5, 0.5
#: Smallest noise, relative to the root mean square of the line integrals.
LEAST_NOISE = 1e-3


@dataclasses.dataclass(frozen=True)
class ChannelSignal:
    """Signal of a channel for the alignment of its views.

    Attributes:
        noise: Standard deviation of the noise in a bin where the channel has signal.
        ratio: Root mean square of the slopes along the columns over the noise. The shift of a view can be
            estimated with an error in proportion to its inverse. 0 where the slopes are those of noise alone.
    """

    noise: float
    ratio: float

    @classmethod
    def of(cls, scan: Scan) -> ChannelSignal:
        """Signal of a channel, from its rows in memory.

        The noise is that of second differences along the columns, and the slopes are central differences,
        without the contribution of the noise.
        """
        sample = scan.sample()
        y, mask = sample.projections.astype(float), sample.mask
        size = float(np.sqrt(np.mean(np.square(y[mask]))))
        local = ndimage.uniform_filter1d(np.abs(y), LOCAL_COLUMNS, axis=2)
        used = (mask[..., :-2] & mask[..., 1:-1] & mask[..., 2:]) & (local > LOCAL_SHARE * size)[..., 1:-1]
        if not used.any():
            return cls(size, 0.0)
        second = (y[..., :-2] - 2 * y[..., 1:-1] + y[..., 2:])[used]
        slopes = ((y[..., 2:] - y[..., :-2]) / 2)[used]
        noise = float(np.median(np.abs(second))) / (MAD * 6**0.5)
        slope = np.sqrt(max(float(np.mean(slopes**2)) - noise**2 / 2, 0.0))
        noise = max(noise, LEAST_NOISE * size)
        return cls(noise, float(slope / noise))


def sum_channels(scans: Mapping[str, Scan], signals: Mapping[str, ChannelSignal]) -> Scan:
    """Weighted sum of channels, for the estimation of their geometry.

    ``sum_e p_e / n_e``, with the noise ``n_e`` of the channel: all channels add the same noise, and each adds
    structure by its signal-to-noise ratio.

    Args:
        scans: The channels, in memory.
        signals: Their signal.
    """
    names = list(scans)
    first = scans[names[0]]
    views = np.arange(first.views)
    for name in names[1:]:
        views = np.intersect1d(views, same_views(first.theta_rad, scans[name].theta_rad)[0])
    theta_rad = first.theta_rad[views]
    shape = (len(views), first.rows, first.columns)
    values, mask = np.zeros(shape, np.float32), np.ones(shape, bool)
    for name in names:
        scan = scans[name].take_views(same_views(theta_rad, scans[name].theta_rad)[1])
        values += scan.projections / np.float32(signals[name].noise)
        mask &= scan.mask
    summed = first.take_views(views).with_projections(np.where(mask, values, 0), mask)
    return summed.with_provenance(element=" + ".join(names))


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
