import dataclasses
import subprocess
import sys
import time

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from analytic import CENTER, COLUMNS, THETA, THETA_DEG, disc_stack

import pfitre_jax as pf
from pfitre_jax.cli.errors import in_options
from pfitre_jax.data.scan import Scan
from pfitre_jax.data.selection import format_ranges
from pfitre_jax.estimation import support_selection
from pfitre_jax.interfaces import Card, Prior, PriorInfo
from pfitre_jax.reconstruction.axis_trials import try_values
from pfitre_jax.reconstruction.scan_axis import with_center

DISCS = [[(3.0, 1.0, 6.0 + r, 1.0)] for r in range(3)]


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    return disc_stack(DISCS)


@pytest.fixture(scope="module")
def scan(stack) -> Scan:
    return Scan.create(stack, THETA, center=CENTER)


def write_all(folder, stack):
    """The same scan in every format; returns the arguments of load_scan."""
    tifffile.imwrite(folder / "scan.tiff", stack)
    (folder / "angles.csv").write_text("angle\n" + "\n".join(f"{a:g}" for a in THETA_DEG) + "\n")
    with h5py.File(folder / "scan.h5", "w") as file:
        file["/exchange/data"] = stack
        file["/exchange/theta"] = THETA_DEG
    np.savez(folder / "scan.npz", projections=stack, theta_deg=THETA_DEG)
    return {
        "tiff": (folder / "scan.tiff", {"angles": folder / "angles.csv"}),
        "h5": (folder / "scan.h5", {}),
        "npz": (folder / "scan.npz", {}),
    }


def test_every_format_gives_the_same_result(tmp_path, stack):
    results = {
        kind: pf.reconstruct(pf.load_scan(path, center=CENTER, **settings), "cgls", scale=1.0)
        for kind, (path, settings) in write_all(tmp_path, stack).items()
    }
    for result in results.values():
        np.testing.assert_array_equal(result.volume, results["npz"].volume)
    assert results["npz"].residual.max() < 0.02
    masses = results["npz"].volume.sum(axis=(1, 2))
    np.testing.assert_allclose(masses, [np.pi * (6 + r) ** 2 for r in range(3)], rtol=0.02)


def test_views_are_counted_as_in_the_file(tmp_path, stack):
    path, _ = write_all(tmp_path, stack)["npz"]
    loaded = pf.load_scan(path, views="2:12:2", exclude_views="4:7")
    np.testing.assert_allclose(np.rad2deg(loaded.theta_rad), THETA_DEG[[2, 8, 10]])
    np.testing.assert_array_equal(loaded.projections, stack[[2, 8, 10]])
    with pytest.raises(ValueError, match="no view is left"):
        pf.load_scan(path, views="2:4", exclude_views="0:10")
    with pytest.raises(ValueError, match="lie outside the scan"):
        pf.load_scan(path, exclude_views="0:100")


def test_rows_of_the_result_are_numbered_as_in_the_raw_stack(scan):
    result = pf.reconstruct(scan, "cgls", rows=slice(1, 3), scale=1.0)
    assert list(result.rows) == [1, 2] and result.volume.shape == (2, COLUMNS, COLUMNS)
    assert result.row0 == 1 and result.raw_rows == 3
    whole = pf.reconstruct(scan, "cgls", scale=1.0)
    np.testing.assert_allclose(result.volume, whole.volume[1:], atol=1e-3)


def test_the_result_contains_the_measured_component(scan):
    result = pf.reconstruct(scan, "cgls", scale=1.0)
    assert result.measured.shape == result.volume.shape
    gap = np.linalg.norm(result.volume - result.measured, axis=(1, 2))
    np.testing.assert_allclose(result.supplied, gap / np.linalg.norm(result.volume, axis=(1, 2)), rtol=1e-3)
    assert list(result.summary()["supplied"]) == list(result.supplied)


def test_the_residual_sinogram_is_that_of_the_middle_row(scan):
    result = pf.reconstruct(scan, "cgls", scale=1.0)
    assert result.middle == 1
    np.testing.assert_array_equal(result.sinogram, scan.projections[:, 1])
    relative = np.linalg.norm(result.residual_sinogram) / np.linalg.norm(result.sinogram)
    assert relative == pytest.approx(result.residual[1], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"center": "left"}, "center is 'left'; expected a number or 'auto'"),
        ({"roll": "much"}, "roll is 'much'; expected a number or 'auto'"),
    ],
)
def test_words_instead_of_numbers_are_refused(tmp_path, stack, settings, message):
    path, _ = write_all(tmp_path, stack)["npz"]
    assert pf.load_scan(path, center="auto").center is None
    with pytest.raises(ValueError, match=message):
        pf.load_scan(path, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 0.0}, "scale is 0; expected a finite number, more than 0"),
        ({"rows": 1}, "the rows are 1; expected slice"),
        ({"chunk": 0}, "chunk is 0"),
    ],
)
def test_invalid_settings_are_refused(scan, settings, message):
    with pytest.raises(ValueError, match=message):
        pf.reconstruct(scan, "cgls", **settings)


