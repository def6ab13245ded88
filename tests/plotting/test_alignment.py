import numpy as np
import pytest
from figures import all_text, axes_with, pixels

from pfitre_jax.plotting import draw_alignment


@pytest.mark.parametrize("searches", [0, 2])
def test_motion_residual_and_roll_searches_are_drawn(searches):
    shifts = np.linspace(-1, 1, 9)
    figure = draw_alignment(
        {"shift, bins": {"along columns": shifts, "along rows": 2 * shifts}, "gain": {"gain": shifts + 2}},
        residual=np.array([0.3, 0.2, 0.1]),
        bin_factors=np.array([2, 2, 1]),
        roll_searches=[np.array([[-1.0, 0, 1], [0.3, 0.2, 0.4]])] * searches,
        title="alignment",
        facts=["roll 0.1 degrees"],
    )
    along_columns, along_rows = axes_with(figure, "shift, bins").get_lines()
    np.testing.assert_array_equal(along_columns.get_ydata(), shifts)
    np.testing.assert_array_equal(along_rows.get_ydata(), 2 * shifts)
    residual, finer = axes_with(figure, "finer bins").get_lines()
    assert list(residual.get_ydata()) == [0.3, 0.2, 0.1] and list(finer.get_xdata()) == [1.5, 1.5]
    roll = axes_with(figure, "against roll" if searches else "roll not estimated")
    assert len(roll.get_lines()) == searches
    assert "roll 0.1 degrees" in all_text(figure) and pixels(figure).std() > 10
