"""Experiments: their tiny presets run, and their shared code is correct."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import pfitre_jax as pf
from experiments.common import real_scans
from experiments.common.comparison import Reference, minimise_unimodal, reconstruct_at_best
from experiments.common.record import Record, palette_image
from experiments.common.segmentation import matthews_correlation, otsu_threshold
from experiments.common.simulated_scans import CircuitScans, simulate
from experiments.dose_and_views.dose import dose_saving
from experiments.prior_ablation import __main__ as prior_ablation
from experiments.prior_ablation.config import PRESETS
from experiments.real_chip import __main__ as real_chip
from experiments.real_scoreboard.config import Config as ScoreboardConfig
from experiments.real_scoreboard.tables import scoreboard
from experiments.support_and_size.outlines import OUTLINES, OutlineScans, contains
from experiments.support_and_size.outlines import simulate as simulate_outlined
from pfitre_jax.data import RawScan
from pfitre_jax.data.roll import apply_roll
from pfitre_jax.metrics import psnr
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors import NetworkPrior, load, save
from pfitre_jax.reconstruction import Result

ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (1, 2)
    seed: int = 0


def record(folder, config=Config()):
    return Record(folder, "some", config, lambda results: str(results), lambda results, images: Figure())


class TestRecord:
    CELLS = (("a", "x"), ("a", "y"), ("b", "x"))

    def test_a_cell_is_computed_once(self, tmp_path):
        """A run that fails keeps its finished cells; the next run resumes after them."""
        asked = []

        def compute(*cell):
            asked.append(cell)
            if cell == ("b", "x") and len(asked) == 3:
                raise KeyboardInterrupt
            return {"error": np.float32(len(asked)), "bad": float("nan")}, {}

        with pytest.raises(KeyboardInterrupt):
            record(tmp_path).fill(self.CELLS, compute)
        assert record(tmp_path).results() == {
            "a": {n: {"error": k, "bad": None} for k, n in ((1, "x"), (2, "y"))}
        }
        record(tmp_path).fill(self.CELLS, compute)
        record(tmp_path).fill(self.CELLS, compute)
        assert asked == [*self.CELLS, ("b", "x")]
        content = json.loads((tmp_path / "some.json").read_text())
        assert content["config"] == {"sizes": [1, 2], "seed": 0} and len(content["commit"]) in (0, 40)
        assert {path.name for path in tmp_path.iterdir()} == {"some.json", "some.md", "some.png"}

    def test_another_configuration_starts_over(self, tmp_path):
        compute = lambda *cell: ({"seed": 0}, {"image": np.zeros((2, 2))})  # noqa: E731
        record(tmp_path).fill(self.CELLS, compute, self.CELLS)
        other = record(tmp_path, Config(seed=1))
        assert other.results() == {} and other.images() == {}
        other.fill(self.CELLS[:1], lambda *cell: ({"seed": 1}, {}))
        assert other.results() == {"a": {"x": {"seed": 1}}} and other.images() == {}
        assert record(tmp_path).results() == {}

    def test_a_picture_needs_its_images(self, tmp_path):
        """Images are not in the repository: where they are missing, only their cells are computed again."""
        asked = []

        def compute(*cell):
            asked.append(cell)
            return {}, {"image": np.full((2, 3), 0.5)} if cell == ("a", "y") else {}

        record(tmp_path).fill(self.CELLS, compute, {("a", "y")})
        record(tmp_path).fill(self.CELLS, compute, {("a", "y")})
        assert asked == list(self.CELLS)
        [(name, image)] = record(tmp_path).images().items()
        assert name == "a/y/image" and np.all(image == 0.5) and image.shape == (2, 3)
        (tmp_path / "some.npz").unlink()
        record(tmp_path).fill(self.CELLS, compute, {("a", "y")})
        assert asked == [*self.CELLS, ("a", "y")] and list(record(tmp_path).images()) == ["a/y/image"]

    def test_a_thin_curve_keeps_its_colour_beside_gray_images(self, tmp_path):
        figure = Figure(figsize=(10, 6))
        left, right = figure.subplots(1, 2)
        left.imshow(np.random.default_rng(0).random((300, 300)), cmap="gray")
        colours = [(1, 0, 0), (0, 0.6, 0), (0, 0, 1)]
        for k, colour in enumerate(colours):
            right.plot([0, 1], [k, k], color=colour)
        Record(tmp_path, "some", Config(), str, lambda results, images: figure).fill(
            [("a",)], lambda _: ({}, {})
        )
        shown = np.asarray(Image.open(tmp_path / "some.png").convert("RGB")).reshape(-1, 3)
        for colour in colours:
            assert np.abs(shown - 255 * np.array(colour)).max(axis=1).min() < 40

    def test_grays_stay_as_they_are_beside_curves_of_many_colours(self):
        ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (64, 1))[..., None], 3, axis=-1)
        colours = np.random.default_rng(0).integers(0, 256, (64, 256, 3)).astype(np.uint8)
        kept = np.asarray(palette_image(Image.fromarray(np.concatenate([ramp, colours]))).convert("RGB"))
        moved = np.abs(kept[:64].astype(int) - ramp)
        assert moved.max() <= 1 and np.ptp(kept[:64].astype(int), axis=-1).max() == 0
        assert np.asarray(palette_image(Image.fromarray(ramp)).convert("RGB")).tolist() == kept[:64].tolist()

    def test_stored_results_match_the_configuration(self):
        """The stored results were computed with the current configuration and losses."""
        folder = Path(prior_ablation.__file__).parent / "results"
        assert {"wedge", "optimiser"} <= set(prior_ablation.make_record(PRESETS["default"], folder).results())


class TestDoseSaving:
    DOSES = np.array([1.0, 0.1, 0.01])

    def quality(self, doses):
        return 20 + 3 * np.log10(doses)

    @pytest.mark.parametrize("factor", [0.5, 1.0, 4.0, 10.0])
    def test_a_curve_moved_by_a_factor(self, factor):
        """A curve that is equal at a dose smaller by a factor saves that factor, at every quality."""
        for dose in (0.1, 0.3):
            saving = dose_saving(dose, self.quality(dose), self.DOSES, self.quality(factor * self.DOSES))
            assert saving.factor == pytest.approx(factor) and saving.bound == ""

    def test_values_beyond_the_curve_are_bounds(self):
        better, worse = (dose_saving(0.5, q, self.DOSES, self.quality(self.DOSES)) for q in (10.0, 25.0))
        assert (str(better), str(worse)) == (">50", "<0.5")

    def test_more_dose_does_no_harm(self):
        assert dose_saving(1.0, 18.0, self.DOSES, [17.0, 19.0, 17.0]).factor == pytest.approx(10**1.5)


class TestRealScans:
    def test_thinned_counts_have_the_statistics_of_fewer(self):
        """N Poisson counts thinned to a share s and rescaled have the mean N and the variance N/s."""
        rng, dark = np.random.default_rng(0), np.full((50, 80), 30.0)
        counts = rng.poisson(400, (40, 50, 80)) + dark
        raw = RawScan.create(counts.astype(np.float32), np.zeros(40), flat=dark + 900, dark=dark)
        thinned = real_scans.thin_counts(raw, 0.25, seed=1).projections - dark
        assert thinned.mean() == pytest.approx(400, rel=0.003)
        assert thinned.var() == pytest.approx(400 / 0.25, rel=0.02)
        assert np.allclose(thinned * 0.25, np.round(thinned * 0.25))

    def test_summed_columns_keep_their_axis(self):
        """A wire at the axis stays there: bin k of the sum covers bins 3k to 3k + 2."""
        p = np.full((4, 1, 31), 100.0)
        p[..., 16] = 10
        raw = RawScan.create(p, np.zeros(4), flat=p[0] * 0 + 100, dark=p[0] * 0)
        summed = real_scans.sum_columns(raw, 3)
        assert summed.projections.shape == (4, 1, 10) and np.argmin(summed.projections[0, 0]) == (16 - 1) / 3
        np.testing.assert_allclose(summed.projections.sum(), p[..., :30].sum())
        np.testing.assert_allclose(summed.flat, 300)

    def test_the_drift_of_the_beam_is_corrected(self, tmp_path, monkeypatch):
        """Line integrals of a wire are those of a steady beam; the air beside it is at 0."""
        wire, beam = np.zeros(64), np.random.default_rng(0).uniform(0.9, 1.1, 12)
        wire[30:34] = 1.5
        counts = 200 + 1000 * beam[:, None, None] * np.exp(-wire)
        flat, dark, angles = np.full((2, 1, 64), 1200.0), np.full((2, 1, 64), 200.0), 15.0 * np.arange(12)
        np.savez(tmp_path / "wire.npz", projections=counts, flat=flat, dark=dark, angles_deg=angles)
        monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
        scan = real_scans.load_full_angle(real_scans.FullAngleSample("wire.npz", 31.5, 1, (0,)))
        np.testing.assert_allclose(scan.projections[:, 0], np.tile(wire, (12, 1)), atol=1e-4)

    @pytest.mark.parametrize("first_deg", [0.0, 50.0, 140.0])
    @pytest.mark.parametrize("range_deg", [180.0, 360.0])
    def test_an_angular_range_is_kept_at_any_orientation(self, first_deg, range_deg):
        theta = np.deg2rad(10 + 3.6 * np.arange(range_deg / 3.6))
        scan = pf.Scan.create(np.ones((theta.size, 1, 16)), theta, center=8.0)
        kept = real_scans.limit_range(scan, 90, first_deg)
        assert kept.views == 25 and kept.wedge.width_deg == pytest.approx(90, abs=1e-3)
        # The wedge begins where the range ends.
        middle = (10 + np.ceil(first_deg / 3.6) * 3.6 + 24 * 3.6 + 1.8 + 45) % 180
        assert kept.wedge.center_deg == pytest.approx(middle, abs=0.01)

    def test_a_new_file_is_a_new_scan(self, tmp_path, monkeypatch):
        folder = tmp_path / real_scans.REFERENCED
        folder.mkdir()
        arrays = {
            "projections": np.ones((20, 1, 16)),
            "theta_deg": 9.0 * np.arange(20),
            "center": 7.5,
            "reference": np.ones((1, 16, 16)),
            "support": np.ones((1, 16, 16), bool),
        }
        np.savez(folder / "my_leaf.npz", **arrays)
        np.savez(folder / "broken.npz", theta_deg=arrays["theta_deg"])
        monkeypatch.setenv("PFITRE_DATA", str(tmp_path))
        samples = real_scans.full_angle_samples()
        assert set(samples) == {"my leaf", "broken"}
        content = real_scans.load_referenced(samples["my leaf"])
        assert content.scan.views == 20 and content.segmentation is None and content.support.all()
        with pytest.raises(ValueError, match=r"no array projections, center, reference, support; expected"):
            real_scans.load_referenced(samples["broken"])

    @pytest.mark.parametrize("missing", [30.0, 90.0, 120.0])
    def test_a_scan_is_limited_to_the_wedge(self, missing):
        scan = pf.Scan.create(np.ones((91, 1, 16)), np.deg2rad(np.linspace(-88.2, 91.8, 91)), center=8.0)
        limited = real_scans.limit_angle(scan, missing)
        assert limited.wedge.width_deg == pytest.approx(missing, abs=1e-3)
        assert np.rad2deg(limited.theta_rad.mean()) == pytest.approx(1.8, abs=1.01)

    @pytest.mark.parametrize("roll", [0.0, 4.0])
    def test_held_out_views_are_predicted_in_either_frame(self, roll):
        """Projections of the volume have no error, in the corrected frame and in the raw one; twice as bright
        projections have an error of a half."""
        y, x = np.mgrid[:24, :24] - 11.5
        image = np.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 18).astype(np.float32)
        theta = np.deg2rad(np.arange(0.0, 180, 6))
        geometry = pf.ParallelGeometry.create(theta, 24, 11.5)
        corrected = np.repeat(np.asarray(pf.Projector(geometry)(image))[:, None], 20, axis=1)
        scan = pf.Scan.create(corrected, theta, center=11.5, roll_deg=roll)
        volume = np.repeat(image[None], 20, axis=0)
        result = Result.of_volume(volume, theta, center=11.5, roll_deg=roll, columns=24, raw_rows=20)
        assert real_scans.prediction_error(result, scan) < 1e-5
        raw, mask = apply_roll(corrected, None, -roll)
        raw = pf.Scan.create(raw, theta, mask=mask, center=11.5)
        assert real_scans.prediction_error(result, raw) < 1e-5
        twice = scan.with_projections(2 * scan.projections)
        assert real_scans.prediction_error(result, twice) == pytest.approx(0.5, rel=1e-4)
        scales = np.array([0, 1, 2, *[1] * 17], np.float32)[:, None]
        by_row = real_scans.prediction_errors(result, scan.with_projections(scales * scan.projections))
        assert np.isnan(by_row[0]) and by_row[2] == pytest.approx(0.5, rel=1e-4)
        assert np.delete(by_row, [0, 2]).max() < 1e-5


def test_the_spread_of_the_real_chip_excludes_rows_without_signal():
    assert real_chip.format_spread(np.array([0.5, 0.9, 1.1, 1.5, np.nan])) == "1.00 (0.62 to 1.38; 50%)"


class TestSegmentation:
    def test_otsu_is_that_of_scikit_image(self):
        filters = pytest.importorskip("skimage.filters")
        rng = np.random.default_rng(0)
        image = np.where(rng.random((40, 50)) < 0.3, 1.0, 0.2) + rng.normal(0, 0.15, (40, 50))
        assert otsu_threshold(image) == pytest.approx(filters.threshold_otsu(image), abs=1e-12)

    def test_matthews_is_the_correlation_of_two_binary_images(self):
        rng = np.random.default_rng(1)
        found, expected = rng.random((2, 30, 30)) < 0.4
        correlation = np.corrcoef(found.ravel(), expected.ravel())[0, 1]
        assert matthews_correlation(found, expected) == pytest.approx(correlation, abs=1e-12)
        assert matthews_correlation(expected, expected) == pytest.approx(1)
        assert matthews_correlation(np.zeros_like(expected), expected) == 0


class TestScoreboard:
    def test_the_worst_gain_comes_first(self):
        config = ScoreboardConfig()
        best = "fista-tv, best weight"
        cell = lambda psnr: {"psnr": psnr, "ssim": 0.5}  # noqa: E731
        results = {
            "a": {"60 degrees": {best: cell(20.0), "general 01234567": cell(23.0)}},
            "b": {"60 degrees": {best: cell(20.0), "general 01234567": cell(19.5)}},
            "c": {"views 1-2": {"fista-tv": {"error": 0.2}, "general 01234567": {"error": 0.1}}},
        }
        lines = scoreboard(config, results).splitlines()
        assert "| 60 | +1.25, -0.50 (b), 1 of 2 |" in lines
        assert lines.index("| b, 60 degrees | -0.50 |") < lines.index("| a, 60 degrees | +3.00 |")
        assert "| c, views 1-2 | 0.100 | 0.200 |" in lines or "| c, views 1-2 | 0.200 | 0.100 |" in lines


class TestComparison:
    def test_minimisation_of_a_unimodal_cost(self):
        values = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
        for target in values:
            best, costs = minimise_unimodal(lambda value, target=target: np.log(value / target) ** 2, values)
            assert best == target and costs[best] == 0 and len(costs) < len(values)
        assert minimise_unimodal(lambda value: 1.0, (3.0,)) == (3.0, {3.0: 1.0})

    def test_the_best_weight_and_its_measures(self):
        config = CircuitScans(size=32, spacing_deg=6.0, seeds=(7000, 7001))
        scan, truth = simulate(config, 60.0)
        assert scan.projections.shape == (20, 2, 32) and truth.shape == (2, 32, 32)
        assert scan.wedge.width_deg == pytest.approx(60, abs=1e-3)
        assert scan.wedge.center_deg == pytest.approx(config.orientation_deg, abs=1e-3)
        reference = Reference.from_truth(truth, scan)
        loss = lambda result: -reference.measures(result)["psnr"]  # noqa: E731
        candidates = {"weight": (1e-4, 1e-3, 10.0), "rho": (1.0,)}
        settings = {"iterations": 40, "prior": "none", "scale": 1.0, "support": "disc"}
        result, best = reconstruct_at_best(scan, "fista-tv", loss, candidates, **settings)
        parameters = {"iterations": 40, "weight": best["weight"], "support": "disc"}
        assert result.parameters == parameters and best["weight"] < 10
        assert loss(result) == pytest.approx(min(best["loss_by_weight"].values()), rel=1e-5)
        expected = np.mean([psnr(a, b, reference.support) for a, b in zip(result.volume, truth, strict=True)])
        measures = reference.measures(result)
        assert measures["psnr"] == pytest.approx(expected, abs=1e-4) and 0 < measures["ssim"] < 1
        # The scale is divided out, and a wider image is cropped.
        wider = dataclasses.replace(result, volume=np.pad(3 * result.volume, ((0, 0), (4, 4), (4, 4))))
        assert dataclasses.replace(reference, scale=3.0).measures(wider) == pytest.approx(measures, rel=1e-4)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*/__main__.py")), ids=lambda p: p.parent.name
)
def test_every_experiment_can_be_started(path):
    """Its modules import; the runs themselves are slow tests."""
    module = importlib.import_module(f"experiments.{path.parent.name}.__main__")
    config = importlib.import_module(f"experiments.{path.parent.name}.config")
    assert callable(module.main) and {"default", "tiny"} <= set(config.PRESETS)
    assert f"python -m experiments.{path.parent.name}" in config.__doc__


def run(name: str, out: Path, data: Path, *more: str) -> dict:
    """Results of a tiny preset, run as a user would; checks that its figure is a PNG."""
    command = [sys.executable, "-m", f"experiments.{name}", "--preset", "tiny", "--out", str(out), *more]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PFITRE_DATA": str(data)})
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((out / f"{name}.json").read_text())["results"]


@pytest.mark.slow
def test_real_chip_runs_at_its_tiny_preset(data_dir, tmp_path):
    results = run("real_chip", tmp_path, data_dir)
    assert set(results) == {"1.5"} and set(results["1.5"]) == {"36-50", "all views"}
    for by_method in results["1.5"].values():
        assert set(by_method) == {"fbp", "fista-tv", "pfitre"}
    assert 0 < results["1.5"]["all views"]["pfitre"]["residual"]["40"] < 0.2
    assert 0 < results["1.5"]["36-50"]["pfitre"]["error"] < 1
    assert "| fista-tv |" in (tmp_path / "real_chip.md").read_text()


@pytest.mark.slow
def test_real_scoreboard_runs_at_its_tiny_preset(data_dir, tmp_path):
    command = [sys.executable, "-m", "experiments.real_scoreboard", "--preset", "tiny"]
    command += ["--prior", "circuits", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PFITRE_DATA": str(data_dir)})
    records = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("Cu_23", "i13")}
    [predicted], [measured] = (records[name]["results"].values() for name in ("Cu_23", "i13"))
    baseline, prior, other = predicted
    assert baseline == "fista-tv" and prior.startswith("circuits ") and other == "fbp"
    assert set(measured) == set(predicted)
    assert 0 < predicted[prior]["error"] < 1 and 10 < measured[prior]["psnr"] < 50
    table = (tmp_path / "real_scoreboard.md").read_text()
    assert f"| scan, without | {prior} | fbp |" in table and "| i13, 90 degrees |" in table
    assert (tmp_path / "i13.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_loop_settings_runs_at_its_tiny_preset(tmp_path):
    [by_which] = run("loop_settings", tmp_path / "out", tmp_path).values()
    assert list(by_which) == ["FISTA-TV", "0.005", "0.02", "auto"]
    assert all(0.5 < ratio < 3 for ratio in by_which["auto"]["noise"]["estimate_noise"])
    assert by_which["FISTA-TV"]["automatic"]["weight"] > 0
    # pfitre starts from the TV warm start, FISTA-TV from zero.
    assert by_which["0.005"]["psnr"][0] > by_which["FISTA-TV"]["psnr"][0] + 1
    assert len(by_which["0.02"]["psnr"]) == 3 and min(by_which["0.02"]["seconds"]) > 0


@pytest.mark.slow
def test_support_and_size_runs_at_its_tiny_preset(tmp_path):
    results = run("support_and_size", tmp_path / "out", tmp_path)
    by_size = results["size"]["128"]
    assert min(cell["seconds"] for cell in by_size.values()) > 0
    one_level, coarse_to_fine = (
        by_size[f"pfitre, {start}"]["psnr"] for start in ("one level", "from coarser levels")
    )
    # After the same few iterations at the finest level.
    assert coarse_to_fine > one_level - 0.1
    [by_method] = results["support"].values()
    for by_support in by_method.values():
        assert max(by_support, key=lambda support: by_support[support]["psnr"]) == "true outline"
        # The sample extends beyond the field of view, and its matter there projects into it.
        assert by_support["disc"]["psnr"] < min(by_support[name]["psnr"] for name in ("auto", "extended"))
        assert "up to" in by_support["auto"]["support"]


class TestOutlines:
    def test_areas(self):
        """A disc has the area pi r^2, and a polygon that of the shoelace formula."""
        for outline in OUTLINES.values():
            if isinstance(outline, float):
                area = np.pi * outline**2
            else:
                (x0, y0), (x1, y1) = np.transpose(outline), np.transpose([*outline[1:], outline[0]])
                area = abs(np.sum(x0 * y1 - x1 * y0)) / 2
            assert contains(outline, 750, 500).sum() / 500**2 == pytest.approx(area, rel=0.01)

    @pytest.mark.parametrize("name", sorted(OUTLINES))
    def test_bins_have_the_lengths_of_their_rays(self, name):
        """A uniform sample: the middle view looks along y; its rays also cross matter beyond the field."""
        config = OutlineScans(columns=32, views=5, noise=0.0, matrix=1.0, seeds=(7200,))
        sample = simulate_outlined(config, OUTLINES[name])
        lengths = contains(OUTLINES[name], 96, 64).sum(axis=0).reshape(48, 2).mean(axis=1) / 2
        np.testing.assert_allclose(sample.scan.projections[2, 0], lengths[8:40], atol=1e-4)
        assert sample.outline.shape == (48, 48) and sample.truth.shape == (1, 32, 32)
        np.testing.assert_array_equal(sample.outline[8:40, 8:40], sample.truth[0] > 0)


@pytest.mark.slow
def test_robustness_runs_at_its_tiny_preset(tmp_path):
    results = run("robustness", tmp_path / "out", tmp_path)
    degraded = results["outlier views and dead columns, detected"]["pfitre"]
    assert degraded["--robust student-t"]["psnr"] > degraded["least squares"]["psnr"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["expected-error", "bootstrap"])
def test_intervals_hold_on_other_scenes_however_bad_the_prior(kind, tmp_path):
    """The tiny preset, with an untrained prior, and with the shipped one after two iterations."""
    more = ["--intervals", "full"]
    if kind == "expected-error":
        config = UNetConfig(
            channels=(3, 4, 5), blocks=1, dilations=(1,), growth=3, embedding=4, expected_error=True
        )
        prior = NetworkPrior.create(config, jax.random.key(0), {"name": "small"})
        save(tmp_path / "small.npz", prior)
        more = ["--prior", str(tmp_path / "small.npz"), "--write"]
    results = run("intervals", tmp_path / "out", tmp_path, *more)
    assert results["all"]["slices"] == 8 and results["table"]["draws"] == 2 * (kind == "bootstrap")
    # Twelve slices of the calibration, and eight of the test.
    assert 0.75 < results["all"]["coverage"] <= 1
    assert "| in domain, 8 |" in (tmp_path / "out/intervals.md").read_text()
    if kind == "expected-error":
        table = load(tmp_path / "small.npz").info.card["intervals"]["expected-error"]
        assert table["cells"] == results["table"]["cells"]


@pytest.mark.slow
def test_defects_runs_at_its_tiny_preset(tmp_path):
    """Gaps of 3 pixels whose edges are measured: more contrast with the defect than without it."""
    results = run("defects", tmp_path / "out", tmp_path)
    assert set(results) == {"broken wire", "missing via"}
    for by_size in results.values():
        for by_chip in by_size["3"].values():
            assert set(by_chip) == {"0", "1"} and len(by_chip["1"]["contrast"]) == 2
    for by_chip in results["broken wire"]["3"].values():
        assert by_chip["1"]["direction"] == "measured"
        assert min(by_chip["1"]["contrast"]) > by_chip["1"]["healthy_contrast"][0] + 0.2
    assert "| broken wire | 3 | measured | pfitre |" in (tmp_path / "out/defects.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wedge_sweep", "dose_and_views"])
def test_a_tiny_preset_needs_no_data(name, tmp_path):
    results = run(name, tmp_path / "out", tmp_path)
    assert set(results) == {"twin"}
    check_cells(results)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wedge_sweep", "dose_and_views"])
def test_a_tiny_preset_uses_a_real_scan(name, data_dir, tmp_path):
    results = run(name, tmp_path, data_dir)
    assert set(results) == {"twin", "i13"}
    check_cells(results)


def check_cells(results: dict) -> None:
    for by_factor in results.values():
        cells = [cell for cell in by_factor.values() if "methods" in cell]
        cells += [cell for arm in by_factor.values() if "methods" not in arm for cell in arm.values()]
        for cell in cells:
            assert cell["views"] == 45 and {"fista-tv", "pfitre"} <= set(cell["methods"])
            for measures in cell["methods"].values():
                assert 5 < measures["psnr"] < 60 and 0 < measures["ssim"] <= 1
        if "counts" in by_factor:
            assert by_factor["all"]["1"]["dose"] == 1
            assert [cell["dose"] for cell in by_factor["counts"].values()] == [1 / 64]


@pytest.mark.slow
def test_prior_ablation_runs_at_its_tiny_preset(tmp_path):
    results = run("prior_ablation", tmp_path, tmp_path)
    architectures = results.pop("architecture")
    assert set(architectures) == {"base", "unshuffled, 1/8, 1/16"}
    for (cell,) in (seeds.values() for seeds in architectures.values()):
        assert cell["clean"]["steps"] >= 2 and np.all(np.isfinite(list(cell["clean"].values())))
    assert {part: set(table) for part, table in results.items()} == {
        "wedge": {"all", "no wedge frame", "no conditioning", "no data correction"},
        "scenes": {"10", "unlimited"},
        "artifacts": {"all", "without zingers"},
    }
    for table in results.values():
        scores = [score for tests in table.values() for score in tests.values()]
        assert np.all(np.isfinite([list(score.values()) for score in scores]))
        # All variants are tested on the same scans.
        np.testing.assert_allclose([score["start"] for score in scores], scores[0]["start"], rtol=1e-5)
    text = (tmp_path / "prior_ablation.md").read_text()
    assert all(f"| {name} |" in text for name in ("no wedge frame", "unlimited", "zingers"))


@pytest.mark.slow
def test_joint_3d_runs_at_its_tiny_preset(tmp_path):
    results = run("joint_3d", tmp_path, tmp_path)
    assert set(results) == {"circuits"}
    for cell in results["circuits"]["1"].values():
        assert set(cell) == {"slice by slice", "joint", "smoothed along the rows"}
        assert all(10 < scores["psnr"] < 40 for scores in cell.values())


@pytest.mark.slow
def test_alignment_runs_at_its_tiny_preset(tmp_path):
    results = run("alignment", tmp_path, tmp_path)["motion"]["1"]
    ideal, uncorrected, aligned = (
        results[state]["fista-tv"] for state in ("no motion", "uncorrected", "aligned")
    )
    assert uncorrected < aligned <= ideal + 0.5
    assert results["aligned"]["motion_error"]["shifts"] < 0.2


@pytest.mark.slow
def test_slow_drift_runs_at_its_tiny_preset(tmp_path):
    results = run("slow_drift", tmp_path, tmp_path)["0.1"]["1"]
    drift, each = (results[state]["motion_error"]["shifts"] for state in ("--align --drift", "--align"))
    assert drift < each and results["uncorrected"]["fista-tv"] < results["no motion"]["fista-tv"]


@pytest.mark.slow
def test_free_geometry_runs_at_its_tiny_preset(tmp_path):
    results = run("free_geometry", tmp_path, tmp_path)["1"]
    error = {state: cell["shift_error"] for state, cell in results.items() if "shift_error" in cell}
    assert error["prior adapted"] == error["uncorrected"] > error["views adapted"]


@pytest.mark.slow
def test_solver_variants_runs_at_its_tiny_preset(tmp_path):
    results = run("solver_variants", tmp_path, tmp_path)
    assert list(results) == ["FBP", "CGLS", "FISTA, TV", "HQS"]
    for row in results.values():
        assert 5 < row["psnr"] < 40 and row["seconds_per_slice"] > 0
    assert results["HQS"]["setting"]["rho"] in (0.005, 0.02)


@pytest.mark.slow
def test_unrolled_training_runs_at_its_tiny_preset(tmp_path):
    results = run("unrolled_training", tmp_path, tmp_path)
    assert list(results) == ["plug-and-play", "unrolled", "equilibrium"]
    for row in results.values():
        assert row["steps"] >= 1 and 3 < row["scores"]["2"]["psnr"] < 40 and "rho" not in row


@pytest.mark.slow
def test_self_supervision_runs_at_its_tiny_preset(tmp_path):
    [cell] = run("self_supervision", tmp_path, tmp_path)["circuits"]["5000"].values()
    assert len(cell["adaptation"]["rounds"]) == 2
    # The image changes exactly if the prior does.
    assert (cell["after"] == cell["before"]) == (cell["adaptation"]["chosen"] == 0)


@pytest.mark.slow
def test_ship_priors_trains_evaluates_and_resumes(tmp_path):
    """The tiny preset: stopped by its budget, resumed, and finished."""
    line = [sys.executable, "-m", "experiments.ship_priors", "--preset", "tiny", "--out", tmp_path]

    def call(*more):
        done = subprocess.run([*line, *more], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    assert "budget is spent" in call("--budget", "0.01")
    assert "| circuits |" in call()
    card = json.loads((tmp_path / "circuits" / "circuits.json").read_text())
    assert card["steps"] == 4 and card["scores"]["command"].startswith("python -m experiments.ship_priors")
    assert len(list((tmp_path / "circuits").glob("evaluation-*/worst.png"))) == 2
    # A finished training is not repeated.
    assert "circuits 4/4" not in call()