@jax.tree_util.register_static
class _Wary(Prior):
    """A prior that doubles faint images and keeps bright ones."""

    card = Card({"name": "wary", "disagreement": {"limit": 0.1}})
    info = PriorInfo(card=card)

    def denoise(self, v, *, correction, wedge, rho):
        return jnp.where(jnp.max(v) < 0.3, 2 * v, v)


def test_rows_of_air_are_excluded_from_the_domain_check(scan):
    projections = np.concatenate([1e-2 * scan.projections] * 4 + [scan.projections], axis=1)
    for rows, wary in ((projections, False), (projections[:, :12], True)):
        result = pf.reconstruct(
            Scan.create(rows, THETA, center=CENTER), "pfitre", prior=_Wary(), iterations=1, scale=1.0
        )
        assert any("'wary' does not agree" in warning for warning in result.warnings) == wary
        assert result.domain_score is None


def test_an_unknown_center_is_estimated(stack):
    scan = Scan.create(stack, THETA)
    estimated = with_center(scan)
    assert estimated.center == pytest.approx(CENTER, abs=0.5)
    assert "estimated from" in estimated.provenance["center"]
    assert with_center(estimated) is estimated


def test_center_trials_equal_reconstructions_with_their_values(scan):
    values = [CENTER - 1.5, CENTER, CENTER + 1.0]
    tiles = try_values(scan, "center", values, row=1)
    for tile, value in zip(tiles, values, strict=True):
        assert tile.value == value
        expected = pf.reconstruct(scan.with_center(value), "cgls", rows=slice(1, 2))
        np.testing.assert_allclose(tile.image, expected.volume[0], atol=5e-3)
    assert min(tiles, key=lambda tile: tile.residual).value == CENTER
    assert not np.allclose(tiles[0].image, tiles[1].image, atol=0.05)


def test_trials_have_one_support(scan, monkeypatch):
    calls = []
    select = support_selection._prediction_errors
    monkeypatch.setattr(support_selection, "_prediction_errors", lambda *at: calls.append(1) or select(*at))
    try_values(scan, "center", [CENTER - 1, CENTER, CENTER + 1], row=1)
    assert len(calls) == 1


def test_the_summary_states_how_support_and_iterations_were_chosen(scan):
    summary = pf.reconstruct(scan, "cgls", rows=slice(0, 1), iterations=3).summary()["selection"]
    assert summary["iterations"] == {"by": "stated", "chosen": 3}
    support = summary["support"]
    assert support["by"] == "auto" and support["chosen"] in support["errors"]
    assert support["errors"][support["chosen"]] <= 1.005 * min(support["errors"].values())
    summary = pf.reconstruct(scan, "fbp", rows=slice(0, 1), support="disc").summary()["selection"]
    assert summary == {"support": {"by": "stated", "chosen": "disc of the field of view", "errors": {}}}


def test_roll_trials_equal_reconstructions_of_the_corrected_scan(scan):
    from pfitre_jax.data.roll import correct_roll

    values = [-6.0, 0.0, 6.0]
    tiles = try_values(scan, "roll", values, row=1)
    options = {"rows": slice(1, 2), "support": support_selection.select_support(scan).support.shape}
    for tile, value in zip(tiles, values, strict=True):
        expected = pf.reconstruct(correct_roll(scan, value), "cgls", **options)
        # Conjugate gradients amplify the rounding errors of another scale where the data disagree.
        options["scale"] = expected.scale if value == values[0] else options["scale"]
        assert tile.value == value
        np.testing.assert_allclose(tile.image, expected.volume[0], atol=0.02)
    assert min(tiles, key=lambda tile: tile.residual).value == 0.0
    assert not np.allclose(tiles[0].image, tiles[1].image, atol=0.1)


def test_roll_trials_of_a_corrected_scan_are_refused(scan):
    from pfitre_jax.data.roll import correct_roll

    with pytest.raises(ValueError, match=r"was corrected for a roll of 1\.5 degrees already"):
        try_values(correct_roll(scan, 1.5), "roll", [0.0, 0.5])


def test_the_times_add_up_to_the_wall_time(scan):
    began = time.perf_counter()
    result = pf.reconstruct(scan, "fista-tv", iterations=2)
    wall = time.perf_counter() - began
    assert set(result.timings) == {"seconds_prepare", "seconds_compile", "seconds_run"}
    assert all(seconds > 0 for seconds in result.timings.values())
    assert 0.9 * wall < sum(result.timings.values()) <= wall
    # The second time everything is compiled, also the automatic weight.
    again = pf.reconstruct(scan, "fista-tv", iterations=2)
    assert again.timings["seconds_compile"] < 0.1 * result.timings["seconds_compile"]
    assert again.parameters == result.parameters


