"""Files of an earlier result that a new one removes, and files that it never does."""

import json

import numpy as np
import pytest

from pfitre_jax.cli.obsolete_files import earlier_element_folders, obsolete_files
from pfitre_jax.reconstruction.result import Result

ALIGNMENT = ["alignment.csv", "alignment.xf", "alignment.aln", "alignment.png"]
ADAPTATION = ["prior.npz", "adaptation.png"]


@pytest.mark.parametrize(
    "summary, expected",
    [
        ({}, []),
        ({"alignment": {}}, ALIGNMENT),
        ({"selection": {"adaptation": {}}}, ADAPTATION),
        ({"alignment": {}, "selection": {"adaptation": {}}}, ALIGNMENT + ADAPTATION),
        ([1], []),
        ({"selection": None}, []),
    ],
)
def test_files_that_the_earlier_result_records_are_obsolete(tmp_path, summary, expected):
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert obsolete_files(tmp_path, {}) == ["report.html", *expected]


def test_a_file_that_the_new_run_reads_is_kept(tmp_path):
    summary = {"alignment": {}, "selection": {"adaptation": {}}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    inputs = {
        "prior": {"path": str((tmp_path / "prior.npz").resolve())},
        "angles": {"path": str((tmp_path / "alignment.csv").resolve())},
    }
    names = obsolete_files(tmp_path, inputs)
    assert "prior.npz" not in names and "alignment.csv" not in names and "alignment.xf" in names


def test_only_files_of_this_package_are_removed(tmp_path):
    result = Result.of_volume(np.ones((1, 4, 4), np.float32), [0.0, 0.5], center=1.5, columns=4)
    (tmp_path / "report.html").write_text("<footer>Made by pfitre_jax 0.3.0.</footer>")
    (tmp_path / "alignment.csv").write_text("of another program")
    result.save(tmp_path, obsolete=["report.html", "alignment.csv"])
    assert {path.name for path in tmp_path.iterdir()} >= {"alignment.csv", "recon.h5"}
    assert not (tmp_path / "report.html").exists()


def test_folders_of_elements_that_the_new_result_does_not_have_are_named(tmp_path):
    result = Result.of_volume(np.ones((1, 4, 4), np.float32), [0.0, 0.5], center=1.5, columns=4)
    result.save(tmp_path / "Fe_K")
    result.save(tmp_path / "Cu_K")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recon.h5").write_bytes(b"of another program")
    assert earlier_element_folders(tmp_path, ["Cu_K"]) == []
    elements = {name: {"folder": name} for name in ("Cu_K", "Fe_K", "mine", "gone")}
    (tmp_path / "summary.json").write_text(json.dumps({"elements": elements}))
    assert earlier_element_folders(tmp_path, ["Cu_K"]) == ["Fe_K"]
