import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import figures as report

THETA = np.deg2rad(np.arange(-40.0, 41.0, 4.0))


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def _settings():
    return dict(
        misfit=np.random.default_rng(0).normal(size=(21, 30)),
        row=7,
        curves={"row 7": np.array([0.5, 0.2, 0.1, np.nan])},
        theta_rad=THETA,
        wedge=Wedge.from_angles(THETA),
        title="cgls: scan.tiff",
        facts=["center 15", "scale 2"],
        units="1/um",
    )


def preview(panels=2):
    generator = np.random.default_rng(1)
    images = [report.Panel(f"row {k}", generator.random((30, 30))) for k in range(panels)]
    return report.preview(images, **_settings())


def axes_with(figure, text):
    [found] = [a for a in figure.findobj(matplotlib.axes.Axes) if text in a.get_title("left")]
    return found


@pytest.mark.parametrize("panels", [1, 4])
def test_the_preview_shows_slices_residual_and_convergence(panels):
    figure = preview(panels)
    for k in range(panels):
        assert axes_with(figure, f"row {k}").images[0].get_array().shape == (30, 30)
    assert axes_with(figure, "row 7: predicted - measured sinogram").images[0].get_array().shape == (21, 30)
    [curve] = axes_with(figure, "convergence").get_lines()
    np.testing.assert_array_equal(curve.get_xydata(), [[1, 0.5], [2, 0.2], [3, 0.1]])
    written = " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
    for word in ("cgls: scan.tiff", "center 15", "scale 2", "1/µm", "21 views, 96° missing"):
        assert word in written
    assert pixels(figure).std() > 10


def test_all_slices_share_one_gray_scale():
    figure = preview(3)
    limits = {axes_with(figure, f"row {k}").images[0].get_clim() for k in range(3)}
    assert len(limits) == 1


def test_what_the_data_do_not_determine_is_shaded():
    supplied = np.zeros((30, 30))
    supplied[4, 5], supplied[6, 7] = -3.0, 0.1
    panels = [report.Panel("first", np.ones((30, 30))), report.Panel("second", np.ones((30, 30)), supplied)]
    figure = report.preview(panels, **_settings())
    assert len(axes_with(figure, "first").images) == 1
    shade = np.asarray(axes_with(figure, "second").images[1].get_array())[..., 3]
    assert shade[4, 5] == 0.8 and 0 < shade[6, 7] < 0.8 and np.count_nonzero(shade) == 2


def test_a_flat_result_and_a_curve_without_points_are_drawn():
    figure = report.preview(
        [report.Panel("empty", np.zeros((9, 9)))],
        misfit=np.zeros((3, 9)),
        row=0,
        curves={"row 0": np.full(3, np.nan)},
        theta_rad=np.array([0.0, 0.1, 0.2]),
        wedge=Wedge.from_angles([0.0, 0.1, 0.2]),
        title="",
        facts=[],
        units="1/pixel",
    )
    assert pixels(figure).std() > 0


def test_the_glyph_shades_the_missing_angles_and_strokes_the_measured_ones():
    axis = Figure().add_subplot(projection="polar")
    wedge = Wedge.from_angles(THETA)
    report.draw_wedge(axis, THETA, wedge)
    shaded = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    strokes = [line.get_xdata()[0] for line in axis.get_lines()]
    assert len(shaded) == 2 and len(strokes) == 2 * len(THETA)
    for low, high in shaded:
        inside = [np.mod(s - low, 2 * np.pi) < high - low - 1e-9 for s in strokes]
        assert not any(inside)
    assert sum(high - low for low, high in shaded) == pytest.approx(2 * wedge.width_rad)
    full = Figure().add_subplot(projection="polar")
    report.draw_wedge(full, np.linspace(0, np.pi, 30, endpoint=False), Wedge(0.0, 0.0))
    assert not full.patches


def test_each_tile_of_a_strip_carries_its_own_value():
    generator = np.random.default_rng(1)
    tiles = [
        report.Tile(value, generator.random((8, 8)), 1 / value) for value in (74.5, 74.75, 75.0, 1000.125)
    ]
    figure = report.strip(tiles, name="center", title="row 3", columns=3)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(drawn) == len(tiles)
    for axis, tile in zip(drawn, tiles, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), tile.image)
        name, value = axis.get_title("left").split()
        assert name == "center" and float(value) == tile.value
    # Rows of tiles are read like text: the second row begins below the first.
    top, left = [
        (axis.get_subplotspec().rowspan.start, axis.get_subplotspec().colspan.start) for axis in drawn
    ][3]
    assert (top, left) == (1, 0)


def test_the_label_drawn_is_the_value():
    # The picture differs from one with another label in the label's place only.
    image = np.zeros((8, 8))
    one, other = (
        pixels(report.strip([report.Tile(v, image, 0.5)], name="roll", title="t")) for v in (-1.5, 2.5)
    )
    differs = np.argwhere(np.any(one != other, axis=2))
    assert len(differs) > 0
    assert np.ptp(differs[:, 0]) < 40


@pytest.mark.parametrize("value", [0.0, -1.5, 74.125, 1234.5678, 0.1 + 0.2])
def test_labels_are_short_and_exact(value):
    assert float(report.label(value)) == pytest.approx(value, abs=1e-6)
    assert len(report.label(value)) <= 10


def test_the_inspection_marks_invalid_bins():
    generator = np.random.default_rng(2)
    projections = generator.random((21, 5, 30))
    mask = np.ones(projections.shape, bool)
    mask[:, :, 3] = False
    figure = report.inspection(
        projections,
        mask,
        THETA,
        Wedge.from_angles(THETA),
        edge=generator.random((21, 2)),
        title="scan",
        facts=["x"],
    )
    shown = np.ma.filled(axes_with(figure, "sinogram of row 2").images[0].get_array(), np.nan)
    assert np.isnan(shown[:, 3]).all() and np.isfinite(np.delete(shown, 3, axis=1)).all()
    assert pixels(figure).std() > 10
