import numpy as np
from figures import all_text

from pfitre_jax.plotting import draw_adaptation


def test_the_kept_round_and_the_difference_are_drawn():
    errors = {"interpolated": 0.2, "extrapolated": 0.4, "residual": 0.1, "equivariance": 0.3}
    half = {name: value / 2 for name, value in errors.items()}
    record = {"chosen": 1, "rounds": [errors, half]}
    before, after = np.zeros((6, 6)), np.eye(6)
    figure = draw_adaptation(record, before, after)
    curves, *images = figure.axes
    *lines, kept = curves.get_lines()
    assert all(list(line.get_ydata()) == [1.0, 0.5] for line in lines) and len(lines) == len(errors)
    assert list(kept.get_xdata()) == [1, 1] and "round 1 is kept" in all_text(figure)
    np.testing.assert_array_equal(images[2].images[0].get_array(), after - before)
    low, high = images[2].images[0].get_clim()
    assert low == -high and images[0].images[0].get_clim() == images[1].images[0].get_clim()
