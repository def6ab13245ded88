"""Geometries of ASTRA against the projections that ASTRA computes with them."""

from __future__ import annotations

import astra
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pfitre_jax import ParallelGeometry, Projector
from pfitre_jax.interop.astra import from_astra, to_astra

ANGLES = np.deg2rad([2.0, 31.0, 76.0, 97.0, 131.0, 200.0, 283.0])
SHAPE = (22, 28)
COLUMNS = 35


@pytest.fixture(name="image")
def _image():
    """An image without any symmetry."""
    return gaussian_filter(np.random.default_rng(0).random(SHAPE), 1).astype(np.float32)


project = jax.jit(lambda A, image: A(image))


def astra_projection(proj_geom, vol_geom, image):
    projector_id = astra.create_projector("linear", proj_geom, vol_geom)
    sinogram_id, sinogram = astra.create_sino(np.asarray(image, np.float32), projector_id)
    astra.data2d.delete(sinogram_id)
    astra.projector.delete(projector_id)
    return sinogram


def vectors(angles, offset):
    """Vectors of a detector whose middle is displaced by ``offset``, (views,), along its columns."""
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([sin, -cos, offset * cos, offset * sin, cos, sin], axis=1)


def oblique(angles):
    """A detector that is not perpendicular to the rays, whose bins appear in their size all the same."""
    rows = vectors(angles, 1.5)
    rows[:, 4:6] += 0.4 * rows[:, 0:2]
    rows[:, 2:4] += 3.0 * rows[:, 0:2]
    # The length of the direction of the rays has no meaning.
    rows[:, 0:2] *= 2.5
    return rows


GEOMETRIES = {
    "angles": ("parallel", 1.0, COLUMNS, ANGLES),
    "off-centre axis": ("parallel_vec", COLUMNS, vectors(ANGLES, np.full(7, 4.7))),
    "shifts of the views": ("parallel_vec", COLUMNS, vectors(ANGLES, 3 * np.sin(np.arange(7.0)))),
    "bins in the opposite order": ("parallel_vec", COLUMNS, vectors(ANGLES, 2.0) * [1, 1, 1, 1, -1, -1]),
    "oblique detector": ("parallel_vec", COLUMNS, oblique(ANGLES)),
}


@pytest.mark.parametrize("case", GEOMETRIES)
def test_projections_are_those_of_astra(image, case):
    proj_geom, vol_geom = astra.create_proj_geom(*GEOMETRIES[case]), astra.create_vol_geom(*SHAPE)
    expected = astra_projection(proj_geom, vol_geom, image)
    A = from_astra(proj_geom, vol_geom)
    np.testing.assert_allclose(project(A, image), expected, atol=2e-4 * expected.max())
    # The geometry that is handed back gives ASTRA the same projections.
    again = astra_projection(*to_astra(A), image)
    np.testing.assert_allclose(again, expected, atol=2e-4 * expected.max())


def test_the_alignment_of_astra_is_a_center_of_rotation(image):
    plain = astra.create_proj_geom("parallel", 1.0, COLUMNS, ANGLES)
    proj_geom, vol_geom = astra.geom_postalignment(plain, 2.25), astra.create_vol_geom(*SHAPE)
    A = from_astra(proj_geom, vol_geom)
    assert float(A.geometry.center) == pytest.approx((COLUMNS - 1) / 2 - 2.25)
    assert not np.any(A.geometry.shifts)
    expected = astra_projection(proj_geom, vol_geom, image)
    np.testing.assert_allclose(project(A, image), expected, atol=2e-4 * expected.max())


def test_a_displaced_volume_is_a_shift_of_the_views(image):
    ny, nx = SHAPE
    window = (-nx / 2 + 3.5, nx / 2 + 3.5, -ny / 2 - 2.0, ny / 2 - 2.0)
    proj_geom = astra.create_proj_geom("parallel", 1.0, COLUMNS, ANGLES)
    vol_geom = astra.create_vol_geom(ny, nx, *window)
    A = from_astra(proj_geom, vol_geom)
    # ASTRA's "linear" assumes a centred volume; its "line" does not, and discretises the rays differently.
    projector_id = astra.create_projector("line", proj_geom, vol_geom)
    sinogram_id, expected = astra.create_sino(image, projector_id)
    astra.data2d.delete(sinogram_id)
    astra.projector.delete(projector_id)
    assert np.linalg.norm(project(A, image) - expected) < 0.03 * np.linalg.norm(expected)
    moved = from_astra(proj_geom, astra.create_vol_geom(ny, nx))
    assert np.linalg.norm(project(moved, image) - expected) > 0.3 * np.linalg.norm(expected)


