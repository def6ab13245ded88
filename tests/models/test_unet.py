from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pfitre_jax.models import unet
from pfitre_jax.models.blocks import convolution, halve
from pfitre_jax.models.unet_config import UNetConfig

SMALL = UNetConfig(channels=(4, 6, 8), blocks=2, dilations=(1, 2), growth=4, embedding=8)
#: Lower resolutions, unshuffled pixels and the expected error.
DEEP = dataclasses.replace(SMALL, deep=(6, 8))
UNSHUFFLED = dataclasses.replace(SMALL, unshuffled=True, expected_error=True)
CONDITION = jnp.array([0.5, -0.3])


def apply(config, params, image, condition):
    """The image with the network's update."""
    return image[..., 0] + unet.predict_update(config, params, image, condition)


#: Eager calls compile every operation for every shape.
APPLY = jax.jit(apply, static_argnums=0)


def perturbed(config: UNetConfig, seed: int = 0):
    """Non-zero parameters, so that the network is not the identity."""
    params = unet.init(config, jax.random.key(seed))
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda a: a + 0.2 * generator.standard_normal(a.shape, np.float32), params)


def picture(*shape, seed: int = 2):
    return jax.random.uniform(jax.random.key(seed), shape)


def reach(image_to_image, shape, pixel):
    """Distance above and below ``pixel`` within which the input affects that pixel of the output."""
    gradient = jax.jit(jax.grad(lambda image: image_to_image(image)[pixel]))(picture(*shape))
    rows = np.flatnonzero(np.abs(np.asarray(gradient)).reshape(shape[0], -1).max(axis=1))
    return pixel[0] - rows.min(), rows.max() - pixel[0]


@pytest.mark.parametrize("config", [SMALL, DEEP, UNSHUFFLED], ids=["small", "deep", "unshuffled"])
@pytest.mark.parametrize("shape", [(17, 30), (1, 5), (13, 4)])
def test_any_size_and_identity_before_training(shape, config):
    image = picture(*shape, 2)
    result = APPLY(config, unet.init(config, jax.random.key(0)), image, CONDITION)
    np.testing.assert_array_equal(result, image[..., 0])
    trained = APPLY(config, perturbed(config), image, CONDITION)
    assert trained.shape == shape and np.all(np.isfinite(trained))
    assert float(jnp.abs(trained - image[..., 0]).max()) > 1e-2


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtype_of_the_image_is_kept(dtype):
    with jax.enable_x64(True):
        image = picture(12, 12, 2).astype(dtype)
        assert APPLY(SMALL, perturbed(SMALL), image, CONDITION).dtype == dtype


def test_compute_dtype_changes_the_precision_of_the_correction_only():
    params, image = perturbed(SMALL), picture(16, 16, 2)
    full = APPLY(SMALL, params, image, CONDITION)
    half = APPLY(dataclasses.replace(SMALL, compute_dtype="bfloat16"), params, image, CONDITION)
    assert half.dtype == jnp.float32
    error = float(jnp.linalg.norm(half - full) / jnp.linalg.norm(full - image[..., 0]))
    assert 1e-5 < error < 5e-2
    blank = unet.init(SMALL, jax.random.key(0))
    exact = APPLY(dataclasses.replace(SMALL, compute_dtype="bfloat16"), blank, image, CONDITION)
    np.testing.assert_array_equal(exact, image[..., 0])


def test_jit_is_eager_and_vmap_is_a_loop():
    params, images = perturbed(SMALL), picture(3, 18, 21, 2)
    conditions = picture(3, 2, seed=5)
    loop = jnp.stack([APPLY(SMALL, params, i, c) for i, c in zip(images, conditions, strict=True)])
    eager = apply(SMALL, params, images[0], conditions[0])
    batch = jax.vmap(lambda i, c: APPLY(SMALL, params, i, c))(images, conditions)
    np.testing.assert_allclose(eager, loop[0], atol=1e-5)
    np.testing.assert_allclose(batch, loop, atol=1e-5)


