"""Comparison of reconstructions with a reference, each method at its best setting."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

import pfitre_jax as pf
from experiments.common.real_scans import (
    FullAngleSample,
    ReferencedSample,
    load_full_angle,
    load_referenced,
)
from experiments.common.segmentation import matthews_correlation, otsu_threshold
from pfitre_jax.estimation import image_support
from pfitre_jax.reconstruction import find_method


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Images that reconstructions are compared with.

    Attributes:
        images: (rows, n, n), the images divided by ``scale``, values of about [0, 1].
        support: (n, n), 1 for the pixels that enter the PSNR.
        scale: Image values of the scan over those of ``images``.
        segmentation: (n, n), true where the sample is, of the first row; None if it is not known.
    """

    images: np.ndarray
    support: np.ndarray
    scale: float
    segmentation: np.ndarray | None = None

    @classmethod
    def from_truth(cls, truth: np.ndarray, scan: pf.Scan) -> Reference:
        """Reference of a simulated scan from its truth (rows, n, n), values in [0, 1]."""
        return cls(truth, image_support(scan.geometry()), 1.0)

    @classmethod
    def from_full_scan(cls, scan: pf.Scan, method: str) -> Reference:
        """Reference of a real scan: its reconstruction from all views by a method with default settings."""
        result = pf.reconstruct(scan, method)
        support = image_support(scan.geometry())
        return cls(crop_center(result.volume, len(support)) / result.scale, support, result.scale)

    @classmethod
    def from_images(
        cls, images: np.ndarray, support: np.ndarray, segmentation: np.ndarray | None = None
    ) -> Reference:
        """Reference of images (rows, n, n); the PSNR range is their 99.5th percentile on the support."""
        scale = float(np.quantile(images[:, support], 0.995))
        return cls(images / scale, support, scale, segmentation)

    def normalise(self, result: pf.Result) -> np.ndarray:
        """Volume (rows, n, n) of a result in the units and the size of the reference."""
        return crop_center(result.volume, len(self.support)) / self.scale

    def measures(self, result: pf.Result) -> dict[str, float]:
        """:meth:`volume_measures` of a result."""
        return self.volume_measures(result.volume)

    def volume_measures(self, volume: np.ndarray) -> dict[str, float]:
        """Mean over the rows (rows, n, n) of ``psnr`` (dB, range 1) and ``ssim`` inside the support.

        Where a segmentation is known, ``matthews`` is Matthews' correlation with the image above the
        threshold of Otsu. The volume has the units of the scan.
        """
        images = crop_center(volume, len(self.support)) / self.scale
        measures = _measures(images, self.images, np.asarray(self.support, bool))
        values = {name: float(np.mean(values)) for name, values in measures.items()}
        if self.segmentation is not None:
            found = images[0] > otsu_threshold(images[0])
            values["matthews"] = matthews_correlation(found, self.segmentation)
        return values


@functools.cache
def scan_with_reference(sample: FullAngleSample | ReferencedSample, method: str) -> tuple[pf.Scan, Reference]:
    """Real scan with all its views, and its reference: its own, or :meth:`Reference.from_full_scan`."""
    if isinstance(sample, ReferencedSample):
        content = load_referenced(sample)
        return content.scan, Reference.from_images(content.images, content.support, content.segmentation)
    scan = load_full_angle(sample)
    return scan, Reference.from_full_scan(scan, method)


@jax.jit
def _measures(images, truths, support):
    inside = support[None]
    return {
        "psnr": jax.vmap(lambda image, truth: pf.metrics.psnr(image, truth, support))(images, truths),
        "ssim": jax.vmap(pf.metrics.ssim)(images * inside, truths * inside),
    }


def crop_center(volume: np.ndarray, n: int) -> np.ndarray:
    """Central ``n x n`` pixels of a volume (rows, ny, nx).

    :func:`pfitre_jax.reconstruct` enlarges the image where the sample leaves the field of view.
    """
    margin = (volume.shape[-1] - n) // 2
    return volume[:, margin : margin + n, margin : margin + n]


def reconstruct_at_best(
    scan: pf.Scan,
    method: str,
    loss: Callable[[pf.Result], float],
    candidates: Mapping[str, Sequence[float]],
    **settings,
) -> tuple[pf.Result, dict]:
    """Reconstruction with the setting of smallest ``loss``; one value for all rows.

    Args:
        scan: Scan to reconstruct.
        method: Name of the method.
        loss: Loss of a result.
        candidates: Ascending values by the name of a setting. The first setting that the method takes is
            optimised with :func:`minimise_unimodal`.
        **settings: Further settings of :func:`pfitre_jax.reconstruct`; those that the method does not take
            are ignored.

    Returns:
        The result, and a dict with the best value (under the name of the setting) and the loss of every
        value; empty where no setting was optimised.
    """
    accepted = find_method(method).defaults
    fixed = {k: v for k, v in settings.items() if k in accepted or k in ("scale", "support")}
    name = next((name for name in candidates if name in accepted), None)
    if name is None:
        return pf.reconstruct(scan, method, **fixed), {}
    results = {}

    def cost(value: float) -> float:
        results[value] = pf.reconstruct(scan, method, **fixed, **{name: value})
        return loss(results[value])

    best, losses = minimise_unimodal(cost, candidates[name])
    return results[best], {
        name: best,
        f"loss_by_{name}": {f"{value:.3g}": float(losses[value]) for value in sorted(losses)},
    }


def minimise_unimodal(
    cost: Callable[[float], float], values: Sequence[float]
) -> tuple[float, dict[float, float]]:
    """Value of smallest cost by descent from the middle of ``values``; exact for a unimodal cost.

    Args:
        cost: Cost of a value.
        values: Candidates, ascending.

    Returns:
        The best value, and the costs of all values that were evaluated.
    """
    costs: dict[float, float] = {}

    def cost_at(index: int) -> float:
        value = values[index]
        if value not in costs:
            costs[value] = cost(value)
        return costs[value]

    best = len(values) // 2
    cost_at(best)
    for step in (1, -1):
        while 0 <= best + step < len(values) and cost_at(best + step) < cost_at(best):
            best += step
    return values[best], costs
