"""Segmentation into two classes, and its agreement with a reference."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

#: Number of classes of the histogram.
BINS = 256


def otsu_threshold(image: Float[np.ndarray, "ny nx"]) -> float:
    """Threshold that maximises the variance between the two classes of a histogram.

    ``w0 w1 (m0 - m1)^2`` with the shares ``w`` and the means ``m`` of the pixels on both sides.

    References:
        Otsu, IEEE Trans. SMC 9, 1979.
    """
    counts, edges = np.histogram(image, BINS)
    centers = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_below = np.cumsum(counts * centers) / below
        mean_above = (np.cumsum((counts * centers)[::-1]) / above[::-1])[::-1]
    between = below[:-1] * above[1:] * (mean_below[:-1] - mean_above[1:]) ** 2
    return float(centers[np.nanargmax(between)])


def matthews_correlation(found: Bool[np.ndarray, "ny nx"], expected: Bool[np.ndarray, "ny nx"]) -> float:
    """Matthews' correlation of two segmentations, the score of the Helsinki Tomography Challenge 2022.

    ``(TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN))``; 0 if all pixels are of one class.
    """
    true_positive, true_negative = np.sum(found & expected), np.sum(~found & ~expected)
    false_positive, false_negative = np.sum(found & ~expected), np.sum(~found & expected)
    sides = [
        true_positive + false_positive,
        true_positive + false_negative,
        true_negative + false_positive,
        true_negative + false_negative,
    ]
    product = float(np.prod(np.sqrt(np.asarray(sides, float))))
    difference = float(true_positive) * float(true_negative) - float(false_positive) * float(false_negative)
    return difference / product if product else 0.0
