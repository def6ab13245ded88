"""Half acquisition: the axis near the detector's edge, views over a whole turn, and a known object."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_image, disc_sinogram

import pfitre_jax as pf
from pfitre_jax.data.truncation import completed_side, truncated_views
from pfitre_jax.estimation.center import find_center
from pfitre_jax.estimation.estimate import Undetermined
from pfitre_jax.estimation.overlap import center_from_overlap
from pfitre_jax.estimation.support import FieldOfView, SupportShape

COLUMNS = 36
TURN = np.linspace(0, 2 * np.pi, 90, endpoint=False)
#: The object reaches 31.7 bins from the axis; the detector sees 33.5.
DISCS = [(2.0, -4.0, 27.0, 0.02), (15.6, 5.8, 6.4, 0.04), (-11.7, -9.8, 4.9, -0.015)]


def scan(center: float, discs=DISCS, theta=TURN) -> pf.Scan:
    """Two rows of the object."""
    row = disc_sinogram(discs, theta, COLUMNS, center)
    return pf.Scan.create(np.stack([row, 1.3 * row], axis=1), theta, center=center)


@pytest.mark.parametrize(("center", "side"), [(2.0, 0), (33.0, 1)])
def test_the_field_of_view_is_that_of_the_farther_side(center, side):
    loaded = scan(center)
    field = FieldOfView.from_scan(loaded)
    assert completed_side(loaded) == side and truncated_views(loaded).size == 0
    assert field.half_acquisition and not field.beyond_disc and field.radius == 33.5
    support = field.support(SupportShape()).image
    truth = disc_image(DISCS, len(support))
    assert np.all(support[truth != 0] == 1)
    # The outline follows the object beyond the detector's width.
    outline = field.support(SupportShape(outlined=True)).image
    truth = disc_image(DISCS, len(outline))
    assert np.all(outline[truth != 0] == 1) and outline.sum() < 0.95 * support.sum()


def test_an_object_beyond_the_farther_side_is_truncated():
    field = FieldOfView.from_scan(scan(2.0, [(0.0, 0.0, 36.0, 0.02)]))
    assert field.half_acquisition and field.truncated.all() and field.beyond_disc


@pytest.mark.parametrize("theta", [TURN[:45], TURN[:75]])
def test_less_than_a_turn_completes_nothing(theta):
    loaded = scan(2.0, theta=theta)
    assert completed_side(loaded) is None and not FieldOfView.from_scan(loaded).half_acquisition


def test_an_object_within_the_nearer_side_keeps_its_image():
    loaded = scan(12.0, [(1.0, 0.0, 8.0, 0.02)])
    field = FieldOfView.from_scan(loaded)
    assert not field.half_acquisition
    assert field.support(SupportShape()).image.shape == (COLUMNS, COLUMNS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fbp", "cgls"])
def test_the_whole_object_is_reconstructed(method):
    iterations = 20 if method == "cgls" else None
    result = pf.reconstruct(scan(2.0), method, rows="0:1", iterations=iterations)
    image = result.volume[0]
    truth = disc_image(DISCS, len(image))
    assert np.linalg.norm(image - truth) < 0.12 * np.linalg.norm(truth)
    assert not any("field of view" in text for text in result.warnings)


def random_half_acquisition(rng, columns=48) -> tuple[pf.Scan, float]:
    """A disc with smaller ones, whose axis is 3 to 14 bins from an edge of the detector."""
    theta = np.linspace(0, 2 * np.pi, int(rng.choice([60, 90, 91])), endpoint=False)
    center = rng.uniform(3, 14)
    center = center if rng.random() < 0.5 else columns - 1 - center
    reach = columns - 1 - min(center, columns - 1 - center)
    discs = [(*(rng.uniform(-0.15, 0.15, 2) * reach), 0.75 * reach, 0.02)]
    for _ in range(6):
        discs.append(
            (
                *(rng.uniform(-0.45, 0.45, 2) * reach),
                rng.uniform(0.05, 0.2) * reach,
                rng.uniform(-0.015, 0.04),
            )
        )
    stack = np.stack(
        [
            disc_sinogram([(x, y, r * (1 - 0.1 * row), v) for x, y, r, v in discs], theta, columns, center)
            for row in range(int(rng.choice([1, 2, 4])))
        ],
        axis=1,
    )
    noise = float(rng.choice([0.0, 0.003, 0.01, 0.03]))
    return pf.Scan.create(stack + noise * stack.max() * rng.standard_normal(stack.shape), theta), center


def share_covered(seed: int, count: int) -> float:
    """Share of the estimated centres whose stated uncertainty covers the truth."""
    rng, covered = np.random.default_rng(seed), []
    for _ in range(count):
        scan, center = random_half_acquisition(rng)
        try:
            estimate = find_center(scan)
        except Undetermined:
            continue
        assert abs(estimate.value - center) < 0.5 and estimate.uncertainty < 2
        covered.append(abs(estimate.value - center) <= estimate.uncertainty)
    print(f"{sum(covered)} of {len(covered)} stated uncertainties cover the truth; {count} scans")
    assert len(covered) >= 0.9 * count
    return float(np.mean(covered))


def test_the_centre_is_found_near_the_edge_and_its_uncertainty_covers_the_truth():
    assert share_covered(seed=3, count=15) >= 0.9


@pytest.mark.slow
def test_the_stated_uncertainty_covers_the_truth():
    assert share_covered(seed=4, count=100) >= 0.95


def test_the_overlap_determines_the_centre_of_a_whole_turn_or_nothing():
    assert center_from_overlap(scan(12.0, [(3.0, 1.0, 8.0, 0.02), (-4.0, 2.0, 2.0, 0.03)])) == pytest.approx(
        12, abs=0.5
    )
    assert center_from_overlap(scan(2.0, theta=TURN[:45])) is None
    noise = np.random.default_rng(0).standard_normal((90, 2, COLUMNS))
    assert center_from_overlap(pf.Scan.create(noise, TURN)) is None
