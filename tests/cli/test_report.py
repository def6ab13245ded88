"""Tests of ``pfitre report`` and ``pfitre compare``."""

import dataclasses

import pytest
from finished_runs import make_result, validation, without_figures, write_run
from html_pages import Page
from pfitre_command import pfitre


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of one scan, and one of another scan."""
    folder, result = tmp_path_factory.mktemp("runs"), make_result()
    other = dataclasses.replace(
        result, volume=2 * result.volume, validation=validation(0.3, None), warnings=["pass joint=True"]
    )
    write_run(folder / "a [bold]", result)
    write_run(folder / "b", other)
    write_run(folder / "c", result, sha256="c" * 64)
    write_run(folder / "damaged", result, inputs=[1])
    return folder


def test_report_writes_a_page_with_options_in_place_of_arguments(folders, monkeypatch):
    without_figures(monkeypatch)
    done = pfitre("report", folders / "b")
    path = folders / "b" / "report.html"
    assert done.exit_code == 0 and done.stdout == f"{path}\n", done.output
    text = Page(path.read_text()).text
    assert "Pass --joint." in text and "joint=True" not in text
    again = pfitre("report", folders / "b", "--out", folders / "elsewhere.html")
    assert again.exit_code == 0 and (folders / "elsewhere.html").read_text() == path.read_text()


def test_compare_prints_a_table_and_writes_a_page(folders, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = pfitre("compare", folders / "a [bold]", folders / "b")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "comparison.html").exists() and done.stdout.endswith("comparison.html\n")
    table = " ".join(done.stdout.split())
    assert "A: pfitre (a [bold])" in table and "0.1000 │ 0.3000" in table
    # The second run is twice the first one.
    assert "the same relative to A │ │ 100.0%" in table and "correlation with A │ │ 1.0000" in table


REFUSED = {
    "no such folder": ("report {0}/none", "does not exist; expected the output folder of pfitre recon"),
    "no page": ("report {0}/b --out {0}/page.txt", "expected an HTML file, a name that ends in .html"),
    "a foreign page": ("report {0}/b --out {0}/foreign.html", "was not written by pfitre"),
    "a damaged summary": (
        "report {0}/damaged",
        "summary.json is damaged: inputs is [1]; expected the output",
    ),
    "one run": ("compare {0}/b --out {0}/x.html", "expected 2 to 6 output folders"),
    "another scan": ("compare {0}/b {0}/c --out {0}/x.html", "are runs of different scans"),
    "no run": ("compare {0}/b {0} --out {0}/x.html", "contains no recon.h5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_line(folders, case):
    line, message = REFUSED[case]
    (folders / "foreign.html").write_text("<html></html>")
    done = pfitre(*(word.format(folders) for word in line.split()))
    assert done.exit_code == 2 and done.stdout == "", done.output
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (folders / "x.html").exists()


def test_the_largest_number_of_runs_is_six(folders):
    done = pfitre("compare", *[folders / "b"] * 7, "--out", folders / "x.html")
    assert done.exit_code == 2 and "7 runs cannot be compared" in done.stderr
