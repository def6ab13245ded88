import jax.numpy as jnp
import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_sinogram, disc_stack

from pfitre_jax import solvers
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.calibrate import shared_problem
from pfitre_jax.estimation.support import image_support
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.reconstruction import data_model, methods
from pfitre_jax.reconstruction import executor as slices
from pfitre_jax.reconstruction.api import reconstruct
from pfitre_jax.solvers.fbp import fill_invalid
from pfitre_jax.solvers.parameters.tv_weight import rho_from_tv_weight

DISC = [(2.0, -3.0, 7.0, 1.0)]


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_finds_the_disc(method):
    geometry = ParallelGeometry.create(THETA, COLUMNS, CENTER)
    problem, _ = shared_problem(geometry, image_support(geometry))
    scan = Scan.create(disc_stack(3 * [DISC]), THETA, center=CENTER)
    asked = {}
    if "prior" in methods.METHODS[method].defaults:
        asked["prior"] = Nonnegative()
    settings = methods.Settings.create(method, **asked).resolve(1e-3, float(rho_from_tv_weight(1e-3)))
    program = slices.make_program(
        methods.build(settings),
        problem,
        scan.rows,
        scale=1.0,
        iterations=min(settings.iterations, 60),
    )
    [result] = slices.solve_blocks(program, scan, [slice(0, 3)])
    truth = disc_image(DISC, COLUMNS)
    assert np.linalg.norm(result.volume[0] - truth) < 0.25 * np.linalg.norm(truth)
    assert result.volume[0].sum() == pytest.approx(truth.sum(), rel=0.05)


def test_the_automatic_weight_is_found_only_for_what_needs_it():
    needed = lambda method, **asked: methods.Settings.create(method, **asked).needed_parameter  # noqa: E731
    assert needed("fista-tv") == needed("admm-tv") == "tv_weight"
    assert needed("fista-tv", weight=1e-3) == needed("admm-tv", weight=1e-3) == needed("sirt") == "noise"
    prior = Nonnegative()
    assert needed("pfitre", prior=prior) == "rho" and needed("pfitre", prior=prior, rho=0.01) == "noise"
    chosen = methods.Settings.create("pfitre", prior=prior).resolve(1e-3, 0.007)
    assert chosen.rho == 0.007 and chosen.weight is None and "weight" not in chosen.record()
    with pytest.raises(ValueError, match="weight is 'auto' and the scan was not calibrated for it"):
        methods.Settings.create("fista-tv").resolve()


def test_an_unknown_method_lists_the_names():
    with pytest.raises(ValueError, match="unknown method 'magic'; expected one of fbp, sirt, cgls"):
        methods.Settings.create("magic")


