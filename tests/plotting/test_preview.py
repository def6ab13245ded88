import numpy as np
import pytest
from figures import all_text, axes_with, pixels

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import Panel, draw_live, draw_preview

THETA = np.deg2rad(np.arange(-40.0, 41.0, 4.0))
WEDGE = Wedge.from_angles(THETA)


def preview(panels):
    return draw_preview(
        panels,
        residual_sinogram=np.random.default_rng(0).normal(size=(21, 30)),
        row=7,
        curves={"row 7": np.array([0.5, 0.2, 0.1, np.nan])},
        theta_rad=THETA,
        wedge=WEDGE,
        title="cgls: scan.tiff",
        facts=["center 15", "scale 2"],
        units="1/um",
    )


def random_panels(count):
    generator = np.random.default_rng(1)
    return [Panel(f"slice {k}", generator.random((30, 30))) for k in range(count)]


@pytest.mark.parametrize("panels", [1, 4])
def test_the_preview_shows_slices_residual_sinogram_and_convergence(panels):
    figure = preview(random_panels(panels))
    for k in range(panels):
        assert axes_with(figure, f"slice {k}").images[0].get_array().shape == (30, 30)
    assert axes_with(figure, "residual sinogram of row 7").images[0].get_array().shape == (21, 30)
    [curve] = axes_with(figure, "convergence").get_lines()
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 0.5], [2, 0.2], [3, 0.1]])
    text = all_text(figure)
    for word in ("cgls: scan.tiff", "center 15", "scale 2", "1/µm", "21 views, 96° missing"):
        assert word in text
    assert pixels(figure).std() > 10


def test_all_slices_share_one_gray_scale():
    figure = preview(random_panels(3))
    limits = {axes_with(figure, f"slice {k}").images[0].get_clim() for k in range(3)}
    assert len(limits) == 1


def test_a_panel_may_have_a_colour_scale_of_its_own():
    """Values that are not those of the slices, such as their uncertainty, do not change the grey scale."""
    width = np.full((30, 30), 50.0)
    figure = preview([*random_panels(2), Panel("width", width, own_scale="uncertainty")])
    alone = preview(random_panels(2))
    assert len({axes_with(f, "slice 0").images[0].get_clim() for f in (figure, alone)}) == 1
    low, high = axes_with(figure, "width").images[0].get_clim()
    assert (low, high) == (0, pytest.approx(50))
    assert "uncertainty, 1/µm" in all_text(figure)


def test_the_supplied_component_is_shaded():
    supplied = np.zeros((30, 30))
    supplied[4, 5], supplied[6, 7] = -3.0, 0.1
    figure = preview([Panel("first", np.ones((30, 30))), Panel("second", np.ones((30, 30)), supplied)])
    assert len(axes_with(figure, "first").images) == 1
    shade = np.asarray(axes_with(figure, "second").images[1].get_array())[..., 3]
    assert shade[4, 5] == 0.8 and 0 < shade[6, 7] < 0.8 and np.count_nonzero(shade) == 2


def test_a_constant_slice_and_an_empty_curve_are_drawn():
    theta = np.array([0.0, 0.1, 0.2])
    figure = draw_preview(
        [Panel("empty", np.zeros((9, 9)))],
        residual_sinogram=np.zeros((3, 9)),
        row=0,
        curves={"row 0": np.full(3, np.nan)},
        theta_rad=theta,
        wedge=Wedge.from_angles(theta),
        title="",
        facts=[],
        units="1/pixel",
    )
    assert pixels(figure).std() > 0


def test_the_live_figure_shows_the_views_measured_so_far():
    figure = draw_live(random_panels(2), theta_rad=THETA, wedge=WEDGE, title="live", facts=["21 views"])
    assert len([axis for axis in figure.findobj() if getattr(axis, "images", None)]) >= 2
    assert "21 views, 96° missing" in all_text(figure) and pixels(figure).std() > 10
