"""Parsers of option values."""

from typing import get_args

import numpy as np
import pytest

from pfitre_jax.cli.options import AngleUnit
from pfitre_jax.cli.options.parsing import parse_values
from pfitre_jax.data.readers.angle_units import RADIANS


def test_parse_values_holds_both_ends():
    np.testing.assert_allclose(parse_values("280:310:2"), np.arange(280, 311, 2))
    np.testing.assert_allclose(parse_values("-1:1:0.1"), np.linspace(-1, 1, 21), atol=1e-12)
    assert parse_values("75:75:1").tolist() == [75]


@pytest.mark.parametrize("text", ["", "1:2", "1:2:0", "2:1:1", "a:b:c", "0:nan:1", "0:1:0.001", "1:2:3:4"])
def test_parse_values_refuses(text):
    with pytest.raises(ValueError, match="expected"):
        parse_values(text)


def test_every_unit_of_angles_is_a_value_of_the_option():
    literal = get_args(get_args(AngleUnit)[0])[0]
    assert set(get_args(literal)) == set(RADIANS)
