"""A scan that grows is reconstructed as its views arrive."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_stack
from typer.testing import CliRunner

from pfitre_jax import cli
from pfitre_jax.data.readers.growing import GrowingScan
from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.models.unet import UNetConfig
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.reconstruction import live, methods

DISCS = [[(2.0, 1.0, 6.0, 3.0)], [(-3.0, 2.0, 5.0, 2.0)]]
SETTINGS = methods.Settings.create("cgls")

#: Writes the views of a stack one after the other, in a process of its own.
WRITER = """
import sys, time, h5py, numpy as np
source = np.load(sys.argv[2])
stack, theta = source["stack"], source["theta"]
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset("exchange/data", (0, *stack.shape[1:]), maxshape=(None, *stack.shape[1:]),
                               chunks=(1, *stack.shape[1:]), dtype="f4")
    angles = file.create_dataset("exchange/theta", (0,), maxshape=(None,), chunks=(16,), dtype="f8")
    file.swmr_mode = True
    print("open", flush=True)
    for k in range(len(stack)):
        for dataset, value in ((data, stack[k]), (angles, np.rad2deg(theta[k]))):
            dataset.resize(k + 1, axis=0)
            dataset[k] = value
            dataset.flush()
        time.sleep(float(sys.argv[3]))
"""


def write_all(path, views=20):
    with h5py.File(path, "w") as file:
        file["exchange/data"] = disc_stack(DISCS)[:views]
        file["exchange/theta"] = np.rad2deg(THETA)[:views]


def test_views_that_are_to_come_count_for_nothing():
    """The norm and the kernel of the views that are there, however many there is room for."""
    few, all_ = (Projector(ParallelGeometry.create(theta, COLUMNS)) for theta in (THETA[:12], THETA))
    weights = jnp.asarray(np.arange(len(THETA)) < 12, jnp.float32)
    padded = jax.jit(lambda A: A.norm_squared(view_weights=weights))(all_)
    assert float(padded) == pytest.approx(float(few.norm_squared()), rel=1e-4)
    kernels = NormalKernel.create(all_, None, weights), NormalKernel.create(few)
    np.testing.assert_allclose(
        kernels[0].transfer, kernels[1].transfer, atol=1e-4 * kernels[1].transfer.max()
    )


def test_a_refresh_is_the_reconstruction_of_the_views_so_far():
    scan = Scan.create(disc_stack(DISCS), THETA, center=CENTER)
    found = live.refresh(scan, SETTINGS)
    for image, discs in zip(found.images, DISCS, strict=True):
        truth = disc_image(discs, COLUMNS)
        assert np.linalg.norm(image - truth) < 0.3 * np.linalg.norm(truth)
        assert image.sum() == pytest.approx(truth.sum(), rel=0.03)


def test_a_weight_is_found_for_the_views_so_far():
    """With noise the automatic one is better than none at all."""
    stack = disc_stack(DISCS)
    noise = np.random.default_rng(0).normal(0, 0.05 * stack.max(), stack.shape)
    scan = Scan.create((stack + noise).astype(np.float32), THETA, center=CENTER).take_views(np.arange(14))
    error = lambda **asked: sum(  # noqa: E731
        np.linalg.norm(image - disc_image(discs, COLUMNS))
        for image, discs in zip(
            live.refresh(scan, methods.Settings.create("fista-tv", **asked)).images, DISCS, strict=True
        )
    )
    assert error() < 0.8 * error(weight=0.0)


@pytest.mark.slow
def test_it_goes_on_from_the_last_result():
    """A few iterations more are worth many from the start."""
    scan = Scan.create(disc_stack(DISCS), THETA, center=CENTER)
    settings = methods.Settings.create("pfitre", prior=Nonnegative(), iterations=8)
    before = live.refresh(scan.take_views(np.arange(16)), settings)
    warm = live.refresh(scan, settings, before, warm_iterations=1)
    cold = live.refresh(scan, dataclasses.replace(settings, iterations=1))
    assert warm.iterations == cold.iterations == 1 and before.views == 16
    assert np.all(warm.residual < cold.residual)


@pytest.mark.slow
def test_rows_are_joined():
    """Of rows that are alike but for their noise, each by itself keeps it."""
    rows = 4
    stack = disc_stack([DISCS[0]] * rows)
    noise = np.random.default_rng(0).normal(0, 0.05 * stack.max(), stack.shape)
    scan = Scan.create((stack + noise).astype(np.float32), THETA, center=CENTER)
    settings = methods.Settings.create("admm-tv", joint=True, weight=0.01, iterations=10)
    apart, together = (
        live.refresh(scan, dataclasses.replace(settings, joint=joint)) for joint in (False, True)
    )
    spread = lambda found: np.std(found.images, axis=0).mean()  # noqa: E731
    assert spread(together) < 0.6 * spread(apart)
    again = live.refresh(scan, settings, together)
    cold = live.refresh(scan, dataclasses.replace(settings, iterations=5))
    assert again.iterations == cold.iterations == 5 and again.residual.mean() < cold.residual.mean()


@pytest.mark.slow
def test_a_prior_of_volumes_goes_on_from_the_last_result():
    """It begins with its own first reconstruction, and not again."""
    config = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=8, in_channels=4)
    card = {"trained_on": {"first_iterations": 4}}
    prior = dataclasses.replace(NetworkPrior.create(config, jax.random.key(0)), card=card)
    scan = Scan.create(disc_stack([DISCS[0]] * 3), THETA, center=CENTER)
    settings = methods.Settings.create("pfitre", joint=True, prior=prior, iterations=2)
    first = live.refresh(scan.take_views(np.arange(16)), settings)
    again = live.refresh(scan, settings, first)
    assert again.iterations == 1 and np.all(again.residual < 0.3) and np.isfinite(again.images).all()


def test_the_file_is_read_while_it_is_written(tmp_path):
    np.savez(tmp_path / "source.npz", stack=disc_stack(DISCS), theta=THETA)
    path = tmp_path / "scan.h5"
    args = [sys.executable, "-c", WRITER, path, tmp_path / "source.npz", "0.2"]
    with subprocess.Popen(args, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"open\n"
        growing = GrowingScan(path)
        seen = [growing.views()]
        while writer.poll() is None:
            views = growing.views()
            if views > seen[-1]:
                seen.append(views)
                raw = growing.read(slice(1, 2), views)
                np.testing.assert_allclose(raw.projections[:, 0], disc_stack(DISCS)[:views, 1], atol=1e-6)
                np.testing.assert_allclose(raw.theta_rad, THETA[:views], atol=1e-9)
    assert len(seen) > 3 and growing.views() == len(THETA)


def test_the_command_refreshes_until_the_scan_is_whole(tmp_path):
    write_all(tmp_path / "scan.h5")
    args = ["watch", tmp_path / "scan.h5", "--center", CENTER, "--method", "cgls", "--rows", "0:2"]
    done = CliRunner().invoke(cli.app, [*map(str, args), "--out", str(tmp_path / "out"), "--max-views", "20"])
    assert done.exit_code == 0 and "20 views, " in done.stderr, done.output
    images = tifffile.imread(tmp_path / "out" / "live.tif")
    truth = disc_image(DISCS[1], COLUMNS)
    assert np.linalg.norm(images[1] - truth) < 0.3 * np.linalg.norm(truth)
    assert (tmp_path / "out" / "live.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--refresh-views", "0"], "--refresh-views is 0; expected more than 0"),
        (["--step", "0"], "--refresh-views is 0; expected more than 0"),
        (["--joint"], "--joint without --rows; expected --rows A:B"),
        (["--joint", "--rows", "1:2", "--method", "admm-tv", "--tv-weight", "1"], "is one row; expected two"),
        (["--joint", "--rows", "0:2", "--method", "cgls"], "solves every row separately"),
        (["--rho", "much"], "--rho is 'much'; expected a number or 'auto'"),
        (["--rho", "0.01", "--method", "cgls"], "method 'cgls' takes no --rho"),
        (["--prior", "volume"], "uses the neighbouring rows of every row"),
        (["--rows", "5:9"], "the rows 5:9 are not in"),
        (["--center", "99"], "the centre 99 is outside the detector"),
    ],
)
def test_what_cannot_be_watched_is_refused(tmp_path, more, said):
    write_all(tmp_path / "scan.h5")
    args = [
        "watch",
        str(tmp_path / "scan.h5"),
        "--center",
        str(CENTER),
        "--out",
        str(tmp_path / "out"),
        *more,
    ]
    done = CliRunner().invoke(cli.app, args)
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
