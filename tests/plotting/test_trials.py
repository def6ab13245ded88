import numpy as np
import pytest
from figures import pixels

from pfitre_jax.plotting import Trial, draw_trials
from pfitre_jax.plotting.trials import format_value


def test_each_trial_is_labelled_with_its_own_value():
    generator = np.random.default_rng(1)
    trials = [Trial(value, generator.random((8, 8)), 1 / value) for value in (74.5, 74.75, 75.0, 1000.125)]
    figure = draw_trials(trials, name="center", title="row 3", columns=3)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == len(trials)
    for axis, trial in zip(drawn, trials, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), trial.image)
        name, value = axis.get_title("left").split()
        assert name == "center" and float(value) == trial.value
    # The fourth trial is the first one of the second row.
    place = drawn[3].get_subplotspec()
    assert (place.rowspan.start, place.colspan.start) == (1, 0)


def test_the_value_is_drawn_in_the_label():
    # Two figures that differ in one value differ only where its label is.
    image = np.zeros((8, 8))
    one, other = (pixels(draw_trials([Trial(v, image, 0.5)], name="roll", title="t")) for v in (-1.5, 2.5))
    different = np.argwhere(np.any(one != other, axis=2))
    assert len(different) > 0
    assert np.ptp(different[:, 0]) < 40


@pytest.mark.parametrize("value", [0.0, -1.5, 74.125, 1234.5678, 0.1 + 0.2])
def test_values_are_formatted_short_and_exact(value):
    assert float(format_value(value)) == pytest.approx(value, abs=1e-6)
    assert len(format_value(value)) <= 10
