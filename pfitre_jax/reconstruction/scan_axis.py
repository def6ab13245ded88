"""Scans with an estimated rotation axis: its centre and its roll."""

from __future__ import annotations

from pfitre_jax.data.roll import correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.center import find_center
from pfitre_jax.estimation.estimate import Estimate
from pfitre_jax.estimation.roll import find_roll


def with_center(scan: Scan) -> Scan:
    """The scan with a known rotation axis: its own, or the estimate of :func:`find_center`.

    ``provenance["center"]`` describes the estimate.

    Raises:
        ValueError: The scan does not determine its centre.
    """
    if scan.center is not None:
        return scan
    estimate = find_center(scan.sample())
    text = f"{estimate.value:.2f} +- {estimate.uncertainty:.2g}, estimated from {estimate.method}"
    return scan.with_center(estimate.value).with_provenance(center=text)


def with_roll(scan: Scan) -> Scan:
    """The scan corrected for the roll that :func:`find_roll` estimates.

    ``provenance["roll"]`` describes the estimate.

    Raises:
        ValueError: The scan does not determine its roll.
    """
    estimate = find_roll(scan)
    return correct_roll(scan, estimate.value).with_provenance(roll=describe_roll(estimate))


def describe_roll(estimate: Estimate) -> str:
    """Description of an estimated roll."""
    return f"{estimate.value:.2f} +- {estimate.uncertainty:.2g} degrees, estimated from {estimate.method}"
