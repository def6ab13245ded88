"""Several elements of a scan with one geometry: ``pfitre recon --element Cu,Fe,Zn``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from analytic import THETA
from elements_scan import ELEMENTS, elements_scan
from pfitre_command import pfitre

from pfitre_jax.data.motion import Motion
from pfitre_jax.estimation import alignment
from pfitre_jax.plotting import style
from pfitre_jax.reconstruction import resumable_run
from pfitre_jax.reconstruction.result import read_result
from pfitre_jax.reporting import compare_runs, read_run

#: A method without TV, which needs no long compilation.
METHOD = ("--method", "cgls", "--iterations", 5, "--support", "disc")
TOGETHER = ("--element", "Cu,Fe,Zn")
RESULT = {"recon.h5", "recon.tif", "preview.png", "summary.json"}
RNG = np.random.default_rng(3)
#: The motion that the tests below state as the estimate.
MOTION = dataclasses.replace(
    Motion.none(THETA, 16.8),
    shifts=RNG.normal(0, 0.5, len(THETA)),
    gain=1 + RNG.normal(0, 0.05, len(THETA)),
    offset=RNG.normal(0, 0.1, len(THETA)),
)


@pytest.fixture(scope="module", name="scan")
def _scan(tmp_path_factory) -> Path:
    return elements_scan(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module", name="out")
def _out(scan, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("together") / "out"
    done = pfitre("recon", scan, *TOGETHER, *METHOD, "--out", out)
    assert done.exit_code == 0, done.output
    assert "rotation axis of all elements: that of Cu_K (signal-to-noise ratio Cu_K " in done.stderr
    return out


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Pictures are empty, which saves most of the time; those of ``out`` are drawn."""
    monkeypatch.setattr(style, "save_png", lambda figure, path: path.write_bytes(b"\x89PNG pfitre_jax"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())


def volume(folder: Path) -> np.ndarray:
    return read_result(folder / "recon.h5").volume


@pytest.fixture
def estimates(monkeypatch) -> list[str]:
    """States the motion as the estimate of every alignment, and lists the elements that were aligned."""
    aligned: list[str] = []

    def align(scan, start, **options):
        aligned.append(scan.provenance.get("element", "sum"))
        known = dataclasses.replace(MOTION, element=scan.provenance.get("element"))
        return alignment.Alignment(known, np.array([0.2, 0.1]), np.array([1, 1]), [], ["nothing"])

    monkeypatch.setattr(alignment, "align", align)
    return aligned


def test_each_element_has_a_complete_result_and_one_file_leads_to_all(out):
    assert names(out) == {*ELEMENTS, "recon.h5", "preview.png", "summary.json"}
    assert all(names(out / element) == RESULT for element in ELEMENTS)
    with h5py.File(out / "recon.h5") as file:
        assert set(file) == set(ELEMENTS) == set(file.attrs["elements"])
        for element in ELEMENTS:
            data = file[f"{element}/exchange/data"][()]
            np.testing.assert_array_equal(data, volume(out / element))
            np.testing.assert_array_equal(data, tifffile.imread(out / element / "recon.tif"))
    assert (out / "preview.png").read_bytes().startswith(b"\x89PNG")
    content = summary(out)
    assert list(content["elements"]) == list(ELEMENTS) and content["align_on"] == ["Cu_K"]
    assert content["complete"] and content["elements"]["Zn_K"]["folder"] == "Zn_K"
    for element in ELEMENTS:
        assert content["elements"][element]["scale"] == summary(out / element)["scale"]
        assert summary(out / element)["scan"]["center"].endswith(", of Cu_K")
    assert len({content["elements"][element]["center"] for element in ELEMENTS}) == 1


def test_elements_are_the_same_together_and_one_by_one(scan, out, tmp_path):
    center = summary(out / "Cu_K")["center"]
    # The strongest element has its own axis.
    for element, options in (("Cu", ()), ("Fe", ("--center", center)), ("Zn", ("--center", center))):
        alone = tmp_path / element
        done = pfitre("recon", scan, "--element", element, *options, *METHOD, "--out", alone)
        assert done.exit_code == 0, done.output
        expected = volume(alone)
        error = np.abs(volume(out / f"{element}_K") - expected).max()
        assert error <= 1e-6 * np.abs(expected).max()
        assert summary(alone)["scale"] == summary(out / f"{element}_K")["scale"]
        # "Cu" alone and "Cu_K" of several are the same element, and copper is not iron.
        assert len(compare_runs([read_run(out / f"{element}_K"), read_run(alone)]).rows) == 3
    with pytest.raises(ValueError, match=r"different elements \(Fe_K and Zn_K\)"):
        compare_runs([read_run(out / "Fe_K"), read_run(alone)])


def test_the_command_recognises_its_own_result(scan, out):
    before = (out / "summary.json").stat().st_mtime_ns
    # "all" leaves out the scattered radiation.
    for words in (TOGETHER, ("--element", "Zn_K,cu,Fe"), ("--element", "all")):
        done = pfitre("recon", scan, *words, *METHOD, "--out", out)
        assert done.exit_code == 0 and "already contains these results" in done.stderr, done.output
    assert (out / "summary.json").stat().st_mtime_ns == before
    other = pfitre("recon", scan, "--element", "Cu,Zn", *METHOD, "--out", out)
    assert other.exit_code == 2 and "element was Cu_K,Fe_K,Zn_K, is Cu_K,Zn_K" in other.stderr
    single = pfitre("recon", scan, "--element", "Cu", *METHOD, "--out", out)
    assert single.exit_code == 2 and "holds another result" in single.stderr


def test_one_alignment_is_applied_to_all_elements(scan, tmp_path, estimates):
    out = tmp_path / "out"
    done = pfitre("recon", scan, *TOGETHER, "--align", *METHOD, "--out", out)
    assert done.exit_code == 0, done.output
    assert estimates == ["Cu_K"]
    files = {f"alignment.{suffix}" for suffix in ("csv", "xf", "aln", "png")}
    assert files <= names(out)
    for element in ELEMENTS:
        assert names(out / element) == RESULT | files
        motion = Motion.load(out / element / "alignment.csv")
        np.testing.assert_allclose(motion.shifts, MOTION.shifts, atol=1e-8)
        assert summary(out / element)["center"] == MOTION.center
        # Gains and offsets are those of one element, in its units.
        own = MOTION if element == "Cu_K" else MOTION.without_gain()
        np.testing.assert_allclose(motion.gain, own.gain, atol=1e-8)
        np.testing.assert_allclose(motion.offset, own.offset, atol=1e-8)
        alone = tmp_path / element
        file = out / element / "alignment.csv"
        done = pfitre("recon", scan, "--element", element, "--alignment", file, *METHOD, "--out", alone)
        assert done.exit_code == 0, done.output
        np.testing.assert_allclose(volume(out / element), volume(alone), atol=1e-6 * volume(alone).max())
    assert summary(out)["alignment"]["pinned"] == ["nothing"]
    # That of copper fits the others but for its gains, alone and together with others.
    for words, result in (("Zn", "zinc"), ("Zn,Fe", "two/Zn_K")):
        file, place = out / "Cu_K" / "alignment.csv", tmp_path / result.split("/")[0]
        done = pfitre("recon", scan, "--element", words, "--alignment", file, *METHOD, "--out", place)
        assert done.exit_code == 0 and done.stderr.count("because they are those of Cu_K and") == 1, (
            done.output
        )
        np.testing.assert_allclose(volume(tmp_path / result), volume(out / "Zn_K"), atol=1e-6)


@pytest.mark.parametrize(
    ("align_on", "aligned", "reference"),
    [("Zn", "Zn_K", ["Zn_K"]), ("sum", None, ["Cu_K", "Fe_K"]), ("compton", "compton", ["compton"])],
)
def test_the_alignment_is_that_of_the_stated_element(scan, tmp_path, estimates, align_on, aligned, reference):
    """Also one that is not reconstructed, or the sum."""
    out = tmp_path / "out"
    words = ("--element", "Cu,Fe", "--align", "--align-on", align_on)
    done = pfitre("recon", scan, *words, *METHOD, "--rows", "0:1", "--out", out)
    assert done.exit_code == 0, done.output
    assert summary(out)["align_on"] == reference and len(estimates) == 1
    assert aligned is None or estimates == [aligned]
    assert Motion.load(out / "Cu_K" / "alignment.csv").gain.tolist() == [1] * len(THETA)


def test_one_element_is_aligned_on_another(scan, tmp_path, estimates):
    """Its result is that of a single element."""
    out = tmp_path / "out"
    words = ("--element", "Fe", "--align", "--align-on", "Cu")
    done = pfitre("recon", scan, *words, *METHOD, "--rows", "0:1", "--out", out)
    assert done.exit_code == 0, done.output
    assert estimates == ["Cu_K"]
    assert names(out) == RESULT | {f"alignment.{suffix}" for suffix in ("csv", "xf", "aln", "png")}
    assert summary(out)["scan"]["element"] == "Fe_K" and summary(out)["identity"]["align_on"] == ["Cu_K"]


def test_an_interrupted_run_resumes(scan, tmp_path, estimates, monkeypatch):
    """Finished elements and the alignment are kept."""
    out, command = tmp_path / "out", ("recon", scan, *TOGETHER, "--align", *METHOD)
    original, solved = resumable_run.reconstruct_to, []

    def stop(folder, *args, **options):
        solved.append(folder.name)
        if folder.name == "Fe_K":
            raise KeyboardInterrupt
        return original(folder, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(resumable_run, "reconstruct_to", stop)
        assert pfitre(*command, "--out", out).exit_code == 130
    assert solved == ["Cu_K", "Fe_K"] and names(out / "Cu_K") >= RESULT and not (out / "recon.h5").exists()
    finished = (out / "Cu_K" / "summary.json").stat().st_mtime_ns
    done = pfitre(*command, "--out", out)
    assert done.exit_code == 0, done.output
    assert "resuming: finished elements are kept" in done.stderr and estimates == ["Cu_K"]
    assert (out / "Cu_K" / "summary.json").stat().st_mtime_ns == finished
    assert set(summary(out)["elements"]) == set(ELEMENTS) and not (out / "partial").exists()


def test_an_interrupted_run_that_overwrites_resumes(scan, tmp_path, monkeypatch):
    """Results of the earlier run are replaced, also those that it had not reached."""
    out = tmp_path / "out"
    words = ("recon", scan, "--element", "Cu,Fe", *METHOD, "--out", out)
    assert pfitre(*words).exit_code == 0
    fewer = (*words, "--rows", "0:1")
    refused = pfitre(*fewer)
    assert refused.exit_code == 2 and "holds another result: rows was not set, is 0:1" in refused.stderr

    def stop(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resumable_run, "reconstruct_to", stop)
        assert pfitre(*fewer, "--overwrite").exit_code == 130
    done = pfitre(*fewer)
    assert done.exit_code == 0, done.output
    assert [len(volume(out / element)) for element in ("Cu_K", "Fe_K")] == [1, 1]


def test_folders_of_other_runs_and_files_of_others_are_kept(scan, tmp_path):
    out = tmp_path / "out"
    assert pfitre("recon", scan, "--element", "Fe", *METHOD, "--out", out / "Fe_K").exit_code == 0
    kept = (out / "Fe_K" / "recon.h5").read_bytes()
    done = pfitre("recon", scan, *TOGETHER, *METHOD, "--out", out)
    assert done.exit_code == 2 and "Fe_K holds another result" in done.stderr, done.output
    (out / "Zn_K").mkdir()
    (out / "Zn_K" / "recon.tif").write_bytes(b"precious")
    done = pfitre("recon", scan, "--element", "Cu,Zn", *METHOD, "--out", out)
    assert done.exit_code == 2 and "recon.tif was not written by pfitre" in done.stderr
    assert names(out) == {"Fe_K", "Zn_K"} and (out / "Fe_K" / "recon.h5").read_bytes() == kept


def test_an_element_without_signal_is_left_out(tmp_path):
    scan = elements_scan(tmp_path, ("Cu_K", "empty", "Zn_K"))
    out = tmp_path / "out"
    done = pfitre("recon", scan, "--element", "all", *METHOD, "--rows", "0:1", "--out", out)
    assert done.exit_code == 0, done.output
    assert "warning: empty is left out: all projections are 0" in done.stderr
    assert list(summary(out)["elements"]) == ["Cu_K", "Zn_K"] and "empty" in summary(out)["without_signal"]
    alone = pfitre("recon", scan, "--element", "empty,empty", *METHOD, "--out", tmp_path / "other")
    assert alone.exit_code == 2 and "names empty twice" in alone.stderr
    on_empty = pfitre("recon", scan, "--element", "Cu,Zn", "--align-on", "empty", "--out", tmp_path / "other")
    assert on_empty.exit_code == 2 and "--align-on is 'empty', which has no signal" in on_empty.stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--element", "Cu,Au"), "has no channel 'Au'; expected one of Cu_K, Fe_K, Zn_K, compton"),
        (("--element", "Cu,,Fe"), "--element is 'Cu,,Fe', with an empty name"),
        (("--element", "Cu,"), "with an empty name"),
        (("--element", ","), "with an empty name"),
        (("--element", "Cu,Fe,Cu_K"), "names Cu_K twice"),
        (("--element", "Cu,Fe", "--align-on", "Au"), "has no channel 'Au'"),
        (("--element", "Cu,Fe", "--align-on", "Cu+"), "with an empty name"),
        (("--align-on", "Cu"), "--align-on is Cu, without --element"),
        (("--element", "Cu,Fe", "--memory", 1e-9), "GiB are free"),
        (("--element", "Cu,Fe", "--center", 40), "outside the detector"),
        (("--element", "Cu,Fe", "--rows", "2:9"), "lie outside the scan"),
    ],
)
def test_invalid_elements_are_refused_in_one_line(scan, tmp_path, words, message):
    done = pfitre("recon", scan, *words, *METHOD, "--out", tmp_path / "out")
    assert done.exit_code == 2 and message in done.stderr, done.output
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


def test_several_elements_of_a_scan_with_one_channel_are_refused(folder, tmp_path):
    for words in ("Cu,Fe", "all"):
        done = pfitre("recon", folder / "scan.npz", "--element", words, *METHOD, "--out", tmp_path / "out")
        assert done.exit_code == 2 and "scan.npz has a single channel" in done.stderr, done.output
        assert "leave --element out" in done.stderr and not (tmp_path / "out").exists()


def test_the_memory_check_counts_the_elements(scan, tmp_path):
    done = pfitre("recon", scan, *TOGETHER, *METHOD, "--memory-check", "--out", tmp_path / "out")
    assert done.exit_code == 0 and "elements  3" in done.stdout, done.output
    assert not (tmp_path / "out").exists()
