"""The experiments run, at their tiny presets; what they share is right."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import pfitre_jax as pf
from experiments import real_scans
from experiments.comparing import Reference, at_best, least
from experiments.dose_and_views.dose import saving
from experiments.prior_ablation import __main__ as experiment
from experiments.prior_ablation.config import PRESETS
from experiments.real_chip import __main__ as real_chip
from experiments.record import Record, palette_image
from experiments.simulated_scans import Twin, simulate
from pfitre_jax.data.raw import RawScan
from pfitre_jax.data.roll import apply_roll
from pfitre_jax.metrics import psnr
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
        """A run that fails leaves the cells before it; the next one goes on there."""
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

    def test_another_configuration_starts_anew(self, tmp_path):
        compute = lambda *cell: ({"seed": 0}, {"image": np.zeros((2, 2))})  # noqa: E731
        record(tmp_path).fill(self.CELLS, compute, self.CELLS)
        other = record(tmp_path, Config(seed=1))
        assert other.results() == {} and other.images() == {}
        other.fill(self.CELLS[:1], lambda *cell: ({"seed": 1}, {}))
        assert other.results() == {"a": {"x": {"seed": 1}}} and other.images() == {}
        assert record(tmp_path).results() == {}

    def test_a_picture_needs_its_images(self, tmp_path):
        """They are not in the repository: where they are missing, their cells alone are made again."""
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

    def test_stored_results_are_found(self):
        """Those in the repository are of the configuration, losses and prior that are there now."""
        folder = Path(experiment.__file__).parent / "results"
        assert {"wedge", "optimiser"} <= set(experiment.record(PRESETS["default"], folder).results())


class TestSaving:
    DOSES = np.array([1.0, 0.1, 0.01])

    def quality(self, doses):
        return 20 + 3 * np.log10(doses)

    @pytest.mark.parametrize("factor", [0.5, 1.0, 4.0, 10.0])
    def test_a_curve_moved_by_a_factor(self, factor):
        """As good at a dose smaller by the factor: it saves the factor, at any quality that both reach."""
        for dose in (0.1, 0.3):
            found = saving(dose, self.quality(dose), self.DOSES, self.quality(factor * self.DOSES))
            assert found.factor == pytest.approx(factor) and found.bound == ""

    def test_beyond_the_curve_there_are_bounds(self):
        better, worse = (saving(0.5, q, self.DOSES, self.quality(self.DOSES)) for q in (10.0, 25.0))
        assert (str(better), str(worse)) == (">50", "<0.5")

    def test_more_dose_does_no_harm(self):
        assert saving(1.0, 18.0, self.DOSES, [17.0, 19.0, 17.0]).factor == pytest.approx(10**1.5)


class TestRealScans:
    def test_thinned_counts_have_the_statistics_of_fewer(self):
        """N Poisson counts thinned to a share s: s N Poisson counts, mean N and variance N/s once scaled."""
        rng, dark = np.random.default_rng(0), np.full((50, 80), 30.0)
        counts = rng.poisson(400, (40, 50, 80)) + dark
        raw = RawScan.create(counts.astype(np.float32), np.zeros(40), flat=dark + 900, dark=dark)
        thinned = real_scans.thin(raw, 0.25, seed=1).projections - dark
        assert thinned.mean() == pytest.approx(400, rel=0.003)
        assert thinned.var() == pytest.approx(400 / 0.25, rel=0.02)
        assert np.allclose(thinned * 0.25, np.round(thinned * 0.25))

    def test_added_columns_keep_their_axis(self):
        """A counted wire at the axis stays there: bin k of three covers bins 3k to 3k + 2."""
        p = np.full((4, 1, 31), 100.0)
        p[..., 16] = 10
        raw = RawScan.create(p, np.zeros(4), flat=p[0] * 0 + 100, dark=p[0] * 0)
        added = real_scans._binned(raw, 3)
        assert added.projections.shape == (4, 1, 10) and np.argmin(added.projections[0, 0]) == (16 - 1) / 3
        np.testing.assert_allclose(added.projections.sum(), p[..., :30].sum())
        np.testing.assert_allclose(added.flat, 300)

    @pytest.mark.parametrize("missing", [30.0, 90.0, 120.0])
    def test_a_scan_is_cut_to_the_wedge(self, missing):
        scan = pf.Scan.create(np.ones((91, 1, 16)), np.deg2rad(np.linspace(-88.2, 91.8, 91)), center=8.0)
        cut = real_scans.limited(scan, missing)
        assert cut.wedge.width_deg == pytest.approx(missing, abs=1e-3)
        assert np.rad2deg(cut.theta_rad.mean()) == pytest.approx(1.8, abs=1.01)

    @pytest.mark.parametrize("roll", [0.0, 4.0])
    def test_views_left_out_are_predicted_in_either_frame(self, roll):
        """Views of the result's own volume: no error, in the mended frame and, rolled back, in the raw one.
        Views twice as bright: an error of a half."""
        y, x = np.mgrid[:24, :24] - 11.5
        image = np.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 18).astype(np.float32)
        theta = np.deg2rad(np.arange(0.0, 180, 6))
        geometry = pf.ParallelGeometry.create(theta, 24, 11.5)
        mended = np.repeat(np.asarray(pf.Projector(geometry)(image))[:, None], 20, axis=1)
        scan = pf.Scan.create(mended, theta, center=11.5, roll_deg=roll)
        volume = np.repeat(image[None], 20, axis=0)
        stored = Result.of_volume(volume, theta, center=11.5, roll_deg=roll, columns=24, raw_rows=20)
        result = SimpleNamespace(stored=lambda: stored)
        assert real_scans.prediction_error(result, scan) < 1e-5
        raw, mask = apply_roll(mended, None, -roll)
        raw = pf.Scan.create(raw, theta, mask=mask, center=11.5)
        assert real_scans.prediction_error(result, raw) < 1e-5
        twice = scan.with_projections(2 * scan.projections)
        assert real_scans.prediction_error(result, twice) == pytest.approx(0.5, rel=1e-4)
        scales = np.array([0, 1, 2, *[1] * 17], np.float32)[:, None]
        by_row = real_scans.prediction_errors(result, scan.with_projections(scales * scan.projections))
        assert np.isnan(by_row[0]) and by_row[2] == pytest.approx(0.5, rel=1e-4)
        assert np.delete(by_row, [0, 2]).max() < 1e-5


def test_the_spread_of_the_real_chips_rows_leaves_out_those_without_signal():
    assert real_chip.spread_of(np.array([0.5, 0.9, 1.1, 1.5, np.nan])) == "1.00 (0.62 to 1.38; 50%)"


class TestComparing:
    def test_downhill_from_the_middle(self):
        values = tuple(10.0 ** (-e / 2) for e in range(10, 3, -1))
        for target in values:
            best, costs = least(lambda value, target=target: np.log(value / target) ** 2, values)
            assert best == target and costs[best] == 0 and len(costs) < len(values)
        assert least(lambda value: 1.0, (3.0,)) == (3.0, {3.0: 1.0})

    def test_the_weight_of_least_loss_and_what_it_is_worth(self):
        twin = Twin(size=32, spacing_deg=6.0, seeds=(7000, 7001))
        scan, truth = simulate(twin, 60.0)
        assert scan.projections.shape == (20, 2, 32) and truth.shape == (2, 32, 32)
        assert scan.wedge.width_deg == pytest.approx(60, abs=1e-3)
        assert scan.wedge.center_deg == pytest.approx(twin.orientation_deg, abs=1e-3)
        reference = Reference.of_truth(truth, scan)
        loss = lambda result: -reference.measures(result)["psnr"]  # noqa: E731
        tried = {"weight": (1e-4, 1e-3, 10.0), "rho": (1.0,)}
        result, found = at_best(scan, "fista-tv", loss, tried, iterations=40, prior="none", scale=1.0)
        assert result.parameters == {"iterations": 40, "weight": found["weight"]} and found["weight"] < 10
        assert loss(result) == pytest.approx(min(found["loss_by_weight"].values()), rel=1e-5)
        expected = np.mean([psnr(a, b, reference.support) for a, b in zip(result.volume, truth, strict=True)])
        measures = reference.measures(result)
        assert measures["psnr"] == pytest.approx(expected, abs=1e-4) and 0 < measures["ssim"] < 1
        # In units of the scale, and of a wider image only the middle.
        wider = dataclasses.replace(result, volume=np.pad(3 * result.volume, ((0, 0), (4, 4), (4, 4))))
        assert dataclasses.replace(reference, scale=3.0).measures(wider) == pytest.approx(measures, rel=1e-4)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*/__main__.py")), ids=lambda p: p.parent.name
)
def test_every_experiment_can_be_started(path):
    """Its long runs are slow tests: this is what notices a name that has moved."""
    module = importlib.import_module(f"experiments.{path.parent.name}.__main__")
    config = importlib.import_module(f"experiments.{path.parent.name}.config")
    assert callable(module.main) and {"default", "tiny"} <= set(config.PRESETS)
    assert f"python -m experiments.{path.parent.name}" in config.__doc__


def run(name: str, out: Path, data: Path) -> dict:
    """The record of a tiny preset; its picture is one, and its tables have a line for each cell."""
    command = [sys.executable, "-m", f"experiments.{name}", "--preset", "tiny", "--out", str(out)]
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
def test_real_samples_runs_at_its_tiny_preset(data_dir, tmp_path):
    results = run("real_samples", tmp_path, data_dir)
    assert set(results) == {"Cu_23", "i13"}
    [by_name], [beside] = results["Cu_23"].values(), results["i13"].values()
    [baseline, prior] = by_name
    assert baseline == "fista-tv" and prior.startswith("circuits ") and set(beside) == set(by_name)
    assert 0 < by_name[prior]["error"] < 1 and 10 < beside[prior]["psnr"] < 50
    assert f"| | fista-tv | {prior} |" in (tmp_path / "real_samples.md").read_text()


@pytest.mark.slow
def test_loop_settings_runs_at_its_tiny_preset(tmp_path):
    [by_which] = run("loop_settings", tmp_path / "out", tmp_path).values()
    assert list(by_which) == ["FISTA-TV", "0.005", "0.02", "auto"]
    assert all(0.5 < ratio < 3 for ratio in by_which["auto"]["noise"]["estimate_noise"])
    assert by_which["FISTA-TV"]["automatic"]["weight"] > 0
    # The first reconstruction is there before the first iteration, of total variation nothing is.
    assert by_which["0.005"]["psnr"][0] > by_which["FISTA-TV"]["psnr"][0] + 1
    assert len(by_which["0.02"]["psnr"]) == 3 and min(by_which["0.02"]["seconds"]) > 0


@pytest.mark.slow
def test_robustness_runs_at_its_tiny_preset(tmp_path):
    results = run("robustness", tmp_path / "out", tmp_path)
    bad = results["views and dead, found"]["pfitre"]
    assert bad["--robust student-t"]["psnr"] > bad["least squares"]["psnr"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wedge_sweep", "dose_and_views"])
def test_a_tiny_preset_needs_no_data(name, tmp_path):
    results = run(name, tmp_path / "out", tmp_path)
    assert set(results) == {"twin"}
    check_cells(results)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wedge_sweep", "dose_and_views"])
def test_a_tiny_preset_cuts_down_a_real_scan(name, data_dir, tmp_path):
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
    assert {part: set(table) for part, table in results.items()} == {
        "wedge": {"all", "not turned", "not told", "no data gradient"},
        "scenes": {"10", "unlimited"},
        "imperfections": {"all", "without zingers"},
    }
    for table in results.values():
        scores = [score for tests in table.values() for score in tests.values()]
        assert np.all(np.isfinite([list(score.values()) for score in scores]))
        # All are judged on the same scans.
        np.testing.assert_allclose([score["start"] for score in scores], scores[0]["start"], rtol=1e-5)
    said = (tmp_path / "prior_ablation.md").read_text()
    assert all(f"| {name} |" in said for name in ("not turned", "unlimited", "zingers"))


@pytest.mark.slow
def test_joint_3d_runs_at_its_tiny_preset(tmp_path):
    results = run("joint_3d", tmp_path, tmp_path)
    assert set(results) == {"circuits"}
    for cell in results["circuits"]["1"].values():
        assert set(cell) == {"one by one", "together", "smoothed along the rows"}
        assert all(10 < scores["psnr"] < 40 for scores in cell.values())


@pytest.mark.slow
def test_alignment_runs_at_its_tiny_preset(tmp_path):
    results = run("alignment", tmp_path, tmp_path)
    straight, measured, mended = (
        results["motion"]["1"][lie]["fista-tv"] for lie in ("never moved", "as measured", "mended")
    )
    assert measured < mended <= straight + 0.5
    assert results["motion"]["1"]["mended"]["off"]["shifts"] < 0.2


@pytest.mark.slow
def test_slow_drift_runs_at_its_tiny_preset(tmp_path):
    results = run("slow_drift", tmp_path, tmp_path)["0.4"]["1"]
    drift, each = (results[lie]["off"]["shifts"] for lie in ("--align --drift", "--align"))
    assert drift < each and results["as measured"]["fista-tv"] < results["never moved"]["fista-tv"]


@pytest.mark.slow
def test_free_geometry_runs_at_its_tiny_preset(tmp_path):
    results = run("free_geometry", tmp_path, tmp_path)["1"]
    assert results["prior free"]["off"] == results["as measured"]["off"] > results["views free"]["off"]


@pytest.mark.slow
def test_solver_variants_runs_at_its_tiny_preset(tmp_path):
    results = run("solver_variants", tmp_path, tmp_path)
    assert list(results) == ["FBP", "CGLS", "FISTA, TV", "splitting (HQS)"]
    for row in results.values():
        assert 5 < row["psnr"] < 40 and row["seconds_per_slice"] > 0
    assert results["splitting (HQS)"]["setting"]["rho"] in (0.005, 0.02)


@pytest.mark.slow
def test_unrolled_training_runs_at_its_tiny_preset(tmp_path):
    results = run("unrolled_training", tmp_path, tmp_path)
    assert list(results) == ["plug-and-play", "unrolled", "equilibrium"]
    for row in results.values():
        assert row["steps"] >= 1 and 3 < row["judged"]["2"]["psnr"] < 40 and "rho" not in row


@pytest.mark.slow
def test_adaptation_runs_at_its_tiny_preset(data_dir, tmp_path):
    results = run("adaptation", tmp_path, data_dir)
    row = results["36-50"]
    assert row["steps"] in row["curve"]["looks"] and row["curve"]["looks"][0] == 0
    assert all(0 < error < 1 for error in row["error"].values())
    # Kept as it was, the prior predicts what it did; changed, something else.
    assert (row["error"]["after"] == row["error"]["before"]) == (row["steps"] == 0)


@pytest.mark.slow
def test_ship_priors_trains_judges_and_goes_on(tmp_path):
    """At its tiny preset: stopped by its budget, gone on with, and done."""
    line = [sys.executable, "-m", "experiments.ship_priors", "--preset", "tiny", "--out", tmp_path]

    def call(*more):
        done = subprocess.run([*line, *more], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    assert "the budget is spent" in call("--budget", "0.01")
    assert "| circuits |" in call()
    card = json.loads((tmp_path / "circuits" / "circuits.json").read_text())
    assert card["steps"] == 4 and card["scores"]["command"].startswith("python -m experiments.ship_priors")
    assert len(list((tmp_path / "circuits").glob("judged-*/worst.png"))) == 2
    # Nothing is trained twice.
    assert "circuits 4/4" not in call()