@pytest.mark.parametrize(
    "config", [SMALL, dataclasses.replace(DEEP, unshuffled=True)], ids=["small", "other"]
)
def test_gradients_against_finite_differences(config):
    with jax.enable_x64(True):
        point = (
            jax.tree.map(lambda a: a.astype(float), perturbed(config)),
            picture(9, 10, 2).astype(float),
            CONDITION.astype(float),
        )
        generator = np.random.default_rng(7)
        way = jax.tree.map(lambda a: generator.standard_normal(a.shape), point)
        loss = jax.jit(lambda p: jnp.sum(apply(config, *p) ** 2))
        along = lambda h: jax.tree.map(lambda a, b: a + h * b, point, way)  # noqa: E731
        step = 1e-6
        numeric = (loss(along(step)) - loss(along(-step))) / (2 * step)
        gradient = jax.tree.leaves(jax.jit(jax.grad(loss))(point))
        assert all(float(jnp.abs(g).max()) > 0 for g in gradient), "a parameter or input has no effect"
        exact = sum(jnp.sum(g * b) for g, b in zip(gradient, jax.tree.leaves(way), strict=True))
        np.testing.assert_allclose(exact, numeric, rtol=1e-6)


@pytest.mark.parametrize("entry", range(2))
def test_every_entry_of_the_condition_changes_the_result(entry):
    params, image = perturbed(SMALL), picture(12, 12, 2)
    other = APPLY(SMALL, params, image, CONDITION.at[entry].add(0.5))
    assert float(jnp.abs(other - APPLY(SMALL, params, image, CONDITION)).max()) > 1e-3