def fp3d(proj_geom, vol_geom, volume):
    """Line integrals as ASTRA's kernel ``par3D_FP`` computes them (it runs on GPUs only): in its own terms.

    A ray passes through the detector's point ``D = S + u U + v V``; voxel (z, y, x) has its middle at
    ``index - (count - 1)/2`` along every axis. Sum of linear interpolations in the planes of x or y.
    """
    vectors = np.asarray(astra.geom_2vec(proj_geom)["Vectors"])
    rows, columns = proj_geom["DetectorRowCount"], proj_geom["DetectorColCount"]
    slices, ny, nx = volume.shape
    out = np.zeros((rows, len(vectors), columns))
    for view, vector in enumerate(vectors):
        ray, middle, step, along = vector.reshape(4, 3)
        for row in range(rows):
            for column in range(columns):
                point = middle + (column - (columns - 1) / 2) * step + (row - (rows - 1) / 2) * along
                z = round(point[2] + (slices - 1) / 2)
                by_x = abs(ray[0]) > abs(ray[1])
                count, across, counts = (nx, 1, ny) if by_x else (ny, 0, nx)
                main = 1 - across
                planes = np.arange(count) - (count - 1) / 2
                other = point[across] + (planes - point[main]) * ray[across] / ray[main] + (counts - 1) / 2
                image = volume[z].T if by_x else volume[z]
                line = [
                    np.interp(o, np.arange(-1, counts + 1), np.pad(image[k], 1)) for k, o in enumerate(other)
                ]
                out[row, view, column] = np.sum(line) * np.linalg.norm(ray[:2]) / abs(ray[main])
    return out


@pytest.mark.parametrize("offset", [0.0, 3.3])
def test_slices_of_a_volume_are_rows_of_the_detector(offset):
    volume = np.asarray(gaussian_filter(np.random.default_rng(1).random((3, 12, 15)), (0, 1, 1)), np.float32)
    proj_geom = astra.create_proj_geom("parallel3d", 1.0, 1.0, 3, 21, ANGLES)
    if offset:
        proj_geom = astra.geom_postalignment(proj_geom, (offset, 0))
    vol_geom = astra.create_vol_geom(12, 15, 3)
    A = from_astra(proj_geom, vol_geom)
    expected = fp3d(proj_geom, vol_geom, volume)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(A))(jnp.asarray(volume)), expected, atol=3e-4 * expected.max()
    )
    back, shape = to_astra(A, rows=3)
    assert back["type"] == ("parallel3d_vec" if offset else "parallel3d")
    assert (shape["GridSliceCount"], shape["GridRowCount"], shape["GridColCount"]) == volume.shape
    np.testing.assert_allclose(fp3d(back, shape, volume), expected, atol=3e-4 * expected.max())


def test_to_astra_of_a_centred_axis_has_angles():
    proj_geom, vol_geom = to_astra(Projector(ParallelGeometry.create(ANGLES, COLUMNS), SHAPE))
    assert proj_geom["type"] == "parallel" and (vol_geom["GridRowCount"], vol_geom["GridColCount"]) == SHAPE
    np.testing.assert_allclose(proj_geom["ProjectionAngles"], ANGLES, atol=1e-6)


IMAGE, VOLUME = astra.create_vol_geom(8, 8), astra.create_vol_geom(8, 8, 4)
TILTED = np.array([[0, -1, 0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("proj_geom", "vol_geom", "message"),
    [
        (("fanflat", 1.0, 8, ANGLES, 50.0, 50.0), IMAGE, "is 'fanflat'; expected a parallel beam"),
        (("cone", 1.0, 1.0, 4, 8, ANGLES, 50.0, 50.0), VOLUME, "is 'cone'; expected a parallel beam"),
        (("parallel", 0.5, 8, ANGLES), IMAGE, "the spacing of the detector bins is 0.5; expected 1"),
        (("parallel", 1.0, 8, ANGLES), astra.create_vol_geom(8, 8, -2, 2, -2, 2), "pixels along x is 0.5"),
        (("parallel", 1.0, 8, np.rad2deg(ANGLES)), IMAGE, "these look like degrees"),
        (("parallel", 1.0, 8, ANGLES), VOLUME, "has slices; expected both in two"),
        (("parallel3d", 1.0, 1.0, 4, 8, ANGLES), IMAGE, "has no slices; expected both"),
        (("parallel3d", 1.0, 1.0, 5, 8, ANGLES), VOLUME, "4 slices and the detector 5 rows"),
        (("parallel3d", 1.0, 2.0, 4, 8, ANGLES), VOLUME, "spacing of the detector rows is 2"),
        (("parallel3d_vec", 4, 8, TILTED), VOLUME, "leave the planes of the slices"),
    ],
)
def test_other_geometries_are_refused(proj_geom, vol_geom, message):
    with pytest.raises(ValueError, match=message):
        from_astra(astra.create_proj_geom(*proj_geom), vol_geom)