@pytest.mark.parametrize(
    ("method", "asked", "message"),
    [
        ("cgls", {"rho": 0.1}, "'cgls' takes no rho; it takes iterations"),
        ("fbp", {"iterations": 5}, "takes no iterations; it takes none"),
        ("sirt", {"iterations": 0}, "iterations is 0; expected a whole number of at least 1"),
        ("sirt", {"iterations": 2.5}, "iterations is 2.5"),
        ("pfitre", {"rho": -1.0}, "rho is -1; expected a finite number, more than 0"),
        ("pfitre", {"rho": float("nan")}, "rho is nan"),
        ("fista-tv", {"weight": -1e-3}, "weight is -0.001; expected a finite number, 0 or more"),
        ("fista-tv", {"weight": "much"}, "weight is 'much'; expected a number"),
        ("pfitre", {"prior": "no such prior"}, "no prior 'no such prior'"),
        ("cgls", {"robust": "huber"}, "cgls has no data model; expected one of sirt"),
        ("fbp", {"stripes": True}, "fbp has no data model; expected one of sirt"),
        ("sirt", {"stripes": "no"}, "stripes is 'no'; expected True or False"),
        ("sirt", {"iterations": False}, "iterations is False; expected a whole number"),
        ("sirt", {"photons": "many"}, "photons is 'many'; expected the photons per bin in the flat beam"),
        (
            "pfitre",
            {"photons": 0.5},
            "photons is 0.5; expected the photons per bin in the flat beam, more than 1",
        ),
        (
            "pfitre",
            {"photons": 9.0, "robust": "huber"},
            "photons and robust='huber' both weight the bins",
        ),
        ("pfitre", {"robust": "very"}, "robust is 'very'; expected huber, student-t or views"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(method, asked, message):
    with pytest.raises(ValueError, match=message):
        methods.Settings.create(method, **asked)


def test_what_is_asked_for_replaces_the_default():
    assert methods.Settings.create("cgls", iterations=3, rho=None).record() == {"iterations": 3}
    assert methods.Settings.create("cgls").iterations == methods.METHODS["cgls"].defaults["iterations"]


def test_a_switch_that_is_off_is_as_if_it_were_not_there():
    assert methods.Settings.create("sirt", stripes=False, gains=False).record() == {"iterations": 200}


def test_rows_together_have_a_prior_of_their_own():
    alone, joint = (methods.Settings.create("pfitre", joint=joint).prior for joint in (False, True))
    assert alone.info.reach == 0 < joint.info.reach and joint.info.card["name"] == "volume"


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("robust", data_model.ROBUST)
def test_a_view_that_is_wrong_does_less_harm_to_a_robust_method(robust, joint):
    stack = np.array(disc_stack(3 * [DISC]))
    stack[5] = np.roll(stack[5], 4, axis=-1)
    scan = Scan.create(stack, THETA, center=CENTER)
    truth = disc_image(DISC, COLUMNS)
    asked = dict(weight=1e-4, iterations=40, joint=joint)
    error = lambda result: np.linalg.norm(result.volume - truth, axis=(1, 2))  # noqa: E731
    plain = reconstruct(scan, "fista-tv", **asked)
    mended = reconstruct(scan, "fista-tv", robust=robust, **asked)
    assert np.all(error(mended) < 0.7 * error(plain))
    assert mended.parameters["robust"] == robust and "robust" not in plain.parameters
    told = mended.corrections()["robust"]
    by = dict(zip(told["often"], told["by"], strict=True))
    assert by[5] == min(by.values()) < 0.5 and (robust != "views" or list(by) == [5])
    np.testing.assert_array_equal(told["views"], len(by))
    assert not plain.corrections()
    # A view that counts for little says little of how well the others determine the image.
    clean = reconstruct(Scan.create(disc_stack(3 * [DISC]), THETA, center=CENTER), "fista-tv", **asked)
    assert np.all(mended.supplied - clean.supplied < 0.5 * (plain.supplied - clean.supplied))


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_detector_that_is_wrong_does_less_harm_where_its_errors_are_looked_for(joint):
    """Columns that are off by 5% of the largest line integral, views that are off by 8%."""
    g, clean = np.random.default_rng(0), np.array(disc_stack(3 * [DISC]))
    stack = clean * (1 + 0.08 * g.standard_normal((len(clean), 1, 1))).astype(np.float32)
    stack[..., g.choice(np.arange(8, COLUMNS - 8), 4, replace=False)] += 0.05 * stack.max()
    exact = np.linalg.norm(_disc_error(clean, joint=joint))
    lost = lambda **told: np.linalg.norm(_disc_error(stack, joint=joint, **told)) - exact  # noqa: E731
    plain, mended = lost(), lost(stripes=True, gains=True)
    assert plain > 0.2 * exact and mended < 0.5 * plain
    assert mended < lost(stripes=True) and mended < lost(gains=True)


def test_what_of_the_detector_was_mended_is_told():
    """Two columns of three rows, and a view."""
    stack = np.array(disc_stack(3 * [DISC]))
    stack += 0.05 * np.random.default_rng(0).standard_normal(stack.shape).astype(np.float32)
    stack[7] *= 1.3
    stack[..., [11, 17]] += np.float32([0.5, -0.5])
    scan = Scan.create(stack, THETA, center=CENTER)
    result = reconstruct(scan, "fista-tv", weight=1e-3, iterations=60, stripes=True, gains=True)
    told = result.corrections()
    assert list(told["gains"]["often"]) == [7] and list(told["stripes"]["often"]) == [11, 17]
    np.testing.assert_allclose(told["gains"]["by"], [1.3], rtol=0.05)
    np.testing.assert_allclose(told["stripes"]["by"], [0.5, -0.5], atol=0.15)
    assert list(result.summary()["stripes"]["often"]) == [11, 17]
    assert not reconstruct(scan, "fista-tv", weight=1e-4, iterations=2).corrections()


@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_few_photons_count_for_less(joint):
    """A disc that hardly any photon passes through, and 500 beside it."""
    g, lines = np.random.default_rng(0), np.array(disc_stack(3 * [DISC])) * 0.4
    stack = -np.log(np.maximum(g.poisson(500 * np.exp(-lines)), 1) / 500).astype(np.float32)
    error = lambda **told: np.linalg.norm(_disc_error(stack, 0.4, joint=joint, **told))  # noqa: E731
    assert error(photons=500) < 0.9 * error()


def _disc_error(stack, value=1.0, **told):
    """Of a disc of this value, reconstructed by total variation."""
    scan = Scan.create(stack, THETA, center=CENTER)
    found = reconstruct(scan, "fista-tv", weight=1e-4, iterations=80, **told).volume
    return found - value * disc_image(DISC, COLUMNS)


def test_invalid_bins_are_filled_as_numpy_interpolates():
    generator = np.random.default_rng(0)
    sinogram = generator.normal(size=(12, 30)).astype(np.float32)
    mask = generator.random(sinogram.shape) > 0.4
    mask[3], mask[4] = True, False
    index = np.arange(30)
    expected = np.stack(
        [np.interp(index, index[m], y[m]) if m.any() else 0 * y for y, m in zip(sinogram, mask, strict=True)]
    )
    filled = fill_invalid(jnp.asarray(sinogram), jnp.asarray(mask, jnp.float32))
    np.testing.assert_allclose(filled, expected, atol=1e-5)


def test_the_function_for_one_slice_gives_what_the_scan_of_one_row_gives():
    """Automatic rho of noisy data, mirror images in turn, ten iterations; the scale is divided out."""
    # The axis is in the middle, so that the support is the disc of every view.
    center = (COLUMNS - 1) / 2
    A = Projector(ParallelGeometry.create(THETA, COLUMNS, center))
    clean = disc_sinogram(DISC, center=center)[:, None]
    noise = 0.05 * clean.max() * np.random.default_rng(0).standard_normal(clean.shape)
    # Noise at the edges would pass for an object beyond the field of view, which extends the image.
    noise[..., :5] = noise[..., -5:] = 0
    scan = Scan.create((clean + noise).astype(np.float32), THETA, center=center)
    result = reconstruct(scan, "pfitre")
    assert result.volume.shape[1:] == A.shape
    sinogram = jnp.asarray(scan.projections[:, 0])
    problem = solvers.SliceProblem.create(A, sinogram)
    scale = solvers.estimate_scale(problem, sinogram[None])
    done = solvers.hqs(A, sinogram / scale)
    assert int(done.stats["iterations"]) == result.iterations[0] == 10
    rho = rho_from_tv_weight(
        solvers.tv_weight_from_noise(problem, solvers.estimate_noise(problem, (sinogram / scale)[None]))
    )
    assert rho > 0.006, "the noise does not matter: nothing was checked"
    np.testing.assert_allclose(result.parameters["rho"], rho, rtol=1e-3)
    expected = result.volume[0]
    assert np.linalg.norm(scale * done.value - expected) < 2e-3 * np.linalg.norm(expected)
