"""Two held-out scenes, their exact data over 90 degrees, and a small prior to be trained on them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.models.unet_config import UNetConfig
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.network import NetworkPrior
from pfitre_jax.solvers.slice_problem import SliceProblem
from pfitre_jax.twin.scenes.heldout import heldout

SIZE = 24
THETA = np.deg2rad(np.arange(-45.0, 45.0, 3.0))


def small_prior():
    """An untrained prior of a few thousand parameters."""
    config = UNetConfig(channels=(4, 4, 8), growth=4, blocks=1, dilations=(1, 2), embedding=8)
    return NetworkPrior.create(config, jax.random.key(0))


def two_scenes():
    """Images (2, n, n)."""
    return jnp.stack([jnp.asarray(heldout(seed, SIZE)[0]) for seed in (1, 3)])


def two_scene_scan():
    """Problem, sinograms (2, views, columns) and masks of the two scenes."""
    A = Projector(ParallelGeometry.create(THETA, SIZE))
    sinograms = jax.jit(jax.vmap(A))(two_scenes())
    return SliceProblem.create(A, sinograms[0]), sinograms, jnp.ones_like(sinograms)
