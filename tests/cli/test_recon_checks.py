"""Tests of ``pfitre recon --validate --resolution``."""

import json

import numpy as np
from analytic import CENTER, THETA_DEG, disc_stack
from pfitre_command import pfitre

from pfitre_jax.reconstruction.result import read_result

OPTIONS = ("--method", "fista-tv", "--iterations", 5, "--tv-weight", 1e-3, "--support", "disc")


def test_held_out_views_and_resolution_are_printed_drawn_and_recorded(folder):
    out = folder / "checked"
    command = ("recon", folder / "scan.npz", *OPTIONS, "--validate", "--resolution", "--out", out)
    done = pfitre(*command)
    assert done.exit_code == 0, done.output
    assert "prediction error of held-out views" in done.stdout and "4 extrapolating" in done.stdout
    assert "resolution, all directions:" in done.stdout
    summary = json.loads((out / "summary.json").read_text())
    # The scan has no wedge, so that the ends are neighbours.
    assert np.ptp(summary["validation"]["extrapolating"]["views"]) in (3, 19)
    assert summary["resolution"]["rows"] == 3
    assert read_result(out / "recon.h5").validation["verdict"] == summary["validation"]["verdict"]
    assert "already contains this result" in pfitre(*command).output
    # Without the checks it is another run.
    assert pfitre("recon", folder / "scan.npz", *OPTIONS, "--out", out).exit_code == 2


def test_too_few_views_for_the_checks(folder):
    views = slice(0, 20, 4)
    np.savez(
        folder / "five.npz",
        projections=disc_stack([[(3.0, 1.0, 6.0, 1.0)]])[views],
        theta_deg=THETA_DEG[views],
        center=CENTER,
    )
    done = pfitre("recon", folder / "five.npz", *OPTIONS, "--validate", "--out", folder / "few")
    assert done.exit_code == 2
    assert "--validate for a scan of 5 views; expected at least 10" in " ".join(done.stderr.split())
    assert not (folder / "few").exists()


def test_faces_beside_the_sample_are_refused(folder):
    done = pfitre(
        "recon", folder / "scan.npz", "--method", "fbp", "--support", "faces:90,99", "--out", folder / "no"
    )
    assert done.exit_code == 2
    assert "faces:90,99 contains no pixel" in " ".join(done.stderr.split())
