import jax.numpy as jnp
import numpy as np
import pytest
from analytic import CENTER, COLUMNS, THETA, disc_image, disc_sinogram, disc_stack

from pfitre_jax import solvers
from pfitre_jax.data.scan import Scan
from pfitre_jax.estimation.shared_problem import shared_problem
from pfitre_jax.estimation.support import image_support
from pfitre_jax.geometry import ParallelGeometry
from pfitre_jax.operators.projector import Projector
from pfitre_jax.priors.nonnegative import Nonnegative
from pfitre_jax.reconstruction import data_model, methods
from pfitre_jax.reconstruction import executor as slices
from pfitre_jax.reconstruction.in_memory import reconstruct
from pfitre_jax.reconstruction.method_settings import Settings
from pfitre_jax.reconstruction.scan_solver import build
from pfitre_jax.solvers.fbp import fill_invalid
from pfitre_jax.solvers.parameters.tv_weight import rho_from_tv_weight

DISC = [(2.0, -3.0, 7.0, 1.0)]


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_reconstructs_the_disc(method):
    geometry = ParallelGeometry.create(THETA, COLUMNS, CENTER)
    problem, _ = shared_problem(geometry, image_support(geometry))
    scan = Scan.create(disc_stack(3 * [DISC]), THETA, center=CENTER)
    options = {}
    if "prior" in methods.METHODS[method].defaults:
        options["prior"] = Nonnegative()
    settings = Settings.create(method, **options).resolve(1e-3, float(rho_from_tv_weight(1e-3)))
    program = slices.make_program(
        build(settings),
        problem,
        scan.rows,
        scale=1.0,
        iterations=min(settings.iterations, 60),
    )
    [result] = slices.solve_blocks(program, scan, [slice(0, 3)])
    truth = disc_image(DISC, COLUMNS)
    assert np.linalg.norm(result.volume[0] - truth) < 0.25 * np.linalg.norm(truth)
    assert result.volume[0].sum() == pytest.approx(truth.sum(), rel=0.05)


def test_automatic_parameters_are_estimated_only_where_needed():
    needed = lambda method, **options: Settings.create(method, **options).needed_parameter  # noqa: E731
    assert needed("fista-tv") == needed("admm-tv") == "tv_weight"
    assert needed("fista-tv", weight=1e-3) == needed("admm-tv", weight=1e-3) == needed("sirt") == "noise"
    prior = Nonnegative()
    assert needed("pfitre", prior=prior) == "rho" and needed("pfitre", prior=prior, rho=0.01) == "noise"
    chosen = Settings.create("pfitre", prior=prior).resolve(1e-3, 0.007)
    assert chosen.rho == 0.007 and chosen.weight is None and "weight" not in chosen.record()
    with pytest.raises(ValueError, match="weight is 'auto' and the scan was not calibrated for it"):
        Settings.create("fista-tv").resolve()


def test_an_unknown_method_lists_the_names():
    with pytest.raises(ValueError, match="unknown method 'magic'; expected one of fbp, sirt, cgls"):
        Settings.create("magic")


