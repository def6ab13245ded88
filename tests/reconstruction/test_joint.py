"""A joint reconstruction: all rows at once, or slabs that overlap."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analytic import CENTER, THETA, disc_stack

import pfitre_jax as pf
from pfitre_jax.data.scan import Scan
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.reconstruction import slabs as volume
from pfitre_jax.reconstruction.slabs import slabs
from pfitre_jax.solvers.loop import Status

ROWS = 24
#: A ball: rows near the middle hold wider discs.
BALL = [[(1.0, -2.0, float(np.sqrt(max(150 - (r - 11.5) ** 2, 0))), 1.0)] for r in range(ROWS)]


@pytest.fixture(scope="module")
def scan() -> Scan:
    """A noisy scan of a ball over 75 of 180 degrees."""
    views = slice(0, 9)
    stack = disc_stack(BALL)[views]
    stack = stack + 0.03 * stack.max() * np.random.default_rng(0).standard_normal(stack.shape)
    return Scan.create(stack.astype(np.float32), THETA[views], center=CENTER)


def test_slabs_overlap_and_stay_in_the_scan():
    def check(actual, numbers, inner):
        np.testing.assert_array_equal(actual[0], numbers)
        np.testing.assert_array_equal(actual[1], inner)

    check(slabs(slice(3, 5), 2, 1, 2, 9), [[1, 2, 3, 4, 5, 6]], [[2, 3]])
    check(slabs(slice(0, 2), 2, 1, 2, 9), [[0, 1, 2, 3, 4, 5]], [[0, 1]])
    check(slabs(slice(8, 9), 2, 1, 2, 9), [[3, 4, 5, 6, 7, 8]], [[5, 5]])
    check(slabs(slice(0, 4), 4, 2, 1, 9), [[0, 1, 2, 3], [1, 2, 3, 4]], [[0, 1], [1, 2]])
    # The slab is limited to the rows of the scan.
    check(slabs(slice(2, 3), 2, 1, 2, 4), [[0, 1, 2, 3]], [[2, 2]])
    # Without a halo the last row is repeated.
    check(slabs(slice(4, 6), 4, 1, 0, 9), [[4, 5, 5, 5]], [[0, 1, 2, 3]])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fista-tv", "admm-tv"])
def test_joint_rows_have_less_variation_along_the_rows(scan, method):
    settings = dict(weight=0.01, iterations=60)
    alone, together = (pf.reconstruct(scan, method, joint=joint, **settings) for joint in (False, True))
    rough = lambda result: np.linalg.norm(np.diff(result.volume, axis=0))  # noqa: E731
    assert rough(together) < 0.93 * rough(alone)
    assert together.volume.shape == alone.volume.shape and together.scale == alone.scale
    # All rows share the convergence status of the volume.
    assert len(set(together.status.tolist())) == 1 and together.residual.shape == (ROWS,)


@pytest.mark.slow
def test_slabs_agree_with_the_whole_volume(scan, monkeypatch):
    settings = dict(method="admm-tv", joint=True, weight=0.01, iterations=50)
    whole = pf.reconstruct(scan, **settings).volume
    size = np.linalg.norm(whole)
    errors = {}
    for halo in (0, volume.HALO):
        monkeypatch.setattr("pfitre_jax.reconstruction.executor.HALO", halo)
        errors[halo] = np.linalg.norm(pf.reconstruct(scan, chunk=4, **settings).volume - whole) / size
    assert errors[volume.HALO] < 0.02 and errors[volume.HALO] < errors[0] / 3, errors


def test_a_diverged_row_marks_the_whole_volume(scan):
    """The rows are solved together, so each one has the status of the volume."""
    broken = scan.projections.copy()
    broken[3, 5, 16] = 1e30
    result = pf.reconstruct(
        Scan.create(broken, scan.theta_rad, center=CENTER), "admm-tv", joint=True, weight=0.01, scale=1.0
    )
    assert set(result.status.tolist()) == {int(Status.DIVERGED)} and np.isfinite(result.volume).all()


def test_rows_without_signal_are_empty(scan):
    stack = scan.projections.copy()
    stack[:, 7] = 0
    result = pf.reconstruct(Scan.create(stack, scan.theta_rad, center=CENTER), "admm-tv", joint=True)
    assert not result.volume[7].any() and result.volume[6].any()


def test_joint_is_refused_for_row_by_row_methods(scan):
    with pytest.raises(ValueError, match=r"sirt solves every row separately.*one of fista-tv, .*pfitre"):
        pf.reconstruct(scan, "sirt", joint=True)


def test_disagreement_of_a_volume_prior_includes_neighbouring_rows(scan):
    """The prior averages neighbouring rows, which leaves a volume with identical rows unchanged."""
    few = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8, in_channels=4)
    card = {"disagreement": {"limit": 0.01}}

    class Middling(NetworkPrior):
        def denoise(self, v, **context):
            assert v.ndim == 3
            return (jnp.roll(v, 1, axis=0) + jnp.roll(v, -1, axis=0)) / 2

    jax.tree_util.register_dataclass(
        Middling, data_fields=["params", "mirror"], meta_fields=["config", "card", "symmetric"]
    )
    prior = Middling({}, few, card)
    identical = np.broadcast_to(scan.projections[:, 11:12], scan.projections.shape)
    angles = dict(theta_rad=scan.theta_rad, center=CENTER)
    differ = np.where(np.arange(ROWS)[None, :, None] % 2, scan.projections, 0.3 * scan.projections)
    warned = [
        "does not agree with the data"
        in " ".join(pf.reconstruct(Scan.create(stack, **angles), **how).warnings)
        for stack in (identical, differ)
        for how in [dict(method="pfitre", joint=True, prior=prior, iterations=2)]
    ]
    assert warned == [False, True]
