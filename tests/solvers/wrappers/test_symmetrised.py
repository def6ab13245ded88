"""The loop whose prior sees one mirror image after another."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pfitre_jax.solvers.wrappers.symmetrised import InTurns, in_turns
from small_scan import N, normal_equations, problem

from pfitre_jax.interfaces import Prior, PriorInfo
from pfitre_jax.solvers.hqs import HQS
from pfitre_jax.solvers.loop import run

RHO = 0.02


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Fixed(Prior):
    """Proposes one image in even iterations and another one in odd ones, whatever it is shown."""

    images: Any
    symmetric: bool = dataclasses.field(default=True, metadata={"static": True})

    @property
    def info(self):
        return PriorInfo(alternates=self.symmetric)

    def at(self, iteration):
        return self.mirrored(iteration) if self.symmetric else self

    def mirrored(self, k):
        return Fixed(jnp.roll(self.images, -(k % 2), 0))

    def denoise(self, v, *, correction, wedge, rho):
        return self.images[0]


@pytest.mark.parametrize("iterations", [1, 2, 3, 8])
def test_the_result_is_drawn_towards_the_mean_of_the_last_two_proposals(iterations):
    """``(H + 10 rho) x = b + 10 rho m`` where ``x > 0``, solved densely; after one iteration ``m`` is its
    proposal, since before it there was none."""
    images = jnp.asarray(np.random.default_rng(3).uniform(0.5, 1.5, (2, N, N)), jnp.float32)
    loop = InTurns(HQS(Fixed(images), RHO, cg_iterations=30))
    ones = problem().support
    disc = problem().with_sinogram(jax.jit(problem().A)(ones))
    done = _run(loop, disc, iterations=iterations).value
    mean, one = (np.ravel(problem().support * m).astype(float) for m in (images.mean(0), images[0]))
    H, _ = normal_equations()
    b = H @ np.ravel(ones)
    pull = loop.loop.closing * RHO
    inside = np.ravel(problem().support) > 0
    towards = lambda m: np.linalg.solve(  # noqa: E731
        H[np.ix_(inside, inside)] + pull * np.eye(inside.sum()), (b + pull * m)[inside]
    )
    expected = towards(one if iterations == 1 else mean)
    assert expected.min() > 0, "pixels would be held at 0, which the dense solution knows nothing of"
    np.testing.assert_allclose(np.ravel(done)[inside], expected, atol=1e-3)
    assert np.abs(towards(one) - towards(mean)).max() > 0.05


@functools.partial(jax.jit, static_argnames="iterations")
def _run(loop, problem, *, iterations):
    return run(loop, problem, jnp.zeros((N, N)), iterations=iterations)


def test_only_a_prior_that_means_over_mirror_images_takes_turns():
    images = jnp.zeros((2, N, N))
    assert isinstance(in_turns(HQS(Fixed(images), RHO)), InTurns)
    once = HQS(dataclasses.replace(Fixed(images), symmetric=False), RHO)
    assert in_turns(once) is once
