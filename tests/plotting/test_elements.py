"""The picture of several elements."""

from __future__ import annotations

import numpy as np
import pytest

from pfitre_jax.plotting.elements import ElementPanel, draw_elements, overlay


def panel(name: str, size: int = 12, value: float = 1.0) -> ElementPanel:
    image = np.zeros((size, size))
    image[3:8, 2:6] = value
    support = np.ones(image.shape, bool)
    return ElementPanel(name, 4, image, 0.5 * image, support, "1/um")


def test_two_and_three_elements_add_to_white():
    first, second = panel("Cu").image, np.roll(panel("Zn", value=500.0).image, 2, axis=1)
    two = overlay([first, second])
    assert two[5, 5].tolist() == [1, 1, 1] and two[5, 2].tolist() == [1, 0, 1]
    assert two[5, 7].tolist() == [0, 1, 0] and not two[0].any()
    assert overlay([first, second, first])[5, 5].tolist() == [1, 1, 1]
    assert overlay([first, 0 * second, first])[5, 5].tolist() == [1, 0, 1]


@pytest.mark.parametrize(("count", "overlaid"), [(1, None), (2, "Cu0 magenta, Cu1 green"), (5, "Cu2 blue")])
def test_every_element_is_drawn_on_its_own_scale(count, overlaid):
    figure = draw_elements([panel(f"Cu{k}", value=10.0**k) for k in range(count)], "tomo.h5")
    axes = [axis for part in figure.subfigs for axis in part.axes]
    titles = [axis.get_title(loc="left") for axis in axes]
    assert [title for title in titles if "row 4" in title] == [f"Cu{k}   row 4" for k in range(count)]
    assert (overlaid is None) == (not any("green" in title for title in titles))
    assert overlaid is None or any(overlaid in title for title in titles)
    limits = [axis.get_images()[0].get_clim()[1] for axis in axes if "row 4" in axis.get_title(loc="left")]
    np.testing.assert_allclose(limits, 10.0 ** np.arange(count))


def test_elements_of_another_size_are_not_overlaid():
    figure = draw_elements([panel("Cu"), panel("Zn", size=16)], "tomo.h5")
    titles = [axis.get_title(loc="left") for part in figure.subfigs for axis in part.axes]
    assert not any("magenta" in title for title in titles)
