import numpy as np
from figures import axes_with, pixels

from pfitre_jax.geometry import Wedge
from pfitre_jax.plotting import draw_inspection

THETA = np.deg2rad(np.arange(-40.0, 41.0, 4.0))


def test_invalid_bins_are_marked():
    generator = np.random.default_rng(2)
    projections = generator.random((21, 5, 30))
    mask = np.ones(projections.shape, bool)
    mask[:, :, 3] = False
    figure = draw_inspection(
        projections[10],
        np.where(mask[:, 2], projections[:, 2], np.nan),
        THETA,
        Wedge.from_angles(THETA),
        view=10,
        row=2,
        edge_signal=generator.random((21, 2)),
        title="scan",
        facts=["x"],
    )
    drawn = np.ma.filled(axes_with(figure, "sinogram of row 2").images[0].get_array(), np.nan)
    assert np.isnan(drawn[:, 3]).all() and np.isfinite(np.delete(drawn, 3, axis=1)).all()
    assert pixels(figure).std() > 10