@pytest.mark.parametrize(
    ("method", "options", "message"),
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
def test_invalid_settings_are_refused(method, options, message):
    with pytest.raises(ValueError, match=message):
        Settings.create(method, **options)


def test_explicit_settings_replace_defaults():
    assert Settings.create("cgls", iterations=3, rho=None).record() == {"iterations": 3}
    assert Settings.create("cgls").iterations == methods.METHODS["cgls"].defaults["iterations"]


def test_disabled_switches_are_not_recorded():
    assert Settings.create("sirt", stripes=False, gains=False).record() == {"iterations": 200}


def test_joint_reconstruction_uses_the_volume_prior():
    alone, joint = (Settings.create("pfitre", joint=joint).prior for joint in (False, True))
    assert alone.info.reach == 0 < joint.info.reach and joint.info.card["name"] == "volume"


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("robust", data_model.ROBUST)
def test_robust_terms_reduce_the_effect_of_a_displaced_view(robust, joint):
    stack = np.array(disc_stack(3 * [DISC]))
    stack[5] = np.roll(stack[5], 4, axis=-1)
    scan = Scan.create(stack, THETA, center=CENTER)
    truth = disc_image(DISC, COLUMNS)
    options = dict(weight=1e-4, iterations=40, joint=joint)
    error = lambda result: np.linalg.norm(result.volume - truth, axis=(1, 2))  # noqa: E731
    plain = reconstruct(scan, "fista-tv", **options)
    corrected = reconstruct(scan, "fista-tv", robust=robust, **options)
    assert np.all(error(corrected) < 0.7 * error(plain))
    assert corrected.parameters["robust"] == robust and "robust" not in plain.parameters
    robust_record = corrected.corrections()["robust"]
    by = dict(zip(robust_record["often"], robust_record["by"], strict=True))
    assert by[5] == min(by.values()) < 0.5 and (robust != "views" or list(by) == [5])
    np.testing.assert_array_equal(robust_record["views"], len(by))
    assert not plain.corrections()
    # A down-weighted view hardly affects how well the others determine the image.
    clean = reconstruct(Scan.create(disc_stack(3 * [DISC]), THETA, center=CENTER), "fista-tv", **options)
    assert np.all(corrected.supplied - clean.supplied < 0.5 * (plain.supplied - clean.supplied))


@pytest.mark.slow
@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_self_calibration_reduces_the_effect_of_detector_errors(joint):
    """Column offsets of 5% of the largest line integral, view gains with an error of 8%."""
    g, clean = np.random.default_rng(0), np.array(disc_stack(3 * [DISC]))
    stack = clean * (1 + 0.08 * g.standard_normal((len(clean), 1, 1))).astype(np.float32)
    stack[..., g.choice(np.arange(8, COLUMNS - 8), 4, replace=False)] += 0.05 * stack.max()
    exact = np.linalg.norm(_disc_error(clean, joint=joint))
    excess_error = lambda **options: np.linalg.norm(_disc_error(stack, joint=joint, **options)) - exact  # noqa: E731
    plain, corrected = excess_error(), excess_error(stripes=True, gains=True)
    assert plain > 0.2 * exact and corrected < 0.5 * plain
    assert corrected < excess_error(stripes=True) and corrected < excess_error(gains=True)


def test_summary_lists_corrected_columns_and_views():
    """Two column offsets in all three rows, and the gain of one view."""
    stack = np.array(disc_stack(3 * [DISC]))
    stack += 0.05 * np.random.default_rng(0).standard_normal(stack.shape).astype(np.float32)
    stack[7] *= 1.3
    stack[..., [11, 17]] += np.float32([0.5, -0.5])
    scan = Scan.create(stack, THETA, center=CENTER)
    result = reconstruct(scan, "fista-tv", weight=1e-3, iterations=60, stripes=True, gains=True)
    corrections = result.corrections()
    assert list(corrections["gains"]["often"]) == [7] and list(corrections["stripes"]["often"]) == [11, 17]
    np.testing.assert_allclose(corrections["gains"]["by"], [1.3], rtol=0.05)
    np.testing.assert_allclose(corrections["stripes"]["by"], [0.5, -0.5], atol=0.15)
    assert list(result.summary()["stripes"]["often"]) == [11, 17]
    assert not reconstruct(scan, "fista-tv", weight=1e-4, iterations=2).corrections()


@pytest.mark.parametrize("joint", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_poisson_weights_reduce_the_error(joint):
    """A disc that transmits hardly any of 500 photons per bin."""
    g, lines = np.random.default_rng(0), np.array(disc_stack(3 * [DISC])) * 0.4
    stack = -np.log(np.maximum(g.poisson(500 * np.exp(-lines)), 1) / 500).astype(np.float32)
    error = lambda **options: np.linalg.norm(_disc_error(stack, 0.4, joint=joint, **options))  # noqa: E731
    assert error(photons=500) < 0.9 * error()


def _disc_error(stack, value=1.0, **options):
    """Error of the total-variation reconstruction of a disc with this value."""
    scan = Scan.create(stack, THETA, center=CENTER)
    image = reconstruct(scan, "fista-tv", weight=1e-4, iterations=80, **options).volume
    return image - value * disc_image(DISC, COLUMNS)


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


def test_solver_function_agrees_with_reconstruct_on_one_row():
    """With the same support and iterations, and automatic rho of noisy data; the scale is divided out."""
    # The axis is in the middle, so that the support is the disc of every view.
    center = (COLUMNS - 1) / 2
    A = Projector(ParallelGeometry.create(THETA, COLUMNS, center))
    clean = disc_sinogram(DISC, center=center)[:, None]
    noise = 0.05 * clean.max() * np.random.default_rng(0).standard_normal(clean.shape)
    scan = Scan.create((clean + noise).astype(np.float32), THETA, center=center)
    result = reconstruct(scan, "pfitre", support="disc", iterations=10)
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
