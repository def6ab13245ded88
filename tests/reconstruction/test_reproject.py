import dataclasses

import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_sinogram, disc_stack

from pfitre_jax.data.roll import apply_roll, correct_roll
from pfitre_jax.data.scan import Scan
from pfitre_jax.reconstruction.in_memory import reconstruct
from pfitre_jax.reconstruction.reproject import project_result

ROWS = 21
#: Discs that change slowly with the row, so that little is lost by interpolation between rows.
DISCS = [[(2 * np.sin(r / 6), 1.0, 7 + 3 * np.cos(r / 6), 1.0)] for r in range(ROWS)]
ROLL = 8.0


@pytest.fixture(scope="module")
def straight() -> Scan:
    return Scan.create(disc_stack(DISCS), THETA, center=CENTER)


@pytest.fixture(scope="module")
def result(straight):
    return reconstruct(straight, "cgls", scale=1.0, chunk=3)


def relative_residual(predicted, measured, compared):
    return np.linalg.norm((predicted - measured)[compared]) / np.linalg.norm(measured[compared])


def test_a_projected_result_agrees_with_the_scan_at_its_residual(straight, result):
    raw = project_result(result)
    assert raw.shape == straight.projections.shape and np.isfinite(raw).all()
    for k in range(ROWS):
        y = straight.projections[:, k]
        assert relative_residual(raw[:, k], y, np.ones(y.shape, bool)) == pytest.approx(
            result.residual[k], rel=1e-3
        )


def test_reprojection_with_a_roll_agrees_with_the_raw_scan(straight):
    # Rotating the raw scan by +ROLL gives the straight scan.
    wide = np.pad(straight.projections, ((0, 0), (0, 0), (8, 8)))
    rolled, valid = apply_roll(wide, None, -ROLL)
    raw = Scan.create(rolled[..., 8:-8], THETA, mask=valid[..., 8:-8], center=CENTER)
    result = reconstruct(correct_roll(raw, ROLL), "cgls", scale=1.0, chunk=3)
    predicted = project_result(result)
    # Two rotations blur the data and lose bins of the outermost rows; the reconstruction adds only its
    # residual.
    turned = correct_roll(raw, ROLL)
    back, compared = apply_roll(turned.projections, turned.mask, -ROLL)
    compared[:, :6] = compared[:, -6:] = False
    assert compared.sum() > 0.9 * compared[:, 6:-6].size and np.isfinite(predicted[compared]).all()
    agreement = relative_residual(predicted, raw.projections, compared)
    assert agreement < relative_residual(back, raw.projections, compared) + np.median(result.residual)
    # Without the roll the projections disagree with the raw scan.
    unturned = project_result(result, roll_deg=0.0)
    assert relative_residual(unturned, raw.projections, compared) > 4 * agreement


def test_rows_that_were_not_reconstructed_are_nan(straight):
    part = reconstruct(straight, "cgls", rows="4:10", scale=1.0, chunk=3)
    raw = project_result(part)
    reached = np.isfinite(raw).all(axis=(0, 2))
    assert raw.shape[1] == ROWS and list(np.flatnonzero(reached)) == [4, 5, 6, 7, 8, 9]
    assert np.isnan(raw[:, ~reached]).all()
    # Under a roll a raw bin needs both of its neighbours.
    turned = np.isfinite(project_result(part, roll_deg=ROLL))
    assert turned.any() and not turned[:, :4].all() and turned.sum() < 6 * COLUMNS * len(THETA)


def test_angles_and_detector_can_be_changed(result):
    theta = np.deg2rad([4.0, 200.0])
    expected = disc_sinogram(DISCS[7], theta, 51, 20.0)
    raw = project_result(result, theta, center=20.0, columns=51)
    assert raw.shape == (2, ROWS, 51)
    assert relative_residual(raw[:, 7], expected, np.ones(expected.shape, bool)) < 0.05
    # A wider detector about the same middle moves the axis' index.
    wide = project_result(result, columns=COLUMNS + 10)
    np.testing.assert_allclose(wide[..., 5:-5], project_result(result), atol=1e-4)


def test_values_per_length_are_projected_in_the_units_of_the_data(straight, result):
    scan = dataclasses.replace(straight, pixel_size=0.25)
    per_length = reconstruct(scan, "cgls", scale=1.0, chunk=3)
    np.testing.assert_allclose(per_length.volume, result.volume / 0.25, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(project_result(per_length), project_result(result), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": 0}, "columns is 0; expected the number of detector columns"),
        ({"center": 99.0}, "the centre 99 is outside the detector"),
        ({"roll_deg": 120.0}, "the roll is 120.0; expected degrees"),
        ({"theta_rad": np.array([90.0])}, "these look like degrees"),
    ],
)
def test_invalid_arguments_are_refused(result, arguments, message):
    with pytest.raises(ValueError, match=message):
        project_result(result, **arguments)