def test_invalid_trials_are_refused(scan):
    with pytest.raises(ValueError, match="expected 'center' or 'roll'"):
        try_values(scan, "tilt", [1.0])
    with pytest.raises(ValueError, match="row 9 is outside the scan; expected 0 to 2"):
        try_values(scan, "center", [17.0], row=9)
    with pytest.raises(ValueError, match="the centre 99 is outside the detector"):
        try_values(scan, "center", [99.0])
    with pytest.raises(ValueError, match="the roll is 90; expected degrees between -90 and 90"):
        try_values(scan, "roll", [0.0, 90.0])


def test_label_of_the_published_loop_names_its_prior(scan):
    result = pf.reconstruct(scan, "cgls", scale=1.0)
    assert result.summary()["label"] == result.label == "cgls"
    published = dataclasses.replace(result, method="pfitre-original", parameters={"prior": "circuits"})
    assert published.summary()["label"] == published.label == "pfitre-original with the prior circuits"


def test_the_summary_has_an_entry_for_each_row(scan):
    summary = pf.reconstruct(scan, "cgls", scale=1.0).summary()
    for name in ("rows", "residual", "status", "iterations"):
        assert len(summary[name]) == 3
    expected = {"method", "center", "roll_deg", "wedge_deg", "scale", "seconds_compile", "seconds_run"}
    assert expected | {"seconds_prepare", "device", "versions", "warnings"} <= set(summary)
    assert summary["center"] == CENTER and summary["wedge_deg"] == pytest.approx(0, abs=1e-6)


def test_a_row_without_valid_bins_is_named(stack):
    mask = np.ones(stack.shape, bool)
    mask[:, 2] = False
    scan = Scan.create(stack, THETA, mask=mask, center=CENTER)
    result = pf.reconstruct(scan, "cgls", scale=1.0)
    assert "rows 2 have no valid bin; their slices are 0" in result.warnings
    assert not result.volume[2].any()


def test_numbers_are_formatted_as_ranges():
    assert format_ranges(np.array([3])) == "3"
    assert format_ranges(np.array([1, 2, 3, 7, 9, 10])) == "1-3, 7, 9-10"


def test_every_public_name_can_be_imported():
    for name in pf.__all__:
        assert getattr(pf, name) is not None
    assert pf.Projector.__name__ in dir(pf)
    with pytest.raises(AttributeError, match="No pfitre_jax attribute nonsense"):
        pf.nonsense  # noqa: B018


def test_importing_the_package_and_the_command_line_loads_no_jax():
    slow = "('jax', 'flax', 'scipy', 'matplotlib')"
    code = f"import sys, pfitre_jax, pfitre_jax.cli; print([m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_method_that_stops_unconverged_says_so(scan):
    """With the rows, the last change and the remedy, which the command line words as an option."""
    few = pf.reconstruct(scan, "fista-tv", rows="1:3", weight=1e-4, iterations=5)
    change = few.change_history[:, -1].max()
    (warning,) = [text for text in few.warnings if "converge" in text]
    for words in (
        "2 of 2 rows did not converge in 5 iterations (rows 1-2)",
        f"{change:.1e}",
        "iterations=15",
    ):
        assert words in warning
    assert "use --iterations 15" in in_options(warning)
    converged = pf.reconstruct(scan, "fista-tv", rows="1:2", weight=1e-2, iterations=3000)
    assert converged.iterations[0] < 3000
    assert not any("converge" in text for text in converged.warnings)
    # A method without a tolerance runs a fixed number of iterations.
    assert not any("converge" in text for text in pf.reconstruct(scan, "cgls", iterations=3).warnings)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_detector_of_one_or_two_columns_is_refused(columns):
    scan = pf.Scan.create(np.ones((4, 1, columns)), np.linspace(0, 2, 4), center=(columns - 1) / 2)
    with pytest.raises(ValueError, match="expected at least 3"):
        pf.reconstruct(scan, "fbp")


def test_three_columns_are_reconstructed():
    """A disc of radius 1 and value 1 around the rotation axis: chords of length 2 and 0."""
    projections = np.tile([0.0, 2.0, 0.0], (12, 1, 1))
    scan = pf.Scan.create(projections, np.arange(12) * np.pi / 12, center=1.0, mask_nan=False)
    volume = pf.reconstruct(scan, "sirt", support="disc").volume
    assert volume.shape[1:] == (3, 3) and volume[0].argmax() == 4 and np.isfinite(volume).all()
