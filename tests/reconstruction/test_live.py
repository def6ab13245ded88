"""Repeated reconstruction of a scan while it grows."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_stack

from pfitre_jax.data.scan import Scan
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.normal import NormalKernel
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.reconstruction import live
from pfitre_jax.reconstruction.method_settings import Settings

DISCS = [[(2.0, 1.0, 6.0, 3.0)], [(-3.0, 2.0, 5.0, 2.0)]]


SETTINGS = Settings.create("cgls")


def test_views_without_weight_change_nothing():
    """Norm and kernel are those of the measured views, regardless of the allocated size."""
    few, all_ = (Projector(ParallelGeometry.create(theta, COLUMNS)) for theta in (THETA[:12], THETA))
    weights = jnp.asarray(np.arange(len(THETA)) < 12, jnp.float32)
    padded = jax.jit(lambda A: A.norm_squared(view_weights=weights))(all_)
    assert float(padded) == pytest.approx(float(few.norm_squared()), rel=1e-4)
    kernels = NormalKernel.create(all_, None, weights), NormalKernel.create(few)
    np.testing.assert_allclose(
        kernels[0].transfer, kernels[1].transfer, atol=1e-4 * kernels[1].transfer.max()
    )


def test_a_refresh_reconstructs_the_views_so_far():
    scan = Scan.create(disc_stack(DISCS), THETA, center=CENTER)
    frame = live.refresh(scan, SETTINGS)
    for image, discs in zip(frame.images, DISCS, strict=True):
        truth = disc_image(discs, COLUMNS)
        assert np.linalg.norm(image - truth) < 0.3 * np.linalg.norm(truth)
        assert image.sum() == pytest.approx(truth.sum(), rel=0.03)


def test_the_support_may_be_stated():
    """An image that is wider than the detector, and one that shrinks when views show less of the sample."""
    scan = Scan.create(disc_stack(DISCS), THETA, center=CENTER)
    mask = np.zeros((COLUMNS + 4, COLUMNS + 4))
    mask[8:30, 6:33] = 1
    stated = live.refresh(scan, Settings.create("cgls", support=mask))
    assert stated.images.shape[1:] == mask.shape
    assert np.all(stated.images[:, mask == 0] == 0) and np.all(stated.images.any(axis=0)[mask > 0])
    warm = live.refresh(scan, SETTINGS, stated)
    assert warm.images.shape[1:] == (COLUMNS, COLUMNS) and np.all(np.isfinite(warm.images))


def test_the_tv_weight_is_estimated_from_the_views_so_far():
    """On noisy data the automatic weight is better than none."""
    stack = disc_stack(DISCS)
    noise = np.random.default_rng(0).normal(0, 0.05 * stack.max(), stack.shape)
    scan = Scan.create((stack + noise).astype(np.float32), THETA, center=CENTER).take_views(np.arange(14))
    error = lambda **options: sum(  # noqa: E731
        np.linalg.norm(image - disc_image(discs, COLUMNS))
        for image, discs in zip(
            live.refresh(scan, Settings.create("fista-tv", **options)).images, DISCS, strict=True
        )
    )
    assert error() < 0.8 * error(weight=0.0)


@pytest.mark.slow
def test_a_refresh_starts_from_the_previous_result():
    """One iteration from it is better than one iteration from the initial estimate."""
    scan = Scan.create(disc_stack(DISCS), THETA, center=CENTER)
    settings = Settings.create("pfitre", prior=Nonnegative(), iterations=8)
    before = live.refresh(scan.take_views(np.arange(16)), settings)
    warm = live.refresh(scan, settings, before, warm_iterations=1)
    cold = live.refresh(scan, dataclasses.replace(settings, iterations=1))
    assert warm.iterations == cold.iterations == 1 and before.views == 16
    assert np.all(warm.residual < cold.residual)


@pytest.mark.slow
def test_joint_rows_reduce_noise():
    """Rows that differ only in their noise are denoised together."""
    rows = 4
    stack = disc_stack([DISCS[0]] * rows)
    noise = np.random.default_rng(0).normal(0, 0.05 * stack.max(), stack.shape)
    scan = Scan.create((stack + noise).astype(np.float32), THETA, center=CENTER)
    settings = Settings.create("admm-tv", joint=True, weight=0.01, iterations=10)
    apart, together = (
        live.refresh(scan, dataclasses.replace(settings, joint=joint)) for joint in (False, True)
    )
    spread = lambda frame: np.std(frame.images, axis=0).mean()  # noqa: E731
    assert spread(together) < 0.6 * spread(apart)
    again = live.refresh(scan, settings, together)
    cold = live.refresh(scan, dataclasses.replace(settings, iterations=5))
    assert again.iterations == cold.iterations == 5 and again.residual.mean() < cold.residual.mean()


@pytest.mark.slow
def test_a_volume_prior_starts_from_the_previous_result():
    """Only its first reconstruction starts from the initial estimate."""
    config = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1,), embedding=8, in_channels=4)
    card = {"trained_on": {"first_iterations": 4}}
    prior = dataclasses.replace(NetworkPrior.create(config, jax.random.key(0)), card=card)
    scan = Scan.create(disc_stack([DISCS[0]] * 3), THETA, center=CENTER)
    settings = Settings.create("pfitre", joint=True, prior=prior, iterations=2)
    first = live.refresh(scan.take_views(np.arange(16)), settings)
    again = live.refresh(scan, settings, first)
    assert again.iterations == 1 and np.all(again.residual < 0.3) and np.isfinite(again.images).all()
