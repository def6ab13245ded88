"""Scans and other packages of the comparison ``benchmarks.peers``."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import disc_image, disc_sinogram

from benchmarks.peers.packages import PEERS
from benchmarks.peers.scans import PeerScan, cropped

N, THETA, CENTER = 64, np.deg2rad(np.arange(0, 180, 3.0)), 29.3
#: x, y, radius and value: no symmetry of the square maps the image to itself.
DISCS = [(9.0, 14.0, 7.0, 1.0), (-16.0, 5.0, 5.0, 0.6), (2.0, -17.0, 4.0, 0.8)]


@pytest.fixture(scope="module")
def scan() -> PeerScan:
    image = disc_image(DISCS, N)
    sinogram = disc_sinogram(DISCS, THETA, N, CENTER).astype(np.float32)
    return PeerScan("discs", sinogram, THETA, CENTER, image, np.ones((N, N), bool))


@pytest.mark.parametrize(
    "name",
    [
        "ASTRA, FBP",
        "ASTRA, SIRT",
        "ASTRA, CGLS",
        "scikit-image, FBP",
        "scikit-image, SART",
        "SCICO, TV by ADMM",
        "DeepInverse, TV",
        "svmbir",
    ],
)
def test_a_package_reconstructs_a_scan_with_an_axis_off_the_middle(scan, name):
    """The image has our orientation and position: a turned or moved one is worse than none."""
    peer = PEERS[name]
    if peer.version() is None:
        pytest.skip(f"{peer.package} is not installed")
    if name == "ASTRA, CGLS":
        image = peer.reconstruct(scan, iterations=12)
    else:
        # The last settings are those of the most iterations or, of total variation, the largest weight.
        image = peer.reconstruct(scan, **list(peer.combinations())[-1])
    nothing = scan.psnr(np.zeros((N, N)))
    assert scan.psnr(image) > nothing + 6
    for wrong in (image.T, image[::-1], image[:, ::-1], np.roll(image, 4, 0), np.roll(image, 4, 1)):
        assert scan.psnr(wrong) < scan.psnr(image) - 3


def test_resampled_views_are_those_of_a_detector_with_another_axis(scan):
    moved = scan.resampled((N - 1) / 2)
    exact = disc_sinogram(DISCS, THETA, N, (N - 1) / 2)
    assert np.linalg.norm(moved - exact) < 0.03 * np.linalg.norm(exact)


def test_images_are_cropped_and_padded_about_their_middle():
    image = np.arange(25.0).reshape(5, 5)
    assert cropped(image, 3).tolist() == image[1:4, 1:4].tolist()
    assert cropped(image, 7)[1:6, 1:6].tolist() == image.tolist() and cropped(image, 7)[0].max() == 0