@pytest.mark.parametrize(
    "config", [SMALL, UNetConfig(channels=(2, 2, 2), growth=2), UNetConfig(channels=(2, 2, 2), blocks=0)]
)
def test_receptive_field_is_as_documented(config):
    params = perturbed(config)
    claimed = 4 * config.blocks * sum(config.dilations)
    size = 2 * (claimed + 20)
    above, below = reach(lambda image: APPLY(config, params, image, CONDITION), (size, 4, 2), (size // 2, 2))
    assert claimed <= min(above, below) and max(above, below) <= claimed + 12


def test_deep_levels_see_the_whole_image():
    """Where the blocks alone see 24 pixels."""
    size, config = 128, dataclasses.replace(DEEP, blocks=1, dilations=(1,), deep=(4, 4, 4))
    above, below = reach(
        lambda image: APPLY(config, perturbed(config), image, CONDITION), (size, 4, 2), (size // 2, 2)
    )
    assert (above, below) == (size // 2, size // 2 - 1)


def test_the_expected_error_changes_nothing_of_the_update():
    """Its output is constant before training, and only its own layers have a gradient."""
    params, image = perturbed(UNSHUFFLED), picture(16, 20, 2)
    plain = dataclasses.replace(UNSHUFFLED, expected_error=False)
    without = {name: part for name, part in params.items() if name != "error_head"}
    np.testing.assert_array_equal(
        APPLY(UNSHUFFLED, params, image, CONDITION), APPLY(plain, without, image, CONDITION)
    )
    log_error = jax.jit(lambda *at: unet.predict_log_error(UNSHUFFLED, *at, CONDITION))
    untrained = log_error(unet.init(UNSHUFFLED, jax.random.key(0)), image)
    np.testing.assert_allclose(untrained, np.log(unet.INITIAL_ERROR), rtol=1e-6)
    to_params, to_image = jax.jit(jax.grad(lambda *at: jnp.sum(log_error(*at) ** 2), (0, 1)))(params, image)
    head = to_params.pop("error_head")
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(head))
    assert not any(np.any(g) for g in jax.tree.leaves((to_params, to_image)))
    with pytest.raises(ValueError, match="expected_error = true"):
        unet.predict_log_error(plain, without, image, CONDITION)


@pytest.mark.parametrize("stacked", [False, True])
def test_extended_networks_predict_the_same_update(stacked):
    """More input channels, lower resolutions and the expected error, also in a stack of networks."""
    config = dataclasses.replace(UNSHUFFLED, expected_error=False)
    wanted = dataclasses.replace(UNSHUFFLED, in_channels=4, deep=(5,))
    params = perturbed(config)
    if stacked:
        first = lambda tree: jax.tree.map(lambda a: a[0], tree)  # noqa: E731
        extended = first(unet.extend(config, jax.tree.map(lambda a: a[None], params), wanted))
    else:
        extended = unet.extend(config, params, wanted)
    expected = jax.tree.map(jnp.shape, unet.init(wanted, jax.random.key(0)))
    assert jax.tree.map(jnp.shape, extended) == expected
    image = picture(16, 24, 4)
    np.testing.assert_allclose(
        APPLY(wanted, extended, image, CONDITION), APPLY(config, params, image[..., :2], CONDITION), atol=1e-6
    )
    with pytest.raises(ValueError, match="expected the configured network"):
        unet.extend(config, params, dataclasses.replace(config, unshuffled=False))


def test_no_checkerboard_on_a_flat_image():
    size, margin = 96, 36
    result = APPLY(SMALL, perturbed(SMALL), jnp.full((size, size, 2), 0.7), CONDITION)
    inside = np.asarray(result)[margin:-margin, margin:-margin]
    np.testing.assert_allclose(inside, inside[0, 0], atol=1e-5)


def test_shifting_by_four_pixels_shifts_the_result():
    params, image = perturbed(SMALL), picture(96, 96, 2)
    apply = lambda image: APPLY(SMALL, params, image, CONDITION)  # noqa: E731
    shifted = apply(jnp.roll(image, (4, 8), axis=(0, 1)))
    back = jnp.roll(shifted, (-4, -8), axis=(0, 1))
    np.testing.assert_allclose(back[44:52, 44:52], apply(image)[44:52, 44:52], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (UNetConfig(), 0.33),
        (UNetConfig(channels=(16, 32, 96), growth=48), 0.69),
        (UNetConfig(channels=(32, 64, 128), growth=64), 1.30),
    ],
)
def test_documented_sizes(config, millions):
    params = jax.eval_shape(lambda: unet.init(config, jax.random.key(0)))
    assert unet.count(params) / 1e6 == pytest.approx(millions, abs=0.005)


def test_config_is_static_and_json_round_trips():
    config = dataclasses.replace(DEEP, compute_dtype="bfloat16", unshuffled=True, expected_error=True)
    assert UNetConfig.from_json(config.to_json()) == config
    assert UNetConfig.from_json('{"channels": [16, 32, 64]}') == UNetConfig()
    assert hash(UNetConfig(channels=[16, 32, 64])) == hash(UNetConfig())


@pytest.mark.parametrize(
    "fields",
    [
        {"channels": (8, 16)},
        {"blocks": -1},
        {"dilations": ()},
        {"growth": 2.5},
        {"in_channels": -1},
        {"deep": (0,)},
        {"unshuffled": 1},
        {"along_rows": True, "deep": (8,)},
    ],
)
def test_invalid_config_is_refused(fields):
    with pytest.raises(ValueError, match=f"{next(iter(fields))} is .*expected"):
        UNetConfig(**fields)


@pytest.mark.parametrize("text", ['{"width": 3}', "[1, 2]"])
def test_other_json_is_refused(text):
    with pytest.raises(ValueError, match="expected fields of"):
        UNetConfig.from_json(text)


def test_wrong_inputs_are_refused():
    params = unet.init(SMALL, jax.random.key(0))
    with pytest.raises(ValueError, match=r"expected \(ny, nx, 2\)"):
        APPLY(SMALL, params, picture(8, 8, 3), CONDITION)
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        APPLY(SMALL, params, picture(8, 8, 2), CONDITION[:1])


@pytest.mark.parametrize("kind", ["dilation 1", "dilation 3", "halved"])
def test_convolutions_agree_with_flax(kind):
    """Both are written as matrix products; nnx.Conv is the reference."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.standard_normal((6, 10, 5)))
        if kind == "halved":
            ours = halve(5, 3, rngs=nnx.Rngs(0))
            plain = nnx.Conv(5, 3, (2, 2), strides=2, padding="VALID", rngs=nnx.Rngs(0))
        else:
            dilation = int(kind[-1])
            ours = convolution(5, 3, rngs=nnx.Rngs(0), dilation=dilation)
            plain = nnx.Conv(5, 3, (3, 3), kernel_dilation=dilation, padding="SAME", rngs=nnx.Rngs(0))
        kernel = np.random.default_rng(1).standard_normal(plain.kernel[...].shape)
        for layer in (ours, plain):
            layer.bias.set_value(jnp.arange(3.0))
            layer.kernel.set_value(jnp.asarray(kernel))

        @jax.jit
        def values(layer, x):
            loss = lambda layer, x: (jnp.sum(jnp.sin(layer(x))), layer(x))  # noqa: E731
            return jax.value_and_grad(loss, (0, 1), has_aux=True)(layer, x)

        assert type(ours) is not nnx.Conv
        both = (jax.tree.leaves(values(layer, x)) for layer in (ours, plain))
        for a, b in zip(*both, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
