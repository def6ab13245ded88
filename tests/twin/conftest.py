"""Fixtures of the tests of the twin."""

from __future__ import annotations

import jax.numpy as jnp
import pytest
from analytic import disc_image
from two_discs import COLUMNS, DISCS


@pytest.fixture(scope="session")
def fine():
    """The discs, drawn twice as fine as the detector, (64, 64)."""
    doubled = [(2 * x, 2 * y, 2 * radius, value) for x, y, radius, value in DISCS]
    return jnp.asarray(disc_image(doubled, 2 * COLUMNS, fine=16), jnp.float32)
