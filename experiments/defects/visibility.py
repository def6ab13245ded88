"""Whether a defect is seen: its contrast, its detectability, and whether the result warns of it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from pfitre_jax.trust import local_contrast

#: Contrast from which a defect counts as seen: the image is nearer to the defective chip than to the healthy
#: one.
SEEN = 0.5
#: Share of the values of a defect that the interval must contain to warn of it.
CONTAINED = 0.5
#: Share of the pixels of a defect where the interval must be wider than the local contrast to warn of it.
WIDER = 0.5
#: Signal-to-noise ratio from which a known signal is detected reliably (Rose criterion).
ROSE = 5.0
#: Share of the energy of a defect in the missing wedge from which the supplied component warns of it.
SUPPLIED = 0.5


def contrast(
    image: Float[np.ndarray, "ny nx"],
    healthy: Float[np.ndarray, "ny nx"],
    defective: Float[np.ndarray, "ny nx"],
) -> float:
    """Share of a defect that an image shows: ``<image - healthy, d> / <d, d>``, ``d = defective - healthy``.

    It is 1 for the defective chip, 0 for the healthy one, and linear in between. Up to a constant it is the
    output of the matched filter of the defect.

    Args:
        image: (ny, nx), a reconstruction.
        healthy: (ny, nx), the true image without the defect.
        defective: (ny, nx), the true image with it.
    """
    d = (defective - healthy).astype(float)
    return float(np.sum((image - healthy) * d) / np.sum(d * d))


def core(healthy: Float[np.ndarray, "ny nx"], defective: Float[np.ndarray, "ny nx"]) -> np.ndarray:
    """Pixels of a defect, (ny, nx), bool: those that it changes by at least half of its largest change."""
    change = np.abs(defective - healthy)
    return change >= 0.5 * change.max()


def contained_share(
    lower: Float[np.ndarray, "ny nx"],
    upper: Float[np.ndarray, "ny nx"],
    truth: Float[np.ndarray, "ny nx"],
    region: Bool[np.ndarray, "ny nx"],
) -> float:
    """Share of the pixels of a region whose interval contains the true value."""
    return float(np.mean((lower <= truth)[region] & (truth <= upper)[region]))


def wider_share(
    image: Float[np.ndarray, "ny nx"],
    lower: Float[np.ndarray, "ny nx"],
    upper: Float[np.ndarray, "ny nx"],
    region: Bool[np.ndarray, "ny nx"],
) -> float:
    """Share of the pixels of a region where the interval is wider than the local contrast of the image.

    There the interval allows that a structure is absent. This is known without the truth, unlike
    :func:`contained_share`.
    """
    return float(np.mean((upper - lower > local_contrast(image))[region]))


def supplied_share(change: Float[np.ndarray, "ny nx"], center_deg: float, width_deg: float) -> float:
    """Share of the energy of a change of the image in the missing wedge; the mean is counted as measured.

    A view at the angle ``theta`` measures the frequencies along ``(cos theta, sin theta)``, ``y`` upwards.

    Args:
        change: (ny, nx), image of the defect.
        center_deg: Middle of the missing wedge, degrees.
        width_deg: Width of the missing wedge.
    """
    ny, nx = (2 * n for n in change.shape)
    energy = np.abs(np.fft.fft2(change, (ny, nx))) ** 2
    fy, fx = -np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None, :]
    direction = np.rad2deg(np.arctan2(fy, fx))
    missing = np.abs((direction - center_deg + 90) % 180 - 90) < width_deg / 2
    missing[0, 0] = False
    return float(energy[missing].sum() / energy.sum())


def detectability(
    defective: Float[np.ndarray, "chips seeds"], healthy: Float[np.ndarray, "chips healthy_seeds"]
) -> np.ndarray:
    """Signal-to-noise ratio of the matched filter of each defect, (chips,), between both scans.

    It is the mean difference of the :func:`contrast` of both scans over its standard deviation under
    noise, which is pooled over all chips. It is that of an observer who knows chip and defect, and who has a
    scan of the healthy chip by the same instrument.

    References:
        Rose, The sensitivity performance of the human eye on an absolute scale, J. Opt. Soc. Am. 38, 196,
        1948: reliable detection needs a ratio of about 5.

    Args:
        defective: (chips, seeds), contrast in the scans with the defect, at least 2 seeds.
        healthy: (chips, healthy_seeds), contrast in the scans without it.
    """
    spread = np.sqrt(np.mean(np.var(defective, axis=1, ddof=1)))
    return (defective.mean(axis=1) - healthy.mean(axis=1)) / max(float(spread), 1e-9)
