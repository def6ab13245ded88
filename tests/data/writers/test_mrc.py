"""MRC volumes, read and validated by mrcfile."""

import io

import jax
import jax.numpy as jnp
import mrcfile
import numpy as np
import pytest

import pfitre_jax as pf
from pfitre_jax.data.writers.image_stack import ImageStack
from pfitre_jax.data.writers.mrc import MrcWriter
from pfitre_jax.runtime.file_mark import has_mark

ROWS, N = 4, 9
SLICES = np.random.default_rng(0).random((ROWS, N, N)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.mrc"
    blocks = [slice(0, 1), slice(1, 4)]
    stack = ImageStack(SLICES.shape, lambda: ((rows, SLICES[rows]) for rows in blocks), pixel_size=0.05)
    MrcWriter().write(path, stack)
    return path


def test_the_file_is_valid_and_has_the_voxel_size_in_angstroms(path):
    messages = io.StringIO()
    assert mrcfile.validate(path, print_file=messages), messages.getvalue()
    with mrcfile.open(path) as file:
        assert file.header.mode == 2 and file.is_volume()
        assert file.voxel_size.tolist() == (500.0, 500.0, 500.0)
        assert float(file.header.dmin) == SLICES.min() and float(file.header.dmax) == SLICES.max()
        assert float(file.header.dmean) == pytest.approx(SLICES.mean(), rel=1e-6)
        assert float(file.header.rms) == pytest.approx(SLICES.std(), rel=1e-5)
    assert has_mark(path)


def test_the_statistics_of_constant_and_large_values_are_valid(tmp_path):
    slices = np.full((2, 3, 4), 1e6, np.float32)
    MrcWriter().write(tmp_path / "a.mrc", ImageStack.of_array(slices))
    assert mrcfile.validate(tmp_path / "a.mrc", print_file=io.StringIO())


def test_an_unknown_size_is_one_angstrom(tmp_path):
    """As programs write it that do not know the size; the reader of scans takes it as unknown."""
    MrcWriter().write(tmp_path / "a.mrc", ImageStack.of_array(SLICES))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.voxel_size.tolist() == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("theta_deg", [0, 90])
def test_the_views_are_projections_along_the_axes_of_a_tomogram(path, theta_deg):
    """View 0 is the sum along z; a positive tilt moves points of larger z to smaller x."""
    A = pf.Projector(pf.ParallelGeometry.create(np.deg2rad([float(theta_deg)]), N))
    view = np.stack([np.asarray(jax.jit(A)(jnp.asarray(image)))[0] for image in SLICES])
    with mrcfile.open(path) as file:
        assert file.data.shape == (N, ROWS, N)
        along = file.data.sum(axis=0) if theta_deg == 0 else file.data.sum(axis=2).T[:, ::-1]
    np.testing.assert_allclose(along, view, rtol=1e-5)
