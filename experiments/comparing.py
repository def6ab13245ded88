"""Methods at their best settings, and what their images are worth beside a reference."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

import pfitre_jax as pf
from experiments.real_scans import FullAngle, full_angle
from pfitre_jax.estimation.support import image_support
from pfitre_jax.metrics import psnr, ssim
from pfitre_jax.reconstruction import find_method


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What reconstructions are compared with.

    images: (rows, n, n), values of about [0, 1]: those of the sample over ``scale``
    support: (n, n), the pixels of the PSNR
    """

    images: np.ndarray
    support: np.ndarray
    scale: float

    @classmethod
    def of_truth(cls, truth: np.ndarray, scan: pf.Scan) -> Reference:
        """A simulated truth, in [0, 1]."""
        return cls(truth, image_support(scan.geometry()), 1.0)

    @classmethod
    def of_all_views(cls, scan: pf.Scan, method: str) -> Reference:
        """The reconstruction of a whole scan by a method with its own settings, over the scan's scale."""
        result = pf.reconstruct(scan, method)
        support = image_support(scan.geometry())
        return cls(middle(result.volume, len(support)) / result.scale, support, result.scale)

    def relative(self, result: pf.Result) -> np.ndarray:
        """The volume in the units and of the size of the reference."""
        return middle(result.volume, len(self.support)) / self.scale

    def measures(self, result: pf.Result) -> dict[str, float]:
        """``psnr``, dB, range 1 in units of the scale, inside the support, and ``ssim``; means over rows."""
        measures = _measures(self.relative(result), self.images, self.support)
        return {name: float(np.mean(values)) for name, values in measures.items()}


@functools.cache
def with_reference(sample: FullAngle, method: str) -> tuple[pf.Scan, Reference]:
    """A real scan with all its views, and the reference that they make."""
    scan = full_angle(sample)
    return scan, Reference.of_all_views(scan, method)


@jax.jit
def _measures(images, truths, support):
    return {
        "psnr": jax.vmap(lambda image, truth: psnr(image, truth, support))(images, truths),
        "ssim": jax.vmap(ssim)(images, truths),
    }


def middle(volume: np.ndarray, n: int) -> np.ndarray:
    """The middle ``n x n`` pixels: an image is wider where views run out of the field of view."""
    cut = (volume.shape[-1] - n) // 2
    return volume[:, cut : cut + n, cut : cut + n]


def at_best(
    scan: pf.Scan,
    method: str,
    loss: Callable[[pf.Result], float],
    tried: Mapping[str, Sequence[float]],
    **settings,
) -> tuple[pf.Result, dict]:
    """The reconstruction of least ``loss``, by the values ``tried`` of a setting; one for all rows.

    tried: ascending values of settings by name; of these the first one that the method takes is tried, by
        :func:`least`
    settings: of :func:`pfitre_jax.reconstruct`; those that the method does not take are left out

    Returns the result and, where values were tried, the best one under the setting's name, and their losses.
    """
    takes = find_method(method).defaults
    given = {k: v for k, v in settings.items() if k in takes or k == "scale"}
    name = next((name for name in tried if name in takes), None)
    if name is None:
        return pf.reconstruct(scan, method, **given), {}
    results = {}

    def cost(value: float) -> float:
        results[value] = pf.reconstruct(scan, method, **given, **{name: value})
        return loss(results[value])

    best, losses = least(cost, tried[name])
    return results[best], {
        name: best,
        f"loss_by_{name}": {f"{value:.3g}": float(losses[value]) for value in sorted(losses)},
    }


def least(cost: Callable[[float], float], values: Sequence[float]) -> tuple[float, dict[float, float]]:
    """The value of least cost and the costs that were asked for: downhill from the middle of ``values``.

    Right where the cost falls to its minimum and rises again.
    """
    costs: dict[float, float] = {}

    def at(index: int) -> float:
        value = values[index]
        if value not in costs:
            costs[value] = cost(value)
        return costs[value]

    best = len(values) // 2
    at(best)
    for step in (1, -1):
        while 0 <= best + step < len(values) and at(best + step) < at(best):
            best += step
    return values[best], costs
