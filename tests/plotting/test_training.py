import numpy as np
import pytest
from figures import all_text, pixels

from pfitre_jax.plotting import Panel, draw_gallery, draw_samples, draw_training_curves
from pfitre_jax.plotting.training import SCORES


@pytest.mark.parametrize("steps", [3, 60])
def test_loss_and_validation_scores_are_drawn(steps):
    records = [{"step": step, "loss": 1 / step} for step in range(1, steps)]
    records[-1] |= dict.fromkeys(SCORES, 20.0)
    loss, validation = draw_training_curves(records).axes
    np.testing.assert_array_equal(loss.get_lines()[0].get_ydata(), [r["loss"] for r in records])
    assert len(loss.get_lines()) == (2 if steps > 20 else 1)
    assert [list(line.get_xydata()[0]) for line in validation.get_lines()] == [[steps - 1, 20.0]] * len(
        SCORES
    )


def test_samples_are_drawn_in_one_row_per_method():
    images = {"truth": np.zeros((9, 8, 8)), "pfitre": np.ones((9, 8, 8))}
    figure = draw_samples(images, columns=4)
    assert len(figure.axes) == 8 and {axis.images[0].get_clim() for axis in figure.axes} == {(0, 1.1)}
    assert "truth" in all_text(figure)


def test_a_gallery_may_have_rows_of_different_length():
    image = np.random.default_rng(0).random((6, 7))
    figure = draw_gallery([[Panel("a", image), Panel("b", image)], [Panel("c", image)]], title="gallery")
    assert [axis.get_title("left") for axis in figure.axes if axis.images] == ["a", "b", "c"]
    assert pixels(figure).std() > 10
