"""Line integrals that are negative as a whole are refused with their likely causes; others are not."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import CENTER, THETA, THETA_DEG, disc_stack
from pfitre_command import pfitre

from pfitre_jax.data.scan import Scan
from pfitre_jax.data.sign import check_sign

DISCS = [[(1.0, -2.0, 10.0, 0.02), (5.0, 3.0, 2.3, 0.04), (-4.0, -3.0, 2.0, -0.015)]] * 3
STACK = disc_stack(DISCS)
NOISE = np.random.default_rng(0).normal(0, 0.02, STACK.shape)


@pytest.mark.parametrize("level", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("noise", [0, 1])
def test_an_inverted_scan_is_refused(level, noise):
    with pytest.raises(ValueError, match=r"negative as a whole .*multiply them by -1 .*data='transmission'"):
        check_sign(Scan.create(level * (noise * NOISE - STACK), THETA))


def test_a_weak_sample_beside_air_of_either_sign_is_accepted():
    small = disc_stack([[(5.0, 3.0, 2.3, 0.04)]] * 3)
    for level in (-0.3, -0.05, 0.0, 0.05):
        check_sign(Scan.create(small + level * small.max() + 0.1 * NOISE, THETA))
    check_sign(Scan.create(NOISE, THETA))


def test_data_of_both_signs_are_accepted():
    check_sign(Scan.create(disc_stack([[(5.0, 3.0, 4.0, -1.0), (-5.0, 0.0, 4.0, 0.5)]] * 3), THETA))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (-STACK, (), "multiply them by -1"),
        (60000 * np.exp(-STACK), ("--data", "transmission"), "the transmission exceeds 1: divide"),
    ],
)
@pytest.mark.parametrize("command", ["recon", "inspect"])
def test_the_commands_refuse_it_and_name_the_options(values, options, words, command, tmp_path):
    scan, out = tmp_path / "scan.npz", tmp_path / "out"
    np.savez(scan, projections=values, theta_deg=THETA_DEG, center=CENTER)
    more = ("--method", "fbp", "--out", out) if command == "recon" else ()
    done = pfitre(command, scan, *options, *more)
    assert done.exit_code == 2 and not out.exists(), done.output
    assert "negative as a whole" in done.stderr and words in done.stderr and "--data counts" in done.stderr
