"""Defects of chips (experiments.defects): what is drawn, and whether it counts as seen."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

import pfitre_jax as pf
from experiments.defects import report
from experiments.defects.chips import KINDS, angle_to_wedge, draw_defect
from experiments.defects.config import PRESETS, Config
from experiments.defects.scans import BLIND, EVERY, MEASURED, draw_chip, simulate
from experiments.defects.visibility import (
    contained_share,
    contrast,
    core,
    detectability,
    supplied_share,
    wider_share,
)
from experiments.defects.wires import Frame, find_wire
from pfitre_jax.twin import OVERSAMPLING

#: Side of the chips of these tests, fine pixels, and level between their wires.
FINE, MATRIX = 160, 0.1


def stripes(angle_deg: float, width: float, pitch: float) -> np.ndarray:
    """Parallel wires of level 1 along a direction, in fine pixels, in a disc."""
    along, across = Frame((FINE - 1) / 2, (FINE - 1) / 2, angle_deg).coordinates((FINE, FINE))
    distance = np.abs((across + pitch / 2) % pitch - pitch / 2)
    image = MATRIX + (1 - MATRIX) * np.clip((width + 1) / 2 - distance, 0, 1)
    return np.where(np.hypot(along, across) < 0.48 * FINE, image, 0).astype(np.float32)


def draw(kind: str, size: float, angle_deg: float = 30.0, width: float = 8.0, pitch: float = 24.0):
    chip = draw_defect(stripes(angle_deg, width, pitch), kind, size, np.random.default_rng(0))
    assert chip is not None
    return chip


class TestChips:
    @pytest.mark.parametrize("angle", [0.0, 30.0, 117.0])
    def test_wires_are_measured(self, angle):
        image = stripes(angle, 8.0, 24.0)
        # The pixel of metal next to the middle of the image.
        metal = np.argwhere(image > 0.99)
        i, j = metal[np.argmin(np.abs(metal - FINE / 2).sum(axis=1))]
        wire = find_wire(image, image > 0.55, int(i), int(j), 50)
        assert abs((wire.frame.angle_deg - angle + 90) % 180 - 90) < 1.5
        assert wire.width == pytest.approx(8, abs=1.01)
        assert wire.level == pytest.approx(1, abs=0.01) and wire.background == pytest.approx(MATRIX, abs=0.01)
        # The origin is in the middle of the wire.
        left, right = wire.frame.sample(image, np.zeros(2), np.array([-4.0, 4.0]))
        assert left == pytest.approx(right, abs=0.4)

    @pytest.mark.parametrize("size", [1.5, 3.0, 6.0])
    @pytest.mark.parametrize(
        ("kind", "sign", "area"),
        [
            # Fine pixels: wires are 8 wide and 16 apart.
            ("broken wire", -1, lambda s: 8 * s),
            ("short", 1, lambda s: 16 * s),
            ("void", -1, lambda s: np.pi / 4 * s**2),
            ("missing via", -1, lambda s: s**2),
        ],
    )
    def test_the_change_has_its_size_and_nothing_else_changes(self, kind, sign, area, size):
        # A void needs a wide wire.
        width, pitch = (20.0, 50.0) if kind == "void" else (8.0, 24.0)
        chip = draw(kind, size, width=width, pitch=pitch)
        change = sign * (chip.defective - chip.healthy)
        assert change.min() > -1e-6 and change.max() == pytest.approx(1 - MATRIX, abs=0.02)
        fine = OVERSAMPLING * size
        assert change.sum() / (1 - MATRIX) == pytest.approx(area(fine), rel=0.12)
        i, j = np.nonzero(np.abs(change) > 1e-6)
        reach = {"broken wire": 8, "short": 16}.get(kind, fine)
        assert np.hypot(i - chip.row, j - chip.column).max() <= np.hypot(fine, reach) / 2 + 2
        # The rest is the chip itself, except that an array of vias replaces a part of it.
        same = chip.healthy == stripes(30.0, width, pitch)
        assert same.all() if kind != "missing via" else 0 < np.mean(~same) < 0.9

    def test_a_displaced_segment_keeps_its_amount_and_moves_sideways(self):
        chip = draw("displaced wire", 2.0)
        change = chip.defective - chip.healthy
        assert change.min() < -0.85 and change.max() > 0.85
        assert abs(change.sum()) < 0.1 * np.abs(change).sum()
        # Strips of 4 x 12 fine pixels are removed and added.
        assert np.abs(change).sum() / 2 / (1 - MATRIX) == pytest.approx(48, rel=0.15)
        _, across = Frame(chip.row, chip.column, 30.0).coordinates(change.shape)
        middle = lambda part: np.sum(part * across) / part.sum()  # noqa: E731
        distance = middle(np.maximum(change, 0)) - middle(np.maximum(-change, 0))
        assert abs(distance) == pytest.approx(8, abs=0.6)

    @pytest.mark.parametrize(("kind", "turn"), [("broken wire", 0), ("short", 0), ("displaced wire", 90)])
    def test_the_normal_of_the_edges(self, kind, turn):
        """Most energy of the defect is at the frequencies along the normal."""
        chip = draw(kind, 2.0, width=10.0)
        assert abs((chip.normal_deg - 30 - turn + 90) % 180 - 90) < 1.5
        change = chip.defective - chip.healthy
        along, across = (supplied_share(change, chip.normal_deg + a, 60.0) for a in (0, 90))
        assert along > 1.5 * across

    def test_round_defects_have_no_normal(self):
        assert (
            draw("void", 2.0, width=12.0).normal_deg is None and draw("missing via", 2.0).normal_deg is None
        )

    def test_there_is_no_defect_where_it_does_not_fit(self):
        rng = np.random.default_rng(0)
        assert draw_defect(stripes(0, 6.0, 24.0), "void", 3.0, rng) is None
        assert draw_defect(np.zeros((64, 64), np.float32), "broken wire", 2.0, rng) is None
        assert (
            draw_defect(stripes(0, 8.0, 24.0), "broken wire", 2.0, rng, lambda normal: 45 < normal < 135)
            is None
        )
        with pytest.raises(ValueError, match="unknown kind of defect 'rust'"):
            draw_defect(stripes(0, 8.0, 24.0), "rust", 2.0, rng)

    def test_angles_to_the_wedge(self):
        assert angle_to_wedge(10, 20) == angle_to_wedge(190, 20) == 10
        assert angle_to_wedge(170, 5) == 15 and angle_to_wedge(110, 20) == 90


class TestVisibility:
    @pytest.fixture
    def pair(self):
        chip = draw("broken wire", 3.0)
        return chip.healthy, chip.defective

    def test_contrast_of_mixtures(self, pair):
        """1 for the truth, 0 without the defect, linear between them, blind to changes elsewhere."""
        healthy, defective = pair
        values = [contrast((1 - t) * healthy + t * defective, *pair) for t in (0.0, 0.25, 0.5, 1.0)]
        np.testing.assert_allclose(values, [0, 0.25, 0.5, 1], atol=1e-6)
        elsewhere = np.where(healthy == defective, 7.0, defective)
        assert contrast(elsewhere, *pair) == pytest.approx(1, abs=1e-6)

    def test_intervals_contain_the_defect(self, pair):
        healthy, defective = pair
        region = core(*pair)
        assert 0.8 < region.sum() / (8 * 6) < 1.2
        assert contained_share(healthy - 0.1, healthy + 0.1, defective, region) == 0
        assert contained_share(healthy - 1.0, healthy + 0.1, defective, region) == 1
        half = np.where(np.indices(region.shape)[0] % 2, 1.0, 0.0)
        share = contained_share(defective - half, defective + half - 1e-3 * (1 - half), defective, region)
        assert share == pytest.approx(np.mean(half[region]))

    def test_intervals_that_are_wider_than_the_contrast(self, pair):
        """Beside the defect the image goes from the level of the matrix to that of the wires."""
        healthy, _ = pair
        region, contrast_of_chip = core(*pair), 1 - MATRIX
        for half_width, expected in ((0.45 * contrast_of_chip, 0.0), (0.55 * contrast_of_chip, 1.0)):
            limits = healthy - half_width, healthy + half_width
            assert wider_share(healthy, *limits, region) == expected

    def test_supplied_share_of_waves(self):
        """A wave along an angle is measured by the view at that angle: the geometry says which."""
        theta = np.deg2rad(np.arange(70.0, 150.0, 2.0))
        wedge = pf.Wedge.from_angles(theta)
        n = 48
        y, x = -(np.indices((n, n)) - (n - 1) / 2)[0], (np.indices((n, n)) - (n - 1) / 2)[1]
        window = np.exp(-(x**2 + y**2) / 100)
        projector = pf.Projector(pf.ParallelGeometry.create(theta, n))
        for angle, expected in ((110.0, 0.0), (20.0, 1.0)):
            t = np.deg2rad(angle)
            wave = (window * np.cos(1.2 * (x * np.cos(t) + y * np.sin(t)))).astype(np.float32)
            share = supplied_share(wave, wedge.center_deg, wedge.width_deg)
            assert share == pytest.approx(expected, abs=0.02)
            signal = np.abs(np.asarray(projector(wave))).max()
            assert (signal > 5) == (expected == 0)

    def test_detectability_is_that_of_a_matched_filter(self):
        """White noise of sigma: the ratio is ``||d|| / sigma``."""
        rng = np.random.default_rng(0)
        d = np.zeros((20, 20))
        d[5:9, 5:9] = 1
        images = rng.normal(0, 0.5, (40, 12, 20, 20))
        shares = lambda truth: np.array(  # noqa: E731
            [[contrast(truth + noise, 0 * d, d) for noise in by_chip] for by_chip in images]
        )
        assert detectability(shares(d), shares(0 * d)).mean() == pytest.approx(4 / 0.5, rel=0.1)


class TestScans:
    def test_the_chips_of_the_tiny_preset(self):
        config = PRESETS["tiny"]
        scans = simulate(config, "broken wire", 3.0)
        assert scans.scan.projections.shape == (24, 6, 64) and scans.directions == (BLIND, MEASURED)
        half, center = config.missing_deg / 2, config.center_deg
        assert scans.scan.wedge.center_deg == pytest.approx(center, abs=0.01)
        first, second = (angle_to_wedge(chip.normal_deg, center) for chip in scans.chips)
        assert first < half - config.margin_deg and second > half + config.margin_deg
        # The same noise with and without the defect, up to the largest line integral that it scales with.
        rows, [healthy] = np.moveaxis(np.asarray(scans.scan.projections), 1, 0), [2]
        assert scans.rows_of(0) == (slice(0, 2), slice(2, 3)) and scans.rows_of(1)[0] == slice(3, 5)
        change = np.abs(rows[0] - rows[healthy])
        assert np.median(change) < 1e-3 * rows[0].max() < np.median(np.abs(rows[0] - rows[1]))

    def test_without_chips_the_experiment_ends_with_a_message(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("PFITRE_DATA", str(tmp_path / "nowhere"))
        config = dataclasses.replace(PRESETS["tiny"], sources=("tile",))
        with pytest.raises(SystemExit) as ended:
            simulate(config, "broken wire", 3.0)
        message = capsys.readouterr().err
        assert ended.value.code == 2 and message.count("\n") == 1
        assert message.startswith("chips of tile not found in ") and "set PFITRE_DATA" in message

    def test_every_kind_is_drawn_on_a_chip_of_the_twin(self):
        config = dataclasses.replace(PRESETS["tiny"], kinds=tuple(KINDS), sizes=(2.0,), sources=("circuits",))
        for kind in KINDS:
            chip, source, direction = draw_chip(config, kind, 2.0, 0)
            assert source == "circuits" and direction == (EVERY if chip.normal_deg is None else BLIND)


class TestReport:
    RESULTS: ClassVar = {
        "short": {
            "3": {
                "pfitre": {
                    "0": {
                        "direction": MEASURED,
                        "supplied_share": 0.2,
                        "contrast": [0.9, 0.8],
                        "healthy_contrast": [0.1],
                        "contained": [1.0, 1.0],
                        "wider": [0.0, 0.0],
                        "detectability": 30.0,
                    },
                    "1": {
                        "direction": BLIND,
                        "supplied_share": 0.8,
                        "contrast": [0.1, 0.3],
                        "healthy_contrast": [0.0],
                        "contained": [0.2, 0.9],
                        "wider": [0.7, 0.2],
                        "detectability": 3.0,
                    },
                }
            }
        }
    }

    def test_counts(self):
        config = Config(kinds=("short",), methods=("pfitre",), sizes=(3.0,))
        scans = list(report.scans_of(self.RESULTS))
        assert [scan.seen for scan in scans] == [True, True, False, False]
        assert [scan.in_interval for scan in scans] == [True, True, False, True]
        assert [scan.in_wedge for scan in scans] == [False, False, True, True]
        text = report.tables(config, self.RESULTS)
        assert "| pfitre | 100% of 2 |  | 0% of 2 |  | 0% of 2 |" in text
        # Of both scans that are invented away, one is contained, the other one has wide intervals.
        away = "50% of 2 | 50% of 2 | 100% of 2 | 100% of 2 | 0% of 2 | 50% of 2 | 50% of 2 | 100% of 2 |"
        assert f"| pfitre | 2 of 4 | {away}" in text
        # Both chips beside their healthy copies: 30 and 3 standard deviations, 0.75 and 0.2 more contrast.
        assert "| pfitre | 100% of 1; 100% of 1 |  | 0% of 1; 0% of 1 |" in text
        start, end = (
            "| short | 3 | blind | pfitre | 0% of 2 | 0.20 | 0.00 |",
            "| 50% of 2 | 100% of 2 | 80% |",
        )
        assert f"{start} 0% of 1 | 3 | 2 {end}" in text
        # The worst of a kind and size is shown.
        assert report.worst(config, self.RESULTS) == [("short", "3", "1")]
