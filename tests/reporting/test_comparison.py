"""Comparison of runs whose differences are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from finished_runs import THETA, make_result, validation, write_run
from html_pages import Page, pixels

from pfitre_jax.cli.errors import in_options
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reporting import compare_runs, comparison_page, measures, read_run


def result_of(images: np.ndarray, row0: int = 0, **changes) -> Result:
    """A result with these slices (rows, ny, nx)."""
    attributes = {"center": 16.0, "columns": 32, "raw_rows": 40, "method": "sirt"} | changes
    return Result.of_volume(images.astype(np.float32), THETA, row0=row0, **attributes)


def compared(folder, *results, hashes=None):
    runs = []
    for k, result in enumerate(results):
        sha256 = "a" * 64 if hashes is None else hashes[k]
        runs.append(read_run(write_run(folder / f"run{k}", result, sha256=sha256)))
    return compare_runs(runs)


def noise(rows: int, size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, size, size))


def test_the_difference_of_known_volumes(tmp_path):
    first, other = noise(4, 32, 0), noise(4, 32, 1)
    found = compared(tmp_path, result_of(first), result_of(0.5 * first + other + 3)).difference(1)
    difference = (0.5 * first + other + 3) - first
    assert found.rms == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
    assert found.relative == pytest.approx(
        np.sqrt(np.mean(difference**2)) / np.sqrt(np.mean(first**2)), rel=1e-5
    )
    assert found.correlation == pytest.approx(
        np.corrcoef(first.ravel(), (0.5 * first + other).ravel())[0, 1], rel=1e-5
    )


def test_runs_agree_down_to_the_frequency_that_they_share(tmp_path):
    """Below 0.2 cycles per pixel both volumes are the same, above they are independent."""
    rows, size, shared = 8, 64, 0.2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))

    def band(images, passed):
        return np.fft.ifft2(np.fft.fft2(images) * passed).real

    common = band(noise(rows, size, 0), f < shared)
    volumes = [common + band(noise(rows, size, seed), f >= shared) for seed in (1, 2)]
    known = {"center": 32.0, "columns": 64}
    comparison = compared(tmp_path, *(result_of(v, **known) for v in volumes), result_of(volumes[0], **known))
    assert comparison.difference(1).period == pytest.approx(1 / shared, rel=0.06)
    assert comparison.difference(2).period == 2 and comparison.difference(2).rms == 0


def test_common_rows_and_the_common_part_around_the_axis_are_compared(tmp_path):
    large = noise(6, 36, 0)
    # Rows 5 to 10, and rows 8 to 13 of an image that is 4 pixels smaller.
    comparison = compared(tmp_path, result_of(large, 5), result_of(noise(6, 32, 1), 8))
    np.testing.assert_array_equal(comparison.rows, [8, 9, 10])
    np.testing.assert_array_equal(
        comparison.slice(0, 0).astype(np.float32), large[3, 2:-2, 2:-2].astype(np.float32)
    )
    notes = " ".join(comparison.notes)
    assert "Only the 3 rows that all runs have" in notes and "different sizes" in notes


REFUSED = {
    "other scan": (
        result_of(noise(2, 32, 0)),
        "b" * 64,
        "are runs of different scans .*SHA-256 aaaaaaaaaaaa",
    ),
    "other detector": (result_of(noise(2, 32, 0), columns=40), None, "columns 32 and 40"),
    "other rows": (result_of(noise(2, 32, 0), row0=9), "a" * 64, "no row in common"),
    "pixels between": (result_of(noise(2, 33, 0)), "a" * 64, "lie between each other"),
    "other unit": (result_of(noise(2, 32, 0), pixel_size=0.1), "a" * 64, "unit 1/pixel and 1/um"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, case):
    other, sha256, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        compared(tmp_path, result_of(noise(2, 32, 1)), other, hashes=["a" * 64, sha256])


def test_one_run_cannot_be_compared(tmp_path):
    with pytest.raises(ValueError, match="expected 2 to 6 output folders"):
        compared(tmp_path, result_of(noise(2, 32, 1)))


def test_runs_without_a_hash_are_compared_with_a_note(tmp_path):
    runs = result_of(noise(2, 32, 1)), result_of(noise(2, 32, 2), center=15.5)
    notes = " ".join(compared(tmp_path, *runs, hashes=[None, None]).notes)
    assert "hash of the scan is not recorded" in notes and "rotation centers: A 16.0, B 15.5" in notes


def large_scan(path="/data/scan.h5", size=3 * 2**30, changed_ns=1_700_000_000_000_000_000):
    """Record of a scan file that is too large for a hash."""
    return {"scan": {"path": path, "files": 1, "bytes": size, "changed_ns": changed_ns, "sha256": None}}


@pytest.mark.parametrize(
    "other, same",
    [
        (large_scan(), True),
        (large_scan("/archive/scan.h5"), True),
        (large_scan(size=3 * 2**30 + 1), False),
        (large_scan("/data/next.h5", changed_ns=1_700_000_900_000_000_000), False),
    ],
)
def test_large_scans_of_one_shape_are_told_apart_by_their_files(tmp_path, other, same):
    images = result_of(noise(2, 32, 1))
    folders = [
        write_run(tmp_path / f"run{k}", images, inputs=inputs)
        for k, inputs in enumerate((large_scan(), other))
    ]
    runs = [read_run(folder) for folder in folders]
    if same:
        assert "judged by the size and last change of its file" in " ".join(compare_runs(runs).notes)
    else:
        path = other["scan"]["path"]
        with pytest.raises(ValueError, match=f"are runs of different scans .*/data/scan.h5.*{path}"):
            compare_runs(runs)


def test_the_best_prediction_is_marked_only_for_the_same_held_out_views(tmp_path):
    better, worse = (make_result(validation=validation(error, None)) for error in (0.1, 0.2))
    table = {line.label: line for line in measures(compared(tmp_path / "same", worse, better))}
    line = table["prediction error of interpolating held-out views"]
    assert line.values == ["0.2000", "0.1000"] and line.best == 1
    assert table["relative residual, median of the common rows"].values == ["0.025", "0.025"]
    other = dataclasses.replace(better, validation=better.validation | {"rows": [7]})
    table = {line.label: line for line in measures(compared(tmp_path / "other", worse, other))}
    assert table["prediction error of interpolating held-out views"].best is None


def test_the_page_shows_slices_and_differences_on_one_scale(tmp_path):
    first = noise(3, 32, 0)
    comparison = compared(tmp_path, result_of(first), result_of(first + 0.5, method="cgls"))
    page = Page(comparison_page(comparison, in_options))
    layers = page.viewer["layers"]
    assert set(layers) == {"run0", "run1", "difference1"} and len(layers["run1"]) == 3
    # A constant difference above 0 is red everywhere; the second run is lighter everywhere.
    red = pixels(layers["difference1"][1])
    assert np.all(red[..., 0] > red[..., 2]) and len(np.unique(red.reshape(-1, 4), axis=0)) <= 2
    assert np.all(pixels(layers["run1"][1]) >= pixels(layers["run0"][1]))
    assert "A: sirt (run0)" in page.text and "B: cgls (run1)" in page.text
    assert all(e.attributes.get("alt") for e in page.all("img"))
