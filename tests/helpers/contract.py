"""Checks shared by the contracts of operators, solvers and priors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def random_like(tree, seed: int):
    """Standard normal values for each floating-point leaf; None, and integers, are left out."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(np.shape(a)), jnp.result_type(a)), tree)


def check_gradient(loss, argument, *, seed: int = 0, step: float = 1e-6, rtol: float = 1e-6) -> None:
    """The reverse-mode gradient along a random direction equals the central difference; for x64."""
    direction = random_like(argument, seed)
    loss = jax.jit(loss)
    at = lambda s: loss(jax.tree.map(lambda a, d: a + s * d, argument, direction))  # noqa: E731
    difference = (at(step) - at(-step)) / (2 * step)
    gradient = jax.grad(loss)(argument)
    products = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
    np.testing.assert_allclose(sum(jax.tree.leaves(products)), difference, rtol=rtol)
    assert abs(difference) > 1e-3, "the direction does not move the loss: nothing was checked"


def check_close(a, b, rtol: float = 1e-4) -> None:
    """Trees equal but for rounding, relative to each largest value; NaN where the other has it."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        largest = np.nanmax(np.abs(y), initial=0)
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * (largest if np.isfinite(largest) else 1) + 1e-30)
