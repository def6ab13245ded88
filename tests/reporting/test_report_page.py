"""The report of a run: its numbers are those of the run, and nothing of the run can break the page."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from finished_runs import (
    ROWS,
    make_result,
    statistics,
    validation,
    volume,
    with_interval,
    without_figures,
    write_run,
)
from html_pages import Page, pixels

from pfitre_jax.cli.errors import in_options
from pfitre_jax.plotting.style import gray_limits
from pfitre_jax.reconstruction.result import Result
from pfitre_jax.reporting import read_run, report_page, write_report
from pfitre_jax.reporting.assessment import assess
from pfitre_jax.reporting.checks import checks_of
from pfitre_jax.runtime.file_mark import has_mark
from pfitre_jax.solvers.loop import Status

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;.h5"


def page_of(folder) -> Page:
    return Page(report_page(read_run(folder), in_options))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), with_interval(make_result(), 0.5), motion=True)


@pytest.fixture(scope="module")
def page(folder):
    return page_of(folder)


def test_numbers_of_the_page_are_those_of_the_summary(folder, page):
    summary, text = json.loads((folder / "summary.json").read_text()), page.text
    for kind in ("interpolating", "extrapolating"):
        for key in ("error", "fista_tv", "noise_floor"):
            assert f"{summary['validation'][kind][key]:.4f}" in text
    assert f"chi-square {summary['residual_statistics']['chi_square']:.3g}, 1 for noise alone" in text
    assert f"Out-of-distribution score {summary['domain_score']:.2f}" in text
    assert f"{summary['resolution']['rings']['pixels']['half-bit']:.2f} pixels" in text
    assert f"{summary['wedge_deg']:.1f} degrees wide at {summary['wedge_center_deg']:.1f} degrees" in text
    assert summary["command"] in text and summary["inputs"]["scan"]["sha256"] in text
    assert "trained on" in text and "views 32 to 80" in text and "pfitre_jax 0.3.0" in text
    for row, residual, supplied in zip(
        summary["rows"], summary["residual"], summary["supplied"], strict=True
    ):
        assert f"row {row}, residual {residual:.3g}, supplied {supplied:.0%}" in page.viewer["captions"]
        assert re.search(rf"\b{row} {residual:.3g} {supplied:.0%} 3 all iterations done", text)


def test_images_are_the_slices(page):
    images = volume()
    low, high = gray_limits(images)
    expected = np.clip((images - low) / (high - low), 0, 1)
    layers = page.viewer["layers"]
    assert page.viewer["rows"] == list(range(10, 10 + ROWS))
    for k in range(ROWS):
        np.testing.assert_allclose(pixels(layers["result"][k]) / 255, expected[k], atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(
            pixels(layers["measured"][k]) / 255,
            np.clip((0.75 * images[k] - low) / (high - low), 0, 1),
            atol=0.5 / 255 + 1e-6,
        )
        # A supplied component of half of the grey scale has the full opacity of 0.8.
        opacity = 0.8 * np.clip(0.25 * np.abs(images[k]) / (0.5 * (high - low)), 0, 1)
        np.testing.assert_allclose(pixels(layers["supplied"][k])[..., 3] / 255, opacity, atol=0.8 / 30 + 0.01)
        width = 0.8 * min(1.0 / (high - low), 1)
        np.testing.assert_allclose(pixels(layers["interval"][k])[..., 3] / 255, width, atol=0.8 / 30 + 0.01)
    # What is seen without a script is the middle row.
    shown = [e for e in page.all("img") if e.attributes.get("data-layer") == "result"]
    assert shown and all(e.attributes["src"] == layers["result"][ROWS // 2] for e in shown)


def test_the_page_loads_nothing_and_is_accessible(page):
    for element in page.elements:
        for name in ("src", "href", "data", "action", "srcset"):
            value = element.attributes.get(name, "data:")
            assert value.startswith(("data:", "#")), f"{element.tag} {name}={value[:60]}"
    [style] = page.all("style")
    assert "url(" not in style.text and "@import" not in style.text and "@media print" in style.text
    assert all(image.attributes.get("alt") for image in page.all("img"))
    identifiers = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(identifiers) == len(set(identifiers))
    for element in page.elements:
        label = element.attributes.get("aria-labelledby")
        assert label is None or label in identifiers
    [slider] = page.all("input", type="range")
    assert slider.attributes["aria-label"] and int(slider.attributes["max"]) == ROWS - 1
    assert all(header.attributes.get("scope") for header in page.all("th"))
    assert page.all("html", lang="en") and len(page.all("h1")) == 1
    [policy] = [e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes]
    assert policy.startswith("default-src 'none'") and "script-src 'sha256-" in policy


def test_hostile_names_are_shown_and_not_run(tmp_path, monkeypatch):
    without_figures(monkeypatch)
    result = make_result(
        provenance={"file": f"/data/{HOSTILE}", HOSTILE: HOSTILE},
        warnings=[HOSTILE],
        support_text=HOSTILE,
        prior_card={"name": HOSTILE},
        parameters={HOSTILE: HOSTILE},
        device=HOSTILE,
    )
    inputs = {HOSTILE: {"path": HOSTILE, "files": 1, "bytes": 1, "sha256": HOSTILE}}
    page = page_of(write_run(tmp_path, result, inputs=inputs))
    assert len(page.all("script")) == 2
    assert not [e for e in page.elements if any(name.startswith("on") for name in e.attributes)]
    assert HOSTILE in page.text
    [heading] = page.all("h1")
    # The name of a file is the part after the last slash.
    assert heading.text.strip() == f"/data/{HOSTILE}".split("/")[-1]
    # This result has no interval: there is no switch for it.
    assert modes(page) == ["supplied", "measured"] and "interval" not in page.viewer["layers"]


def modes(page: Page) -> list[str]:
    """What the right image can show."""
    return [e.attributes["value"] for e in page.all("input", type="radio")]


def test_there_is_a_switch_for_the_interval(page):
    assert modes(page) == ["supplied", "measured", "interval"]
    assert len(page.viewer["layers"]["interval"]) == ROWS


VERDICTS = {
    "good": ({}, "No fault found", []),
    "not validated": (
        {"validation": None},
        "No fault found, but not fully checked",
        ["Repeat the run with --validate"],
    ),
    "stripes": (
        {"residual_statistics": statistics(0.5)},
        "Usable with care",
        ["--stripes (stripes: errors of the flat field, bad columns)"],
    ),
    "warning": (
        {"warnings": ["leave rho out"]},
        "Usable with care",
        ["1 warning; 0 of 8 checks ask for attention"],
    ),
    "unlike": ({"domain_score": 1.4}, "Usable with care", ["looks unlike the images that the prior knows"]),
    "worse than FISTA-TV": (
        {"validation": validation(0.3, 0.2)},
        "Do not rely on this result yet",
        ["Use --method fista-tv, or --adapt to adapt the prior.", "Everything that FISTA-TV does not show"],
    ),
    "diverged": (
        {"status": np.array([0, int(Status.DIVERGED), int(Status.DIVERGED), 0, 0])},
        "Do not rely on this result yet",
        ["2 of 5 rows diverged (rows 11-12)"],
    ),
}


def judge(folder):
    run = read_run(folder)
    return assess(run, checks_of(run).values())


@pytest.mark.parametrize("case", VERDICTS)
def test_the_first_lines_judge_the_result(tmp_path, case):
    changes, headline, sentences = VERDICTS[case]
    verdict = judge(write_run(tmp_path, make_result(**changes)))
    assert verdict.headline == headline
    text = " ".join(map(in_options, [verdict.explanation, *verdict.distrust, *verdict.advice]))
    for sentence in sentences:
        assert sentence in text
    # Every argument of the library was translated.
    assert "True" not in text and "='" not in text
    # Every report says which edges were not measured.
    assert "Edges that run from the lower left to the upper right (45 degrees)" in text


def test_intervals_that_do_not_hold_are_named(tmp_path):
    result, reason = make_result(), "the scan is unlike those of the calibration"
    folder = write_run(tmp_path, with_interval(result, 0.5, reason))
    verdict = judge(folder)
    assert verdict.headline == "Usable with care" and any("intervals" in text for text in verdict.advice)
    assert reason in checks_of(read_run(folder))["intervals"].answer
    folder = write_run(tmp_path, with_interval(result, 0.5))
    check = checks_of(read_run(folder))["intervals"]
    assert judge(folder).headline == "No fault found"
    # The calibration holds on average over scans; it does not promise the share of this one.
    assert "expected to contain the true value in 90% of the pixels on average" in check.answer
    assert check.answer.startswith("For scans like those of the calibration") and "25%" in check.answer


def test_an_interrupted_run_is_not_relied_on(tmp_path):
    verdict = judge(write_run(tmp_path, complete=False))
    assert verdict.headline == "Do not rely on this result yet"
    assert "Repeat the command to resume the run." in verdict.advice


def test_the_alignment_of_an_earlier_run_is_not_shown(tmp_path, page):
    assert "shifts of 0.7" in page.text
    folder = write_run(tmp_path, motion=True)
    summary = json.loads((folder / "summary.json").read_text())
    del summary["alignment"]
    (folder / "summary.json").write_text(json.dumps(summary))
    assert read_run(folder).motion is None


def test_a_file_with_nothing_but_slices_has_a_report(tmp_path):
    bare = Result.of_volume(volume(), np.deg2rad([0.0, 45.0, 90.0]), center=16.0, columns=32)
    bare.save(tmp_path / "bare")
    (tmp_path / "bare" / "summary.json").unlink()
    page = page_of(tmp_path / "bare")
    assert page.all("h2")[0].text.strip() == "No fault found, but not fully checked"
    assert page.all("h1")[0].text.strip() == "bare" and not page.all("input", type="radio")


def test_the_same_run_gives_the_same_file_with_the_mark(folder, page, tmp_path):
    path = write_report(read_run(folder), tmp_path / "report.html", in_options)
    assert Page(path.read_text()).elements == page.elements and has_mark(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "does not exist; expected the output folder"),
        ("empty", "contains no recon.h5"),
        ("file", "is a file"),
        ("summary", "is not valid JSON"),
    ],
)
def test_a_folder_without_a_run_is_refused(tmp_path, content, message):
    path = tmp_path / "out"
    if content == "file":
        path.write_text("no folder")
    elif content == "empty":
        path.mkdir()
    elif content == "summary":
        write_run(path, dataclasses.replace(make_result(), warnings=[]))
        (path / "summary.json").write_text("{")
    with pytest.raises((OSError, ValueError), match=message):
        read_run(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"inputs": [1]},
        {"inputs": {"scan": [1]}},
        {"inputs": {"scan": {"path": "/scan.h5", "files": 1}}},
        {"inputs": {"scan": {"path": "/scan.h5", "files": "1", "bytes": 1, "sha256": None}}},
        {"identity": "x"},
        {"alignment": 3},
        {"command": ["pfitre"]},
        {"complete": "yes"},
    ],
    ids=str,
)
def test_a_damaged_summary_is_refused_with_its_name(tmp_path, entry):
    write_run(tmp_path, **entry)
    with pytest.raises(ValueError, match=r"summary\.json is damaged: .* is .*; expected"):
        read_run(tmp_path)
